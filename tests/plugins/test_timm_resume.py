"""Runs that go on, and runs of two processes: every slot of an epoch once."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections import Counter

import pytest
import torch
from hooked import (
    REAL,
    SCRIPT,
    SYNTHETIC,
    check_epochs,
    log,
    run,
    values_of,
)
from timm.data.distributed_sampler import RepeatAugSampler

from mvc_hf.augment.schedules import TwoPhase
from mvc_hf.errors import RecipeError
from mvc_hf.plugins.timm_resume import settings_of


@pytest.mark.parametrize("on_updates", [False, True])
@pytest.mark.parametrize("stop_after", [0, 1, 2, 3])
def test_resume_on_either_side_of_the_switch_and_at_it(real, synthetic, tmp_path, on_updates, stop_after):
    flags = ["--aug-synthetic", synthetic, "--epochs", 5, "--aug-phase2-epochs", 2, "--warmup-epochs", 1]
    flags += ["--sched-on-updates"] if on_updates else []
    whole = run(real, tmp_path / "whole", *flags)
    run(real, tmp_path / "broken", *flags, "--stop-after", stop_after)
    found = run(real, tmp_path / "broken", *flags, "--resume", tmp_path / "broken" / "last.pt")
    assert [line["epoch"] for line in found] == list(range(5))
    assert [line["rates"] for line in found] == [line["rates"] for line in whole]
    check_epochs(found, TwoPhase(REAL, SYNTHETIC, REAL, seed=42, switch=3))


def test_other_images_than_the_run_began_with_are_refused(real, synthetic, tmp_path, capsys):
    out = tmp_path / "run"
    flags = ["--aug-synthetic", synthetic, "--epochs", 4]
    run(real, out, *flags, "--aug-schedule", "rsp", "--stop-after", 1)
    again = ["--resume", out / "last.pt", *flags]
    begun = (out / "log-0.jsonl").read_bytes()
    for other, says in (
        ([], "trained with --aug-schedule rsp, and this command goes on with --aug-schedule two-phase"),
        (
            ["--aug-schedule", "rsp", "--aug-prob", 0],
            "with --aug-prob 0.8, and this command goes on with --aug-prob 0.0",
        ),
        (
            ["--aug-schedule", "rsp", "--aug-ratio", 1],
            "without --aug-ratio, and this command goes on with --aug-ratio 1",
        ),
    ):
        with pytest.raises(RecipeError) as error:
            run(real, out, *again, *other)
        assert says in str(error.value) and "--initial-checkpoint" in str(error.value)
    with pytest.raises(RecipeError, match="goes on without --aug-synthetic"):
        run(real, out, "--resume", out / "last.pt")
    assert (out / "log-0.jsonl").read_bytes() == begun
    capsys.readouterr()
    moved = shutil.copytree(synthetic, tmp_path / "moved")
    found = run(
        real, out, "--resume", out / "last.pt", "--aug-synthetic", moved, "--epochs", 4, "--aug-schedule", "rsp"
    )
    assert [line["epoch"] for line in found] == [0, 1, 2, 3]
    said = capsys.readouterr().err
    assert f"goes on with --aug-synthetic {moved}; fine where it is the same in another place" in said


def test_settings_are_read_from_the_checkpoint_before_the_file_beside_it(tmp_path):
    """timm's own checkpoints hold them; args.yaml may be that of a later run in the same folder."""
    then = argparse.Namespace(aug_schedule="rsp", aug_synthetic=["made"], model_kwargs={})
    torch.save({"args": then, "epoch": 1, "state_dict": {"w": torch.ones(2)}}, tmp_path / "last.pth.tar")
    (tmp_path / "args.yaml").write_text("aug_schedule: combined")
    assert settings_of(tmp_path / "last.pth.tar")["aug_schedule"] == "rsp"
    torch.save({"epoch": 1}, tmp_path / "last.pth.tar")
    assert settings_of(tmp_path / "last.pth.tar") == {"aug_schedule": "combined"}


def test_a_checkpoint_that_would_run_something_is_not_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"args": Hostile()}, tmp_path / "last.pt")
    assert settings_of(tmp_path / "last.pt") is None
    assert not (tmp_path / "ran").exists()


def two_processes(real, out, *flags):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "mvc_hf.plugins.timm_train", SCRIPT, real, "--output", out, *flags]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=os.environ, timeout=120)
    assert done.returncode == 0, done.stderr
    return [log(out, rank) for rank in range(2)]


def test_two_processes_share_the_slots_and_resume(real, synthetic, tmp_path):
    flags = ["--aug-synthetic", synthetic, "--epochs", 4, "-j", 1]
    broken = two_processes(real, tmp_path, *flags, "--stop-after", 1)
    assert [len(lines) for lines in broken] == [2, 2]
    first, second = two_processes(real, tmp_path, *flags, "--resume", tmp_path / "last.pt")
    schedule = TwoPhase(REAL, SYNTHETIC, REAL, seed=42, switch=3)
    for a, b in zip(first, second, strict=True):
        assert Counter(a["seen"] + b["seen"]) == Counter(values_of(schedule.samples(a["epoch"])))
        assert a["rates"] == b["rates"]
    slots = [values_of(schedule.samples(e)) for e in range(3)]
    positions = [[s.index(v) for v in a["seen"]] for s, a in zip(slots, first)]
    assert positions[0] != positions[1], "the sampler's epoch must go on too"


def test_repeated_augmentation_under_two_processes(real, synthetic, tmp_path):
    """timm's RepeatAugSampler: each image several times, on different processes."""
    if not len(RepeatAugSampler(range(REAL), 2, 0)):
        pytest.skip("this timm repeats no set of fewer than 256 images")
    first, second = two_processes(real, tmp_path, "--aug-synthetic", synthetic, "--epochs", 2, "--aug-repeats", 2)
    for a, b in zip(first, second, strict=True):
        assert Counter(a["seen"]) == Counter(b["seen"]) and len(set(a["seen"])) == 8
