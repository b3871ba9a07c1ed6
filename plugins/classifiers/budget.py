"""What a comparison will cost on this machine: measured on a few epochs of each augmentation, and multiplied out."""

from __future__ import annotations

import tempfile
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...comparison.arms import Arm, all_arms
from ...config.sections import Section
from ...config.stages.comparing import CompareSettings, SweepSettings
from ...inspection.cost_table import Estimate, aligned, duration, size
from ...storage.layout import COMPARE, MANIFEST, SYNTHETIC
from .command_line import Classifier
from .compare import IMAGES, Jobs, Prepared
from .runs import Job, outcomes
from .sets import SyntheticSet, given_sets, methods_of

SHORT, LONG = 2, 6  # epochs of the trainings that are measured
LEAST, MOST = 0.8, 1.3  # of what they say, that is promised


@dataclass(frozen=True)
class Pace:
    """What a training takes: seconds before and after its epochs, and for each."""

    start: float
    epoch: float

    @classmethod
    def of(cls, short: float, long: float) -> Pace:
        epoch = max(0.0, (long - short) / (LONG - SHORT))
        return cls(max(0.0, short - SHORT * epoch), epoch)

    def training(self, epochs: int, share: float = 1.0) -> float:
        """Seconds of one with so many epochs of a share of the images."""
        return self.start + epochs * self.epoch * share


def measure(classifier: Classifier, jobs: Mapping[str, Job], folder: Path) -> dict[str, Pace]:
    """The pace of each job, by its name. Nothing is left but what is in the folder."""
    first = next(iter(jobs.values()))
    warm = [classifier.briefly(first, SHORT, folder / f"warm-{i}.json") for i, _ in enumerate(classifier.devices)]
    timed = {
        (name, epochs): classifier.briefly(job, epochs, folder / f"{number}-{epochs}.json")
        for number, (name, job) in enumerate(jobs.items())
        for epochs in (SHORT, LONG)
    }
    outcomes([*warm, *timed.values()], devices=classifier.devices, what="measuring")
    return {name: Pace.of(timed[name, SHORT].seconds(), timed[name, LONG].seconds()) for name in jobs}


def budget_of(section: Section[CompareSettings]) -> str:
    """A table of what `compare` will take, and of what is there already.

    Raises:
        MvcError: what `compare` itself would raise before it trains.
    """
    started = time.monotonic()
    prepared, settings = Prepared.of(section), section.settings
    sets, missing = _sets(section, prepared)
    real, classifier = prepared.real, prepared.classifier
    with tempfile.TemporaryDirectory(prefix="mvc-hf-budget-") as name:
        folder = Path(name)
        real.copy(folder / IMAGES)
        there = Jobs(settings, prepared, sets, folder)
        arms = {aug: Arm(aug) for aug in all_names(settings)}
        given = next(iter(section.synthetic), None)
        if given is not None:
            arms["synthetic"] = Arm("none", given, "combined")
        jobs = {label: there.final(arm, settings.rates[0])[0] for label, arm in arms.items()}
        paces = measure(classifier, jobs, folder)
        copies = sum(file.stat().st_size for file in (folder / IMAGES).rglob("*.parquet"))
    slower = paces["synthetic"].epoch / (paces["none"].epoch or 1) if "synthetic" in paces else 1.0

    def seconds(arm: Arm, share: float) -> float:
        return paces[arm.augmentation].training(settings.epochs, share * (max(1.0, slower) if arm.method else 1.0))

    final = Jobs(settings, prepared, sets, section.run.folder / COMPARE)
    wanted = all_arms(settings.list_of("augmentations"), list(sets), settings.list_of("schedules"))
    share = len(real.fitted) / len(real.source.rows)
    stages = [("test", [(arm, job) for arm in wanted for job in final.final(arm, settings.rates[0])], 1.0)]
    if len(real.chosen):
        choices = [(arm, job) for arm in wanted for rate in settings.rates for job in final.choice(arm, rate)]
        stages.insert(0, ("choose by", choices, share))
    rows, total = [("trainings to", "number", "there", "each", "the others")], 0.0
    for label, pairs, part in stages:
        open_jobs = [
            seconds(arm, part) for arm, job in pairs if job.result.parent.is_dir() is False or not job.finished
        ]
        each = _about([seconds(arm, part) for arm, _ in pairs])
        spent = sum(open_jobs) / len(classifier.devices)
        total += spent
        done = len(pairs) - len(open_jobs)
        rows.append((label, f"{len(pairs)}", f"{done}", str(each), str(_about([spent])) if open_jobs else "-"))
    rows.append(("in all", "", "", "", str(_about([total])) if total else "-"))
    return "\n".join([*aligned(rows), "", *_remarks(section, prepared, wanted, copies, missing, started)])


