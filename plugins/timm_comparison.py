"""Do the synthetic images pay? A small classifier of timm's on real images alone and with synthetic ones.

Every arm makes the same number of updates, from the same seeds, through the hook that `mvc-hf train` uses.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from ..errors import MvcError
from ..storage.locks import locked_folder
from ..storage.notes import atomic_write, read_json, write_json
from ..utils.progress import bar, be_silent

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
        jobs = list(self._jobs(out))
        missing = [flags for result, flags in jobs if not _finished(result, flags)]
        with bar(len(jobs), "training classifiers", " runs") as progress:
            progress.update(len(jobs) - len(missing))
            for _ in _side_by_side(missing):
                progress.update()
        found = iter([_top1(result) for result, _ in jobs])
        return {arm: [next(found) for _ in self.seeds] for arm in ARMS}

    def _jobs(self, out: Path) -> Iterator[tuple[Path, list[str]]]:
        for arm, schedule in ARMS.items():
            for seed in self.seeds:
                result = out / f"{arm.lower().replace(' ', '-')}-{seed}.json"
                flags = [str(out / "cache"), "--dataset", self.dataset, "--output", str(result), "--seed", str(seed)]
                synthetic = ["--aug-synthetic", self.synthetic, *schedule] if schedule else []
                yield result, [*flags, *self.flags, *synthetic]


# 97.5th percentile of Student's t for 1, 2, … degrees of freedom
T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
     2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045)  # fmt: skip


def paired_difference(values: Sequence[float], first: Sequence[float]) -> tuple[float, float]:
    """Mean of the differences seed by seed, and half the width of its 95 % interval (Student's t); inf for one seed.

    The seeds vary the classifier: its weights, the order and crops of its images. The images, real and synthetic, are
    the same for all, so the interval says nothing of other draws of them.
    """
    differences = [value - other for value, other in zip(values, first, strict=True)]
    freedom = len(differences) - 1
    if not freedom:
        return differences[0], math.inf
    quantile = T[freedom - 1] if freedom <= len(T) else 1.96 + 2.4 / freedom
    return statistics.mean(differences), quantile * statistics.stdev(differences) / math.sqrt(len(differences))


def table(accuracies: dict[str, list[float]]) -> str:
    """Mean ± standard deviation over the seeds, a line for each arm, and the paired difference to the first, ± half
    the width of its 95 % interval."""
    first = next(iter(accuracies.values()))
    lines = [f"{'training images':<20}{'top-1 accuracy, %':>20}{'paired difference':>20}"]
    for arm, values in accuracies.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        name, difference = arm, ""
        if values is not first:
            mean, half = paired_difference(values, first)
            name, difference = f"+ MVC, {arm}", f"{mean:+.1f}" + (f" ± {half:.1f}" if math.isfinite(half) else "")
        lines.append(f"{name:<20}{f'{statistics.mean(values):.1f} ± {spread:.1f}':>20}{difference:>20}".rstrip())
    return "\n".join(lines)


def _finished(result: Path, flags: Sequence[str]) -> bool:
    """Whether this very run has been made."""
    try:
        return json.loads(result.with_suffix(".flags").read_text()) == list(flags) and _top1(result) is not None
    except (OSError, ValueError, MvcError):
        return False


def _top1(result: Path) -> float:
    return read_json(result, "give the same command again", {"top1": float})["top1"]


def _side_by_side(jobs: Sequence[Sequence[str]]) -> Iterator[None]:
    if not jobs:
        return
    workers = min(len(jobs), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_quiet)
    try:
        running: list[Future[None]] = [pool.submit(_train, list(flags)) for flags in jobs]
        for done in as_completed(running):
            yield done.result()
    except BaseException:  # of one run, or Ctrl-C: the other runs would go on for minutes before anybody heard of it
        for process in set(active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _quiet() -> None:
    """One bar tells of all the runs, and the process that waits for them of Ctrl-C, which reaches all."""
    import datasets

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    be_silent()
    datasets.disable_progress_bars()


def _train(flags: list[str]) -> None:
    """One run."""
    from . import timm_small_train
    from .timm_train import train

    train(timm_small_train.__file__, flags)
    result = Path(flags[flags.index("--output") + 1])
    with atomic_write(result.with_suffix(".flags")) as temporary:
        temporary.write_text(json.dumps(flags) + "\n", encoding="utf-8")


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


def demo_trial(out: Path, real: Path, test: Path) -> dict[str, list[float]]:
    """The demo's last stage: 1,000 real images alone and with the synthetic ones, and the table in results.json.

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
        flags=(
            "--model",
            "resnet10t",
            "--model-kwargs",
            json.dumps(DEMO_MODEL),
            "--num-classes",
            "10",
            "--epochs",
            "48",
        ),
        seeds=(0, 1, 2),
    )
    started = time.monotonic()
    found = trial.run(out / "classifier")
    summary = out / "results.json"
    known = read_json(summary, "give the same command again", {"seconds_of_this_call": dict})
    known["seconds_of_this_call"]["classifier"] = round(time.monotonic() - started, 1)
    write_json(summary, known | {"classifier": _results(found, trial)})
    return found
