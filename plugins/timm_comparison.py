"""Do the synthetic images pay? A small classifier of timm's on real images alone and with synthetic ones.

Every arm makes the same number of updates, from the same seeds, through the hook that `mvc-hf train` uses.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..comparison import tables
from ..comparison.arms import file_name
from ..comparison.statistics import paired_difference
from ..storage.locks import locked_folder
from ..storage.notes import read_json, write_json
from .classifiers.runs import Job, outcomes

__all__ = ["ARMS", "Trial", "demo_trial", "jobs_of", "paired_difference", "table"]

ARMS: dict[str, tuple[str, ...]] = {
    "real alone": (),
    "combined": ("--aug-schedule", "combined"),
    "two-phase": ("--aug-schedule", "two-phase"),
    "RSP": ("--aug-schedule", "rsp"),
}


@dataclass(frozen=True)
class Trial:
    """A comparison at equal numbers of updates.

    Attributes:
        dataset: the real images as timm's --dataset takes them, with the splits train and test.
        synthetic: the synthetic images, as --aug-synthetic takes them.
        flags: of `timm_small_train` for every arm.
        seeds: one run of every arm for each.
    """

    dataset: str
    synthetic: str
    flags: tuple[str, ...]
    seeds: tuple[int, ...]

    def run(self, out: Path) -> dict[str, list[float]]:
        """Top-1 accuracy (%) of every arm, seed by seed. Runs that are finished are kept, so it can be given again.

        As many runs go on side by side as there are cores, each on one: small models gain nothing from more.

        Raises:
            MvcError: as `timm_train.train`.
        """
        out.mkdir(parents=True, exist_ok=True)
        arms = {
            arm: ("--aug-synthetic", self.synthetic, *schedule) if schedule else () for arm, schedule in ARMS.items()
        }
        jobs = jobs_of(arms, out, ["--dataset", self.dataset, *self.flags], self.seeds)
        found = outcomes([job for arm in jobs.values() for job in arm])
        top1 = iter([outcome.top1 for outcome in found])
        return {arm: [next(top1) for _ in self.seeds] for arm in ARMS}


def jobs_of(
    arms: Mapping[str, Sequence[str]], out: Path, common: Sequence[str], seeds: Sequence[int], inputs: str = ""
) -> dict[str, list[Job]]:
    """A job of `timm_small_train` for each arm and seed, by the names of the arms.

    Args:
        arms: the flags that an arm has for itself, by its name.
        out: gets the results, and the cache of the data sets.
        common: the flags of all arms.
        inputs: see `Job`.
    """
    return {
        arm: [_job(out, f"{file_name(arm)}-{seed}", seed, [*common, *own], inputs) for seed in seeds]
        for arm, own in arms.items()
    }


def _job(out: Path, name: str, seed: int, flags: Sequence[str], inputs: str) -> Job:
    result = out / f"{name}.json"
    first = (str(out / "cache"), "--output", str(result), "--seed", str(seed))
    return Job(result, (*first, *flags), inputs=inputs)


def table(accuracies: dict[str, list[float]]) -> str:
    """As `mvc_hf.comparison.tables.table`, of arms by name, the first of which the others are held against."""
    first = next(iter(accuracies))
    rows = [
        tables.Row(arm if arm == first else f"+ MVC, {arm}", tuple(values), "" if arm == first else first)
        for arm, values in accuracies.items()
    ]
    return tables.table(rows)


def _results(accuracies: dict[str, list[float]], trial: Trial) -> dict[str, Any]:
    """What results.json records."""
    first = next(iter(accuracies.values()))
    pairs = {arm: paired_difference(values, first) for arm, values in accuracies.items() if values is not first}
    return {
        "top1": {arm: [round(v, 2) for v in values] for arm, values in accuracies.items()},
        "mean": {arm: round(statistics.mean(values), 2) for arm, values in accuracies.items()},
        "paired_difference": {
            arm: {"mean": round(mean, 2), "interval": [round(mean - half, 2), round(mean + half, 2)]}
            for arm, (mean, half) in pairs.items()
            if math.isfinite(half)
        },
        "seeds": list(trial.seeds),
        "flags": list(trial.flags),
    }


DEMO_MODEL = {"channels": [16, 32, 64, 64], "stem_width": 8}  # resnet10t with a quarter of its width and less
DEMO_CLASSIFIER = ("--model", "resnet10t", "--model-kwargs", json.dumps(DEMO_MODEL))
DEMO_EPOCHS, DEMO_SEEDS = 200, (0, 1, 2, 3, 4)  # of 6 updates: long enough for 200 real images to run dry
DEMO_LR = "0.004"  # with which they do so in two thirds of the updates that half the rate takes


def demo_trial(out: Path, real: Path, test: Path) -> dict[str, list[float]]:
    """The demo's last stage: the real images alone and with the synthetic ones, and the table in results.json.

    Args:
        out: the demo's folder, with synthetic/ and results.json in it; gets real/ and classifier/.
        real, test: Parquet files of the real images.

    Returns:
        Top-1 accuracy on the test images, %, of every arm, seed by seed.
    """
    with locked_folder(out):
        return _demo_trial(out, real, test)


def _demo_trial(out: Path, real: Path, test: Path) -> dict[str, list[float]]:
    folder = out / "real"
    folder.mkdir(exist_ok=True)
    for file, split in ((real, "train"), (test, "test")):
        shutil.copyfile(file, folder / f"{split}.parquet")
    trial = Trial(
        dataset=f"hfds/{folder.resolve()}",
        synthetic=str((out / "synthetic").resolve()),
        flags=(*DEMO_CLASSIFIER, "--num-classes", "10", "--epochs", str(DEMO_EPOCHS), "--lr", DEMO_LR),
        seeds=DEMO_SEEDS,
    )
    started = time.monotonic()
    found = trial.run(out / "classifier")
    summary = out / "results.json"
    known = read_json(summary, "give the same command again", {"seconds_of_this_call": dict})
    known["seconds_of_this_call"]["classifier"] = round(time.monotonic() - started, 1)
    write_json(summary, known | {"classifier": _results(found, trial)})
    return found