def budget_of_sweep(section: Section[SweepSettings]) -> str:
    """The same of a sweep: its images, and its trainings.

    Raises:
        MvcError: what `sweep` itself would raise before it begins.
    """
    from ...inspection.estimate import plan
    from .sweep import IMAGES, Trainings
    from .sweep import Prepared as PreparedSweep

    started = time.monotonic()
    prepared, settings, run = PreparedSweep.of(section), section.settings, section.run
    with tempfile.TemporaryDirectory(prefix="mvc-hf-budget-") as name:
        folder = Path(name)
        prepared.real.copy(folder / IMAGES)
        job = Trainings(settings, prepared, folder).of(None, None)[0]
        pace = measure(prepared.classifier, {"real alone": job}, folder)["real alone"]
    made_by = list(dict.fromkeys(cell.images for cell in prepared.cells))
    planned = plan(run.unpublished())
    stages = {stage.name: stage.time for stage in planned.stages}
    first = Estimate(0.0, 0.0)
    for stage, took in stages.items():
        first = first if stage == "generate" else first + took
    passes = sum(_passes(cell.guidance_scale) * cell.num_inference_steps for cell in made_by)
    usual = _passes(run.recipe.guidance_scale) * run.recipe.num_inference_steps
    making = stages["generate"].times(passes / usual)
    count = (len(prepared.cells) + 1) * settings.seeds
    training = _about([count * pace.training(settings.epochs) / len(prepared.classifier.devices)])
    rows = [
        ("stage", "number", "time"),
        ("checkpoint", "1", str(first)),
        ("images of a cell", str(len(made_by)), str(making)),
        ("trainings", str(count), str(training)),
        ("in all", "", str(first + making + training)),
    ]
    note = (
        f"{len(prepared.cells)} cells of {len(made_by)} synthetic sets. Measured in "
        f"{duration(time.monotonic() - started)}; nothing of it is kept. The figures of a cell (features, neighbours, "
        "labels) come on top, and so does what is there already, which is not taken off. Disk: about "
        f"{size(len(made_by) * planned.disk['shards'])} of images."
    )
    return "\n".join([*aligned(rows), "", *textwrap.wrap(note, 100)])


def _passes(guidance: float) -> int:
    """Of the U-Net in a step: without guidance one does."""
    return 1 if guidance == 1 else 2


def _about(seconds: Sequence[float]) -> Estimate:
    """A few epochs know little of a machine that others use, too."""
    return Estimate(min(seconds) * LEAST, max(seconds) * MOST)


def all_names(settings: CompareSettings) -> list[str]:
    """The augmentations, with none."""
    return list(dict.fromkeys(["none", *settings.list_of("augmentations")]))


def _sets(section: Section[CompareSettings], prepared: Prepared) -> tuple[dict[str, SyntheticSet], bool]:
    """The synthetic sets by name, and whether some have still to be made."""
    if section.synthetic:
        return given_sets(section.synthetic, prepared.real), False
    made = (section.run.folder / SYNTHETIC / MANIFEST).is_file()
    return {method: SyntheticSet("to be made", "") for method in methods_of(section)}, not made


def _remarks(
    section: Section[CompareSettings],
    prepared: Prepared,
    arms: Sequence[Arm],
    copies: int,
    missing: bool,
    started: float,
) -> list[str]:
    settings, devices = section.settings, prepared.classifier.devices
    where = f"{len(devices)} at a time on " + ("the CPU" if devices[0] == "cpu" else "GPUs")
    text = (
        f"{len(arms)} arms, {settings.seeds} seeds, {settings.epochs} epochs of {len(prepared.real.source.rows):,} "
        f"images, {where}. Measured in {duration(time.monotonic() - started)} on {SHORT} and {LONG} epochs of each "
        f"augmentation; nothing of it is kept. Copies of the real images: {size(copies)}, and about as much again in "
        "the cache of each stage."
    )
    lines = textwrap.wrap(text, 100)
    if missing:
        from ...inspection.estimate import plan

        lines += ["", "Before that, the synthetic images are made:", "", str(plan(section.run.unpublished()))]
        more = methods_of(section)[1:]
        lines += [f"and as much generating again for {', '.join(more)}."] if more else []
    return lines
