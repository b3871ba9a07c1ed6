"""mvc-hf sweep: settings of generating against what the images are worth.

A part of the real images is kept from everything: the model is fine-tuned on the rest, the rest gives the conditions,
and the kept part judges. Otherwise a cell that copies real images would look best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...comparison.grid import Cell, cells_of
from ...comparison.images import labels_as
from ...comparison.plot import svg
from ...comparison.splits import RealImages, open_real
from ...comparison.tables import Row, as_csv, records
from ...comparison.verdict import Verdict, verdict
from ...config.files import fingerprint
from ...config.recipe import Recipe
from ...config.sections import Section
from ...config.stages.comparing import SweepSettings
from ...data.apart import keep_apart
from ...data.loading import open_dataset
from ...errors import OutputError, RecipeError
from ...report.contact_sheet import contact_sheet
from ...storage.layout import CHECKPOINT, SWEEP
from ...storage.locks import locked_folder
from ...storage.notes import atomic_write, read_json, write_json
from ...utils.progress import say
from .command_line import Classifier, Images, alone, check, policy_flags
from .compare import IMAGES, RUNS, by_arm, check_batch, ratio_flags, row_of, schedule_flags
from .runs import Job, outcomes
from .sets import SyntheticSet, opened
from .sweep_table import FIGURES, remarks, table

CELLS = "cells"
REAL_ALONE = "real alone"
MOST_CLASSES = 10  # on a sheet


@dataclass(frozen=True)
class Sweep:
    """What was found.

    Attributes:
        folder: with sweep.json, sweep.csv, sweep.svg, sweep.png, and the images in cells/.
        rows: real images alone, then a row for each cell.
        verdict: which one would take.
    """

    folder: Path
    rows: list[Row]
    verdict: Verdict
    facts: dict[str, Any]

    def __str__(self) -> str:
        return "\n".join(
            [table(self.rows), "", *remarks(self.rows, self.facts), str(self.verdict), "", str(self.folder)]
        )


@dataclass(frozen=True)
class Prepared:
    """What is checked before anything is spent."""

    real: RealImages
    classifier: Classifier
    cells: list[Cell]
    policy: tuple[str, ...]

    @classmethod
    def of(cls, section: Section[SweepSettings]) -> Prepared:
        settings, run = section.settings, section.run
        alone()
        if section.synthetic:
            raise RecipeError("a sweep makes its synthetic images itself: leave synthetic out")
        run.check()
        folder = run.folder / SWEEP
        keep_apart(run.recipe.dataset, folder)
        keep_apart(settings.validation_dataset, folder)
        check(settings)
        _check_captions(run.recipe, run.model)
        cells = cells_of(settings, run.recipe)
        fraction = 0.0 if settings.validation_dataset else settings.validation_fraction
        real = open_real(
            run.recipe,
            test_dataset=settings.validation_dataset,
            test_split=settings.validation_split,
            fraction=fraction,
            tested=bool(settings.validation_dataset),
        )
        check_batch(settings, len(real.fitted))
        classifier = Classifier.of(settings, len(real.class_names), real.side(settings.input_size))
        return cls(real, classifier, cells, policy_flags(settings.augmentation))


def sweep(section: Section[SweepSettings]) -> Sweep:
    """Make what is missing: a checkpoint, each cell's images, their figures, the trainings. Given again, it goes on.

    Raises:
        MvcError: for anything that the user can mend; what was finished is kept.
    """
    prepared = Prepared.of(section)
    with locked_folder(section.run.folder / SWEEP):
        return _Run(section, prepared).sweep()


@dataclass(frozen=True)
class Trainings:
    """The classifiers of a sweep, on the real images that are not kept from it."""

    settings: SweepSettings
    prepared: Prepared
    folder: Path

    def of(self, cell: Cell | None, made: SyntheticSet | None) -> list[Job]:
        """With the images of a cell, or on real images alone, for every seed."""
        real, own = self.prepared.real, list(self.prepared.policy)
        images = Images(self.folder / IMAGES / real.fitted_folder, "train", real.judged, real.key)
        if cell is not None and made is not None:
            own += ["--aug-synthetic", made.place, *schedule_flags(self.settings, self.settings.schedule)]
            own += ratio_flags(cell.aug_ratio)
        name, digest = (cell.file, made.digest) if cell and made else ("real-alone", "")
        out, rate = self.folder / RUNS, self.settings.rates[0]
        return [
            self.prepared.classifier.job(name, images, own, seed, out, rate, digest)
            for seed in range(self.settings.seeds)
        ]


class _Run:
    """One sweep, step by step."""

    def __init__(self, section: Section[SweepSettings], prepared: Prepared) -> None:
        self.run, self.settings = section.run, section.settings
        self.prepared, self.real, self.cells = prepared, prepared.real, prepared.cells
        self.folder = section.run.folder / SWEEP

    def sweep(self) -> Sweep:
        self.real.copy(self.folder / IMAGES, _columns(self.run.recipe))
        model = self.run.model or self._finetuned()
        sets, figures = {}, {}
        for place, cell in enumerate(dict.fromkeys(cell.images for cell in self.cells), 1):
            say(f"cell {place}: {cell.name}")
            sets[cell] = self._generated(cell, model)
            figures[cell] = self._judged(cell, sets[cell])
        rows = self._rows(sets, figures)
        found = Sweep(self.folder, rows, verdict(rows), self._facts(figures))
        with atomic_write(self.folder / "sweep.png") as temporary:
            self._sheet(sets).save(temporary, "PNG")
        write(found)
        return found

    @property
    def train(self) -> Path:
        return self.folder / IMAGES / self.real.fitted_folder / "train.parquet"

    @property
    def kept(self) -> Path:
        """The real images that nothing but the judging sees."""
        return self.folder / IMAGES / self.real.fitted_folder / f"{self.real.judged}.parquet"

    def _recipe(self) -> Recipe:
        """The run's, on the copies of the images that it may see."""
        own: dict[str, Any] = {"dataset": str(self.train), "split": "train"}
        own |= {"image_column": "image", "label_column": "label"}
        return replace(self.run.recipe, **own, max_images_per_class=None, window=None)

    def _finetuned(self) -> str:
        from ...training.finetune import finetune

        finetune(self._recipe(), self.folder / CHECKPOINT)
        return str(self.folder / CHECKPOINT)

    def _generated(self, cell: Cell, model: str) -> SyntheticSet:
        from ...generation.generate import generate

        place = self.folder / CELLS / cell.file
        generate(cell.recipe(self._recipe()), model, place)
        return opened(str(place), self.real)

    def _judged(self, cell: Cell, made: SyntheticSet) -> dict[str, Any]:
        """The figures of a cell's images, from the file beside them where they have been taken before."""
        from ...assessment.assess import AssessSettings, assess

        file = self.folder / CELLS / f"{cell.file}.json"
        settings = AssessSettings(features=self.settings.features, fit=self.run.recipe.fit)
        key = fingerprint({"images": made.digest, "real": self.real.key, "features": self.settings.features})
        try:
            known = read_json(file, f"remove {file}", {"key": str, "figures": dict})
            if known["key"] == key:
                return known["figures"]
        except (FileNotFoundError, OutputError):  # of a killed call, or damaged: it is taken again
            pass
        found = assess(made.place, str(self.train), str(self.kept), settings=settings).figures
        figures = {name: found["overall"].get(figure) for name, figure in FIGURES.items()}
        figures |= {"extractor": found["extractor"], "judge": found["judge"], "reference": found["reference"]}
        write_json(file, {"key": key, "figures": figures})
        return figures

    def _rows(self, sets: Mapping[Cell, SyntheticSet], figures: Mapping[Cell, dict[str, Any]]) -> list[Row]:
        trainings = Trainings(self.settings, self.prepared, self.folder)
        jobs: dict[Cell | None, list[Job]] = {None: trainings.of(None, None)}
        jobs |= {cell: trainings.of(cell, sets[cell.images]) for cell in self.cells}
        flat = [job for of_cell in jobs.values() for job in of_cell]
        found = by_arm(jobs, outcomes(flat, devices=self.prepared.classifier.devices))
        reference = next(iter(figures.values()))["reference"]
        themselves = {name: reference.get(figure) for name, figure in FIGURES.items()}
        rows = [row_of(REAL_ALONE, found[None], "", themselves)]
        for cell in self.cells:
            facts = cell.settings | {name: figures[cell.images].get(name) for name in FIGURES}
            rows.append(row_of(cell.name, found[cell], REAL_ALONE, facts))
        return rows

    def _sheet(self, sets: Mapping[Cell, SyntheticSet]) -> Any:
        """A row for the real images and for each cell, a block for each class; noise and conditions are the same."""
        named = {"real": str(self.train), **{cell.name: made.place for cell, made in sets.items()}}
        classes = self.real.class_names[:MOST_CLASSES]
        blocks: dict[str, list[list[Any]]] = {name: [] for name in classes}
        for place in named.values():
            source = open_dataset(place, every_class=False)
            labels = labels_as(source, self.real.class_names, "the cell")
            for label, name in enumerate(classes):
                rows = (labels == label).nonzero()[0][: self.settings.shown]
                blocks[name].append([source.image(int(row)) for row in rows])
        return contact_sheet(blocks, list(named))

    def _facts(self, figures: Mapping[Cell, dict[str, Any]]) -> dict[str, Any]:
        import dataclasses

        settings = {field.name: getattr(self.settings, field.name) for field in dataclasses.fields(self.settings)}
        settings |= {name: Path(settings[name]).name for name in ("script", "validation_dataset") if settings[name]}
        judged = self.real.test.rows if self.real.test is not None else self.real.chosen
        one = next(iter(figures.values()))
        return {
            "real": {"name": self.real.source.name, "revision": self.real.source.revision},
            "trained_on": len(self.real.fitted),
            "judged_by": len(judged),
            "may_have_seen_them": bool(self.run.model) and not self.settings.validation_dataset,
            "extractor": one["extractor"],
            "judge": one["judge"],
            "reference": one["reference"],
            "settings": settings,
        }


