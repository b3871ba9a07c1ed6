"""Pictures become PNG in threads while the next batch is sampled; what comes out is the same, in the same order."""

import threading

import numpy as np
import pytest

from mvc_hf.generation.finishing import finished_rows

PATIENCE = 30  # seconds, for a thread that is sure to come


class Counting:
    """In the place of a generator: a row is its index, and its picture is made by `finish`."""

    def __init__(self, finish=str, fails_at=None, error=ValueError):
        self.finish, self.fails_at, self.error, self.sampled = finish, fails_at, error, []

    def rows(self, labels, index, run):
        if len(self.sampled) == self.fails_at:
            raise self.error("in vain")
        self.sampled.append(list(index))
        return [{"image": run(self.finish, i), "label": label} for label, i in zip(labels, index)]


def addresses(batches, size=3):
    return [(np.zeros(size, int), np.arange(size) + size * number) for number in range(batches)]


def made(generator, batches=4):
    return [[row["image"] for row in rows] for rows in finished_rows(generator, addresses(batches))]


def test_rows_come_in_order_and_none_is_left_out():
    assert made(Counting()) == [[str(3 * b + i) for i in range(3)] for b in range(4)]
    assert made(Counting(), batches=0) == []


def test_pictures_are_made_while_the_next_batch_is_sampled():
    sampling = threading.Event()

    def finish(number):  # the first batch's can only be made once the second one is at work
        if number < 3:
            assert sampling.wait(PATIENCE)
        return number

    class Waiting(Counting):
        def rows(self, labels, index, run):
            if self.sampled:
                sampling.set()
            return super().rows(labels, index, run)

    generator = Waiting(finish)
    assert made(generator, 2) == [[0, 1, 2], [3, 4, 5]]


def test_no_more_than_two_batches_are_there_at_a_time():
    generator, seen = Counting(), []
    for _ in finished_rows(generator, addresses(5)):
        seen.append(len(generator.sampled))
    assert seen == [2, 3, 4, 5, 5]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_where_a_batch_fails_the_one_before_it_is_kept(error):
    got = []
    with pytest.raises(error):
        for rows in finished_rows(Counting(fails_at=2, error=error), addresses(4)):
            got.append([row["image"] for row in rows])
    assert got == [["0", "1", "2"], ["3", "4", "5"]]


def test_what_goes_wrong_in_a_thread_is_raised():
    def finish(number):
        raise OSError(f"picture {number}")

    with pytest.raises(OSError, match="picture 0"):
        made(Counting(finish))


def test_whoever_looks_at_one_batch_alone_leaves_no_thread_behind():
    before = threading.active_count()
    rows = finished_rows(Counting(), addresses(4))
    next(rows)
    rows.close()
    assert threading.active_count() == before


def test_it_is_what_the_generator_makes(photos, tiny_base, tmp_path):
    from mvc_hf.config.recipe import Recipe
    from mvc_hf.generation.opening import open_generator
    from mvc_hf.training.finetune import finetune
    from mvc_hf.utils.distributed import Alone

    recipe = Recipe(
        dataset=str(photos), base=str(tiny_base), train_batch_size=4, max_train_steps=1, images_per_class=2,
        num_inference_steps=2, image_size=20,
    )  # fmt: skip
    finetune(recipe, tmp_path / "checkpoint")
    generator = open_generator(recipe, tmp_path / "checkpoint", Alone())
    batches = addresses(2)
    expected = [generator.rows(*batch) for batch in batches]
    assert list(finished_rows(generator, batches)) == expected
    assert isinstance(expected[0][0]["image"]["bytes"], bytes)
