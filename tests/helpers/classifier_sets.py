"""Small sets that a classifier tells apart, a recipe that compares on them, and trainings in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.config.sections import Section
from mvc_hf.config.stages.comparing import CompareSettings
from mvc_hf.plugins.classifiers import runs

NAMES = ["dark", "light"]
QUICK = {
    "classifier": "wrn_28_2", "classifier_kwargs": "depth=10 width=1", "epochs": 3, "batch_size": 8,
    "warmup_epochs": 1, "seeds": 2, "validation_fraction": 0.0,
}  # fmt: skip


def write(path: Path, count: int, names: list[str] = NAMES, *, seed: int = 0, mode: str = "L", side: int = 8) -> Path:
    """Noise around a grey that tells the class; every picture is another one."""
    rng = np.random.default_rng([seed, count])
    shape = (side, side) if mode == "L" else (side, side, 3)
    images = [
        Image.fromarray((100 * (i % 2) + rng.integers(0, 130, shape)).astype(np.uint8), mode) for i in range(count)
    ]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {"image": images, "label": [i % len(names) for i in range(count)]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    return path


def sets(root: Path) -> Path:
    """real/train.parquet, real/test.parquet and synthetic/."""
    write(root / "real" / "train.parquet", 16)
    write(root / "real" / "test.parquet", 10, seed=1)
    write(root / "synthetic" / "data" / "train-00000-of-00001.parquet", 24, seed=2)
    return root


def section(root: Path, out: Path, *, recipe: dict[str, Any] | None = None, synthetic: Any = None, **settings: Any):
    """What `load_section` gives for a recipe on these sets."""
    run = RunRecipe.from_dict({"dataset": str(root / "real"), "output": str(out)} | (recipe or {}))
    known = {"mvc": str(root / "synthetic")} if synthetic is None else synthetic
    few = {"augmentations": "none", "schedules": "combined"}
    return Section(run, CompareSettings(**QUICK | few | settings), known)


def in_this_process(patch: pytest.MonkeyPatch) -> list[str]:
    """Starting other processes costs seconds; returns the names of the trainings as they are made."""
    made: list[str] = []

    def one_by_one(jobs, devices=None):
        for job in jobs:
            runs._train(job)
            made.append(f"{job.result.parent.name}/{job.result.stem}")
            yield 0.0

    patch.setattr(runs, "side_by_side", one_by_one)
    return made
