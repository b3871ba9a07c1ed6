from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mvc_hf.captions.table import CaptionTable
from mvc_hf.config.recipe import Recipe
from mvc_hf.diffusion.banks.latents import LatentBank
from mvc_hf.diffusion.banks.text import TextBank
from mvc_hf.training.dataset import (
    TOGETHER,
    TrainingSet,
    _own_captions,
    made_together,
    prefetched,
    sample_numbers,
)

CLASSES, IMAGES, CAPTIONS = 3, 20, 5


def training_set(captions=CAPTIONS, per_class=(IMAGES,) * CLASSES, **settings):
    """Images whose latents are their row number, captions whose embeddings are theirs."""
    labels = np.repeat(np.arange(len(per_class)), per_class)
    labels = np.random.default_rng(0).permutation(labels)
    moments = torch.zeros(len(labels), 2, 4, 2, 2, dtype=torch.float16)
    moments[:, 0] = torch.arange(len(labels))[:, None, None, None]
    rows = [-1] * (captions * len(per_class))
    table = CaptionTable.build(
        np.repeat(np.arange(len(per_class)), captions), [f"c{i}" for i in range(len(rows))], rows
    )
    embeddings = torch.arange(len(rows)).half()[:, None, None].expand(-1, 6, 8).contiguous()
    names = tuple("abc"[: len(per_class)])
    images = LatentBank(moments, labels, names, (16, 16), False)
    text = TextBank(table, embeddings, torch.full((6, 8), -1.0).half())
    settings = {"conditioning_dropout_prob": 0.0, "holdout_fraction": 0.0} | settings
    return TrainingSet(Recipe(**settings), text, images, scaling_factor=0.5, num_timesteps=1000)


def source_rows(batch):
    return (batch.latents[:, 0, 0, 0] / 0.5).round().int().numpy()


def test_a_sample_depends_on_its_number_alone():
    made = training_set(conditioning_dropout_prob=0.1)
    whole = made.batch(np.arange(100))
    for numbers in (np.array([99, 3, 42]), np.array([7])):
        part = made.batch(numbers)
        for name, value in vars(part).items():
            assert torch.equal(value, getattr(whole, name)[numbers]), name


def test_an_epoch_visits_every_image_once_in_another_order_each_time():
    made = training_set()
    first, second = (source_rows(made.batch(np.arange(60) + start)) for start in (0, 60))
    assert sorted(first) == sorted(second) == list(range(60))
    assert (first != second).any() and (first != np.arange(60)).any()


def test_batches_may_span_epochs():
    made = training_set()
    whole = source_rows(made.batch(np.arange(120)))
    assert (source_rows(made.batch(np.arange(50, 70))) == whole[50:70]).all()


