"""mvc-hf compare: what synthetic images add to a classifier, beside and on top of the usual augmentations.

All arms train the same model for as many updates from the same seeds. Choices are made on a part of the real training
images; the test images are read once, by the classifiers that are trained, after their last epoch.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...comparison.arms import Arm, all_arms
from ...comparison.plot import svg
from ...comparison.splits import ALL, CHOICE, RealImages, open_real
from ...comparison.tables import Row, as_csv, differences, records, table
from ...config.sections import Section
from ...config.stages.comparing import ClassifierSettings, CompareSettings
from ...data.apart import keep_apart
from ...errors import HostError, RecipeError
from ...storage.layout import COMPARE
from ...storage.locks import locked_folder
from ...storage.notes import atomic_write, write_json
from ...utils.text import brief
from .command_line import Classifier, Images, alone, check, policy_flags
from .runs import Job, Outcome, outcomes
from .sets import SyntheticSet, check_methods, given_sets, made_by_run

IMAGES, RUNS = "images", "runs"


@dataclass(frozen=True)
class Comparison:
    """What was compared.

    Attributes:
        folder: with comparison.json, comparison.csv and comparison.svg.
        rows: the arms on the test images.
        facts: about all of them.
    """

    folder: Path
    rows: list[Row]
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """What comparison.json holds."""
        return {**self.facts, "arms": records(self.rows)}

    def __str__(self) -> str:
        return "\n".join([table(self.rows), *_remarks(self.rows, self.facts), "", str(self.folder)])


def compare(section: Section[CompareSettings]) -> Comparison:
    """Make what is missing: the synthetic images, the trainings, the table. Given again, it goes on where it was.

    Raises:
        MvcError: for anything that the user can mend; what was finished is kept.
    """
    prepared = Prepared.of(section)
    sets = given_sets(section.synthetic, prepared.real) or made_by_run(section, prepared.real)
    folder = section.run.folder / COMPARE
    with locked_folder(folder):
        prepared.real.copy(folder / IMAGES)
        return _compare(section.settings, prepared, sets, folder)


@dataclass(frozen=True)
class Prepared:
    """What is checked before anything is spent."""

    real: RealImages
    classifier: Classifier
    policies: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, section: Section[CompareSettings]) -> Prepared:
        settings, run = section.settings, section.run
        alone()
        run.refuse_others_folder()
        folder = run.folder / COMPARE
        keep_apart(run.recipe.dataset, folder)
        keep_apart(settings.test_dataset, folder)
        check(settings)
        policies = {name: policy_flags(name) for name in ("none", *settings.list_of("augmentations"))}
        if not section.synthetic:
            run.check()
            check_methods(section)
        real = open_real(
            run.recipe,
            test_dataset=settings.test_dataset,
            test_split=settings.test_split,
            fraction=settings.validation_fraction,
        )
        classifier = Classifier.of(settings, len(real.class_names), real.side(settings.input_size))
        check_batch(settings, len(real.fitted))
        return cls(real, classifier, policies)


def _compare(
    settings: CompareSettings, prepared: Prepared, sets: Mapping[str, SyntheticSet], folder: Path
) -> Comparison:
    classifier, real = prepared.classifier, prepared.real
    arms = all_arms(settings.list_of("augmentations"), list(sets), settings.list_of("schedules"))
    jobs = Jobs(settings, prepared, sets, folder)
    validated = _chosen(jobs, arms) if len(real.chosen) else {}
    rates = {arm: found[0] for arm, found in validated.items()}
    final = {arm: jobs.final(arm, rates.get(arm, settings.rates[0])) for arm in arms}
    found = by_arm(final, outcomes([j for a in final.values() for j in a], devices=classifier.devices))
    updates = {outcome.updates for of_arm in found.values() for outcome in of_arm}
    if len(updates) != 1:
        raise HostError(f"the arms made different numbers of updates, {sorted(updates)}: nothing can be compared")
    rows = [_row(arm, found[arm], rates.get(arm, settings.rates[0]), validated.get(arm)) for arm in arms]
    facts = _facts(settings, prepared, sets, updates.pop())
    if validated:
        facts["best_on_validation"] = max(arms, key=lambda arm: validated[arm][1]).name
    comparison = Comparison(folder, rows, facts)
    write(comparison)
    return comparison


def check_batch(settings: ClassifierSettings, images: int) -> None:
    """Raises RecipeError: an epoch has no full batch."""
    if images < settings.batch_size:
        raise RecipeError(
            f"--batch-size is {settings.batch_size}, and there are {images} real images to train on: lower it, so "
            "that an epoch has a full batch"
        )


@dataclass(frozen=True)
class Jobs:
    """The trainings of an arm: on all real images, judged on the test; and on a part, judged on the rest."""

    settings: CompareSettings
    prepared: Prepared
    sets: Mapping[str, SyntheticSet]
    folder: Path

    def final(self, arm: Arm, rate: float) -> list[Job]:
        real = self.prepared.real
        images = Images(self.folder / IMAGES / ALL, "train", "test", real.key)
        return self._of(arm, images, rate, self.folder / RUNS)

    def choice(self, arm: Arm, rate: float) -> list[Job]:
        real = self.prepared.real
        images = Images(self.folder / IMAGES / CHOICE, "train", "validation", real.key)
        return self._of(arm, images, rate, self.folder / RUNS / f"validation-lr-{rate:g}")

    def _of(self, arm: Arm, images: Images, rate: float, out: Path) -> list[Job]:
        own, digest = self._own(arm), self.sets[arm.method].digest if arm.method else ""
        return [
            self.prepared.classifier.job(arm.file, images, own, seed, out, rate, digest)
            for seed in range(self.settings.seeds)
        ]

    def _own(self, arm: Arm) -> list[str]:
        settings, flags = self.settings, list(self.prepared.policies[arm.augmentation])
        if not arm.method:
            return flags
        flags += ["--aug-synthetic", self.sets[arm.method].place]
        return [*flags, *schedule_flags(settings, arm.schedule), *ratio_flags(settings.aug_ratio)]


def schedule_flags(settings: Any, schedule: str) -> list[str]:
    """The flags of a schedule, with the settings that mean something to it."""
    flags = ["--aug-schedule", schedule]
    if schedule == "rsp":
        flags += ["--aug-prob", str(settings.rsp_prob)]
    if schedule == "two-phase":
        flags += ["--aug-phase2-lr-scale", str(settings.phase2_lr_scale)]
        flags += ["--aug-phase2-epochs", str(settings.phase2_epochs)] if settings.phase2_epochs else []
    return flags


def ratio_flags(ratio: float | None) -> list[str]:
    return [] if ratio is None else ["--aug-ratio", str(ratio)]


def by_arm(jobs: Mapping[Any, Sequence[Job]], found: Sequence[Outcome]) -> dict[Any, list[Outcome]]:
    """The outcomes of all jobs, in their order, as those of each arm."""
    each = iter(found)
    return {key: [next(each) for _ in of_key] for key, of_key in jobs.items()}


def _chosen(jobs: Jobs, arms: Sequence[Arm]) -> dict[Arm, tuple[float, float]]:
    """For each arm the rate that does best on the validation split, and its mean accuracy there, %. Of equal ones the
    first."""
    tried = {(arm, rate): jobs.choice(arm, rate) for arm in arms for rate in jobs.settings.rates}
    flat = [job for of_key in tried.values() for job in of_key]
    found = by_arm(tried, outcomes(flat, devices=jobs.prepared.classifier.devices, what="training to choose by"))
    means = {key: statistics.mean(o.top1 for o in of_key) for key, of_key in found.items()}
    best = {arm: max(jobs.settings.rates, key=lambda rate: means[arm, rate]) for arm in arms}
    return {arm: (rate, means[arm, rate]) for arm, rate in best.items()}


def _row(arm: Arm, found: Sequence[Outcome], rate: float, validated: tuple[float, float] | None) -> Row:
    facts: dict[str, Any] = {"augmentation": arm.augmentation, "synthetic": arm.method or None}
    facts |= {"schedule": arm.schedule or None, "lr": rate}
    facts["validation_mean"] = round(validated[1], 2) if validated else None
    return row_of(arm.name, found, arm.reference.name if arm.reference else "", facts)


def row_of(name: str, found: Sequence[Outcome], against: str, facts: dict[str, Any]) -> Row:
    """A row of a table from the outcomes of its seeds."""
    marks = [outcome.right for outcome in found]
    known = [mark for mark in marks if mark is not None]
    right = np.stack(known) if len(known) == len(marks) and len({len(mark) for mark in known}) == 1 else None
    return Row(name, tuple(outcome.top1 for outcome in found), against, right, facts)


def _facts(
    settings: CompareSettings, prepared: Prepared, sets: Mapping[str, SyntheticSet], updates: int
) -> dict[str, Any]:
    """No place on this machine is among them: a folder goes by its name."""
    import dataclasses

    real = prepared.real
    assert real.test is not None
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    values |= {name: Path(values[name]).name for name in ("script", "test_dataset") if values[name]}
    return {
        "real": {"name": real.source.name, "revision": real.source.revision, "images": len(real.source.rows)},
        "test": {"name": real.test.name, "revision": real.test.revision, "images": len(real.test.rows)},
        "validation_images": len(real.chosen),
        "classes": list(real.class_names),
        "synthetic": {
            name: {"name": Path(s.place).name, "digest": s.digest, "made_of_these": s.made_of_these}
            for name, s in sets.items()
        },
        "updates": updates,
        "settings": values,
    }


def write(comparison: Comparison) -> None:
    """comparison.json, comparison.csv and comparison.svg, each whole or not at all."""
    found = records(comparison.rows)
    write_json(comparison.folder / "comparison.json", comparison.to_json())
    title = f"{comparison.facts['settings']['classifier']} on {comparison.facts['real']['images']:,} real images"
    for name, text in (("comparison.csv", as_csv(found)), ("comparison.svg", svg(comparison.rows, title))):
        with atomic_write(comparison.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _remarks(rows: Sequence[Row], facts: Mapping[str, Any]) -> list[str]:
    """What a reader of the table should know."""
    seeds, found = len(rows[0].top1), differences(rows)
    lines = [
        "",
        f"{facts['test']['images']:,} test images, read once, after the last epoch; {facts['updates']:,} updates of "
        f"{facts['settings']['classifier']} in every arm; mean ± standard deviation over {seeds} seeds.",
    ]
    for name, about in facts["synthetic"].items():
        if about["made_of_these"] is False:
            lines.append(f"{name} was made from other real images than these: that it gains may be due to them.")
    if seeds == 1:
        return [*lines, "One seed says nothing of how sure a difference is: give --seeds 5."]
    clear = [name for name, d in found.items() if d.certain]
    lines.append(
        f"The paired difference is that seed by seed, ± half its 95 % interval. With the draw of the test images, "
        f"too, {len(clear)} of {len(found)} are clear of zero; about {0.05 * len(found):.1f} would be by chance."
    )
    if "best_on_validation" in facts:
        best = facts["best_on_validation"]
        row = next(row for row in rows if row.name == best)
        lines.append(
            f"Best on the {facts['validation_images']} validation images: {brief(best)}, {row.mean:.1f} % here."
        )
    return lines