def write(found: Sweep) -> None:
    """sweep.json, sweep.csv and sweep.svg, each whole or not at all."""
    rows = records(found.rows)
    told = {"take": found.verdict.best or None, "better_than": list(found.verdict.beaten)}
    told |= {"not_told_from": list(found.verdict.open), "in_words": str(found.verdict)}
    write_json(found.folder / "sweep.json", found.facts | {"verdict": told, "cells": rows})
    title = f"{found.facts['settings']['classifier']} on {found.facts['trained_on']:,} real images"
    for name, text in (("sweep.csv", as_csv(rows)), ("sweep.svg", svg(found.rows, title))):
        with atomic_write(found.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _columns(recipe: Recipe) -> tuple[str, ...]:
    """Columns of the data set that the run looks at."""
    kind, _, name = recipe.captions.partition(":")
    return tuple(dict.fromkeys(filter(None, (name if kind == "column" else "", recipe.group_column or ""))))


def _check_captions(recipe: Recipe, model: str) -> None:
    if (
        not model
        and recipe.captions.endswith(".parquet")
        and recipe.captions.partition(":")[0] not in ("template", "column")
    ):
        raise RecipeError(
            "a sweep keeps a part of the real images apart, and the rows of a captions file are counted over all of "
            "them: take captions from a column, a template or a model, or give a finished checkpoint (model)"
        )