def test_image_and_captions_are_others_of_the_same_class():
    made = training_set(coarse=2, fine=3)
    batch = made.batch(np.arange(600))
    rows, conditions = source_rows(batch), batch.image_latents[:, 0, 0, 0].int().numpy()
    labels = made.images.labels
    assert (labels[rows] == labels[conditions]).all()
    assert (rows != conditions).all()  # the class has others
    captions = batch.prompt_embeds.flatten(1).int().numpy()
    assert (captions // CAPTIONS == labels[rows][:, None]).all()
    assert np.mean([len(set(c)) > 1 for c in captions]) > 0.9  # mixed


def test_condition_latents_are_the_unscaled_mode_and_targets_are_scaled():
    made = training_set(pairing="self")
    batch = made.batch(np.arange(60))
    torch.testing.assert_close(batch.latents, 0.5 * batch.image_latents)


def test_a_class_of_one_image_is_its_own_condition():
    made = training_set(per_class=(1, 20, 20))
    batch = made.batch(np.arange(41))
    rows, conditions = source_rows(batch), batch.image_latents[:, 0, 0, 0].int().numpy()
    alone = made.images.labels[rows] == 0
    assert (rows[alone] == conditions[alone]).all() and (rows[~alone] != conditions[~alone]).all()


def test_pairing_self_takes_the_images_own_caption():
    made = training_set(pairing="self")
    table = made.text.table
    rows = np.concatenate([np.flatnonzero(made.images.labels == c)[:CAPTIONS] for c in range(CLASSES)])
    own = CaptionTable(table.labels, table.captions, rows)
    made = TrainingSet(
        made.recipe, TextBank(own, made.text.embeddings, made.text.null), made.images,
        scaling_factor=0.5, num_timesteps=1000,
    )  # fmt: skip
    batch = made.batch(np.arange(60))
    found = dict(zip(source_rows(batch), batch.prompt_embeds[:, 0, 0].int().tolist()))
    assert all(found[row] == caption for caption, row in enumerate(rows))


def test_conditions_are_dropped_as_often_as_asked():
    made = training_set(conditioning_dropout_prob=0.1)
    made.images.moments[:, 0] += 1  # no image has latents of zero
    batch = made.batch(np.arange(6000))
    no_text = (batch.prompt_embeds == -1).flatten(1).all(1)
    no_image = (batch.image_latents == 0).flatten(1).all(1)
    for dropped in (no_text & ~no_image, no_text & no_image, ~no_text & no_image):
        assert dropped.float().mean() == pytest.approx(0.1, abs=0.015)


def test_timesteps_and_noise_have_the_right_distribution():
    batch = training_set().batch(np.arange(4000))
    assert batch.timesteps.min() >= 0 and batch.timesteps.max() <= 999
    counts = np.bincount(batch.timesteps.numpy() // 100, minlength=10)
    assert ((counts - 400) ** 2 / 400).sum() < 27.9  # chi-squared, 9 degrees of freedom, 0.1 %
    assert batch.noise.mean().abs() < 0.02 and abs(batch.noise.std() - 1) < 0.02


def test_held_out_images_are_never_trained_on():
    made = training_set(holdout_fraction=0.1)
    batch = made.batch(np.arange(600))
    held = set(made.held_out.tolist())
    assert len(held) == 6 and len(made) == 54
    assert [sum(made.images.labels[list(held)] == c) for c in range(CLASSES)] == [2, 2, 2]
    assert not held & set(source_rows(batch)) and not held & set(batch.image_latents[:, 0, 0, 0].int().tolist())


def test_nothing_of_small_classes_is_held_out():
    made = training_set(per_class=(9, 20, 3), holdout_fraction=0.5)
    assert (made.images.labels[made.held_out] == 1).all() and len(made.held_out) == 10


def test_probe_is_always_the_same_and_drops_nothing():
    made = training_set(conditioning_dropout_prob=0.3, holdout_fraction=0.1)
    first, second = made.probe(made.held_out), made.probe(made.held_out)
    assert all(torch.equal(value, getattr(second, name)) for name, value in vars(first).items())
    assert (first.prompt_embeds >= 0).all()
    assert first.timesteps.tolist() == [83, 250, 416, 583, 750, 916]  # evenly spread


def test_prefetching_changes_nothing_and_passes_errors_on():
    made = training_set()
    numbers = [np.arange(i, i + 4) for i in range(0, 40, 4)]
    for batch, n in zip(prefetched(made, iter(numbers)), numbers, strict=True):
        assert torch.equal(batch.noise, made.batch(n).noise)
    with pytest.raises(Exception, match="whole number"):
        list(prefetched(made, iter([np.array([-1])])))


@pytest.mark.parametrize(
    ("batches", "size"), [(1, 7), (TOGETHER // 7, 7), (TOGETHER // 7 + 3, 7), (3, TOGETHER), (2, TOGETHER + 1)]
)
def test_batches_that_are_made_together_are_those_made_alone(batches, size):
    made = training_set(conditioning_dropout_prob=0.2)
    numbers = [np.arange(i, i + size) for i in range(0, size * batches, size)]
    for batch, n in zip(made_together(made, iter(numbers)), numbers, strict=True):
        assert all(torch.equal(value, getattr(made.batch(n), name)) for name, value in vars(batch).items())


def test_large_batches_are_not_made_together():
    numbers = iter([np.arange(TOGETHER), np.arange(TOGETHER)])
    next(made_together(training_set(), numbers))
    assert len(list(numbers)) == 1


def test_an_image_with_several_captions_owns_the_first():
    """The first is the likeliest one of a model that captions; the others are sampled."""
    bank = SimpleNamespace(table=SimpleNamespace(rows=np.array([2, 0, 2, -1, 0])))
    assert _own_captions(bank, 4).tolist() == [1, -1, 0, -1]


def test_images_held_out_are_compared_with_as_many_from_all_over_the_training_set():
    made = training_set(holdout_fraction=0.1)
    assert len(made.seen) == len(made.held_out) == 6
    assert np.array_equal(made.seen, made.rows[::9])
    assert not len(training_set().seen)


@pytest.mark.parametrize(("batch_size", "accumulation", "processes"), [(8, 1, 1), (4, 2, 1), (4, 1, 2), (1, 4, 2)])
def test_processes_and_accumulation_take_the_same_samples_in_each_update(batch_size, accumulation, processes):
    mine = [
        list(sample_numbers(range(3, 6), batch_size, accumulation, process, processes)) for process in range(processes)
    ]
    together = np.concatenate([batch for micro in zip(*mine, strict=True) for batch in micro])
    assert together.tolist() == list(range(24, 48))  # steps 3, 4 and 5, of 8 samples each
