"""Images held out of training, and what their loss tells."""

from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mvc_hf.data.groups import Groups
from mvc_hf.training.holdout import PROBE_IMAGES, HoldoutMonitor, choose_holdout, holdout_size, probe_loss
from mvc_hf.training.objective import Batch

MEMBERS = [np.arange(0, 60, 3), np.arange(1, 27, 3), np.arange(2, 120, 3)]  # 20, 9 and 40 images


@pytest.mark.parametrize(
    ("images", "fraction", "size"),
    [(9, 0.5, 0), (10, 0.05, 1), (10, 0.0, 0), (30, 0.05, 2), (100, 0.05, 5), (11, 0.5, 6), (10**6, 0.05, 50000)],
)
def test_how_many_images_of_a_class_are_held_out(images, fraction, size):
    assert holdout_size(images, fraction) == size


def test_the_seed_decides_which_images_are_held_out():
    held_out = choose_holdout(MEMBERS, 0.25, seed=1)
    assert list(map(len, held_out)) == [5, 0, 10]
    assert all(set(out) <= set(rows) for out, rows in zip(held_out, MEMBERS))
    assert all(map(np.array_equal, held_out, choose_holdout(MEMBERS, 0.25, seed=1)))
    assert not all(map(np.array_equal, held_out, choose_holdout(MEMBERS, 0.25, seed=2)))


def test_the_images_of_a_class_do_not_depend_on_those_of_others():
    alone = choose_holdout([MEMBERS[0]], 0.25, seed=1)
    assert np.array_equal(alone[0], choose_holdout(MEMBERS, 0.25, seed=1)[0])


def test_groups_are_held_out_whole():
    groups = Groups([str(i) for i in range(12)], np.arange(120) // 10)
    held_out = np.concatenate(choose_holdout([np.arange(120)], 0.25, seed=0, groups=groups))
    assert len(held_out) == 30 and set(held_out // 10) == set((held_out // 10)[::10])


def probed(rows, batch_size, loss=lambda batch: batch.latents.mean()):
    """The loss of a set whose latents are its rows, and the rows of each batch that it came from."""
    batches = []

    def measured(batch):
        assert not torch.is_grad_enabled()
        batches.append(batch.latents[:, 0].int().tolist())
        return loss(batch)

    values = SimpleNamespace(probe=lambda rows: Batch(*[torch.from_numpy(rows).float()[:, None]] * 5))
    return probe_loss(measured, values, rows, batch_size), batches


def test_the_probe_weighs_every_image_alike_whatever_the_batches():
    rows = np.arange(7)
    loss, batches = probed(rows, batch_size=3)
    assert loss == pytest.approx(3.0) and list(map(len, batches)) == [3, 3, 1]
    assert sorted(chain(*batches)) == rows.tolist()
    assert probed(rows, batch_size=7)[0] == pytest.approx(3.0)


def test_of_many_images_the_same_few_are_probed():
    first, second = (probed(np.arange(1000), 100)[1] for _ in range(2))
    assert first == second and len(set(chain(*first))) == PROBE_IMAGES


def test_the_best_loss_and_its_step_are_remembered():
    monitor = HoldoutMonitor()
    for step, held_out in ((10, 0.3), (20, 0.2), (30, 0.2), (40, 0.25)):
        monitor.note(step, held_out, seen=0.1)
    assert (monitor.best, monitor.best_step, monitor.since_best) == (0.2, 20, 2)
    assert monitor.last == {"held_out_loss": 0.25, "seen_loss": 0.1}


def test_copying_is_noticed_once(capsys):
    monitor = HoldoutMonitor()
    for step, held_out, seen in ((10, 0.30, 0.30), (20, 0.20, 0.19), (30, 0.21, 0.15), (40, 0.25, 0.10)):
        monitor.note(step, held_out, seen)
    said = capsys.readouterr().err
    assert said.count("warning") == 1
    assert "at step 30" in said and "--max-train-steps 20" in said
    assert monitor.since_best == 2


def test_a_loss_a_little_above_its_best_is_no_copying(capsys):
    monitor = HoldoutMonitor()
    for step, held_out in ((10, 0.200), (20, 0.203)):
        monitor.note(step, held_out, seen=0.1)
    assert not monitor.warned and not capsys.readouterr().err


def test_patience_counts_measurements_without_a_better_one():
    monitor = HoldoutMonitor()
    assert not monitor.out_of_patience(1) and not monitor.out_of_patience(None)
    for step, held_out in ((1, 0.2), (2, 0.3), (3, 0.3)):
        monitor.note(step, held_out, 0.1)
    assert monitor.out_of_patience(2) and not monitor.out_of_patience(3) and not monitor.out_of_patience(None)


def test_a_monitor_comes_back_from_what_a_checkpoint_holds():
    monitor = HoldoutMonitor()
    monitor.note(3, 0.2, 0.1)
    assert HoldoutMonitor(**vars(monitor)) == monitor
    assert set(vars(monitor)) == {"best", "best_step", "since_best", "warned", "last"}  # the names in older ones too
