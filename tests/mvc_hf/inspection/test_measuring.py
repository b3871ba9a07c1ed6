"""Batches against a clock that is ours, and what a stage was found to cost."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch

from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError, NotEnoughMemory, RecipeError
from mvc_hf.inspection import measuring
from mvc_hf.inspection.cost_table import Estimate
from mvc_hf.inspection.measuring import (
    BATCHES,
    SAMPLES,
    Cost,
    Enough,
    Sample,
    StageMeasurements,
    StepClock,
    seconds_per_item,
)

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """Stands still; `now` is set by the test."""
    found = SimpleNamespace(now=0.0)
    monkeypatch.setattr(measuring, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def batches(clock, seconds, size=2):
    for second in seconds:
        clock.now += second
        yield size


def test_the_first_batch_warms_up(clock):
    """Of 1, 2, 4 and 1 s for two items each, the last three count."""
    assert seconds_per_item(batches(clock, [1, 2, 4, 1])) == Estimate.of([1, 2, 0.5])


def test_no_more_batches_than_needed_and_no_more_time(clock):
    taken = []
    seconds_per_item(taken.append(1) or size for size in batches(clock, [0.1] * 50))
    assert len(taken) == BATCHES + 1
    taken.clear()
    seconds_per_item(taken.append(1) or size for size in batches(clock, [4] * 50))
    assert len(taken) == 3  # after 12 s


def test_a_batch_that_takes_all_the_time_is_the_only_one(clock):
    assert seconds_per_item(batches(clock, [30, 1])) == Estimate.of([15])
    with pytest.raises(DataError, match="nothing could be measured"):
        seconds_per_item(iter([]))


def test_denoising_steps_are_timed_without_the_first_and_end_when_it_is_enough(clock):
    steps = StepClock(CPU)
    for seconds in (7, 1, 1, 2):
        clock.now += seconds
        if clock.now > measuring.SECONDS:
            with pytest.raises(Enough):
                steps.step()
        else:
            steps.step()
    assert steps.seconds == [7, 1, 1, 2] and steps.estimate() == Estimate.of([1, 1, 2])
    clock.now += 100
    steps.start_batch()  # what lies between two batches is no step
    clock.now += 1
    with pytest.raises(Enough):
        steps.step()
    assert steps.seconds[-1] == 1


def test_a_sample_is_taken_from_all_over_the_set_and_leaves_out_what_is_broken(tmp_path):
    folder = tiny.image_folder(tmp_path / "p", {"a": 60, "b": 60})
    (folder / "a" / "000.png").write_bytes(b"")
    rows = Sample.of(open_dataset(str(folder))).rows
    assert len(rows) == SAMPLES - 1 and rows[-1] == 119 and rows[0] > 0 and np.diff(rows).max() <= 4
    sizes = [batch.tolist() for batch in Sample.of(open_dataset(str(folder))).batches(50)]
    assert len(sizes) == BATCHES + 1 and {len(batch) for batch in sizes} == {50}
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no image can be read"):
        Sample.of(open_dataset(str(folder)))


def test_a_stage_is_added_with_the_loading_of_its_model_and_what_it_leaves():
    found = StageMeasurements(CPU)
    cost = Cost("3 things", Estimate(1, 2), {"shards": 5})
    assert found.measure("generate", lambda: (cost, "made"), loading=10.0) == "made"
    (stage,) = found.stages
    assert (stage.name, stage.what, stage.time) == ("generate", "3 things", Estimate(1, 2) + Estimate.of([10.0]))
    assert stage.memory > 0 and found.disk == {"shards": 5}


def test_memory_that_does_not_suffice_names_the_stage_and_other_errors_pass():
    def raises(error):
        raise error

    found = StageMeasurements(CPU)
    with pytest.raises(NotEnoughMemory, match="generate"):
        found.measure("generate", lambda: raises(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(RecipeError, match="as it was"):
        found.measure("generate", lambda: raises(RecipeError("as it was")))
    with pytest.raises(KeyError):
        found.measure("generate", lambda: raises(KeyError("x")))
    assert found.stages == []
