"""A synthetic split against the real images: what `mvc-hf report` calls."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..augment.scores import addresses, split_digest, write_scores
from ..config.assessing import AssessSettings
from ..errors import ModelError, RecipeError
from ..features.classifier import Trainer, size_for
from ..features.extraction import features, pixels
from ..features.extractor import CLASSIFIER, DEFAULT, SECOND, Extractor, cached_models, open_timm
from ..storage.layout import FIGURES, PAGE, SCORES, SHEET
from ..storage.locks import locked_folder
from ..storage.notes import atomic_write, write_json
from ..utils.distributed import Alone
from ..utils.intervals import Figure, share
from ..utils.memory import check_room, enough_memory
from ..utils.progress import bar, say
from . import copies, fidelity, labels
from .definitions import main_figures
from .findings import findings
from .neighbours import Space, normalised
from .sets import ImageSet, Sets, open_sets

if TYPE_CHECKING:
    import torch

FORMAT = 1
MOST_SUSPECTS = 1000  # that are listed; the scores have all of them


@dataclass(frozen=True)
class Assessment:
    """What was found.

    Attributes:
        figures: everything, as report.json has it: plain values, figures as {value, low, high, n}.
        columns: of scores.parquet, a value for each synthetic image: see `mvc_hf.augment.scores.COLUMNS`.
    """

    figures: dict[str, Any]
    columns: dict[str, Any]
    sets: Sets = field(repr=False)
    nearest_made: copies.Nearest = field(repr=False)
    nearest_held: copies.Nearest = field(repr=False)
    within: copies.Nearest = field(repr=False)

    def __str__(self) -> str:
        return "\n".join(finding["text"] for finding in self.figures["findings"])

    def save(self, folder: str | Path) -> Path:
        """Write report.html, report.json, scores.parquet and sheet.png; returns the page.

        Raises:
            OutputError: another command writes there, or it is a file.
        """
        with locked_folder(Path(folder)):
            return self.write(Path(folder))

    def write(self, folder: Path) -> Path:
        """As `save`, by whoever has locked the folder."""
        from .page import draw_sheet, page

        text, sheet = page(self), draw_sheet(self)
        about = {name: self.figures[name] for name in ("split", "shards", "extractor", "judge", "sets")}
        write_scores(folder / SCORES, self.columns, about)
        with atomic_write(folder / SHEET) as temporary:
            sheet.save(temporary, "PNG")
        with atomic_write(folder / PAGE) as temporary:
            temporary.write_text(text, encoding="utf-8")
        write_json(folder / FIGURES, self.figures)
        return folder / PAGE


def assess(
    synthetic: str, real: str, holdout: str | None = None, *, settings: AssessSettings | None = None
) -> Assessment:
    """Judge a synthetic split: fidelity, diversity, copies and labels, overall and by class.

    Features of images, and the networks that are trained for it, go to the cache: given again after an interruption,
    it goes on.

    Args:
        synthetic: the split, as `open_dataset` takes it.
        real: the real images that it was made from.
        holdout: real images that it was not made from.
        settings: see `AssessSettings`.

    Raises:
        DataError: a set cannot be used, or has other classes.
        ModelError: what the images were to be seen through cannot be had; the line says what could.
        NotEnoughMemory: for these settings.
    """
    settings = settings or AssessSettings()
    if settings.feature_weights and settings.features in (None, CLASSIFIER):
        raise RecipeError("--feature-weights are those of a timm model: name it with --features")
    device = Alone().device
    check_room(16 * settings.block_size**2, device, f"--block-size {settings.block_size}")
    size = settings.feature_size or 32
    check_room(12 * settings.batch_size * size**2, device, f"--batch-size {settings.batch_size}")
    with enough_memory("report", device):
        extractor = _extractor(settings, device)  # before the images are read: it may not be there
        sets = open_sets(synthetic, real, holdout, settings)
        return _Run(settings, sets, device, extractor, _shards(synthetic)).assessment()


def _extractor(settings: AssessSettings, device: torch.device) -> Extractor | None:
    """The one that was asked for; else the first of the usual ones that can be had. None for the classifier."""
    if settings.features == CLASSIFIER:
        return None
    if settings.features is not None:
        return open_timm(settings.features, settings.feature_weights, settings.feature_size, device)
    try:
        return open_timm(DEFAULT, None, settings.feature_size, device)
    except ModelError as error:
        if SECOND in cached_models():
            say(f"note: {error}; taking {SECOND} from the cache")
            return open_timm(SECOND, None, settings.feature_size, device)
        say(f"note: {error}. Taking {CLASSIFIER}: figures of different extractors cannot be compared")
        return None


def _shards(synthetic: str) -> str | None:
    """A digest of the shards of a folder that `generate` made, by which a card knows that a report is of them."""
    from ..config.files import fingerprint
    from ..errors import OutputError
    from ..storage.manifest import read_manifest

    try:
        manifest = read_manifest(Path(synthetic).expanduser())
    except (OutputError, OSError):
        return None
    return fingerprint({"shards": [shard["sha256"] for shard in manifest["shards"]]}) if manifest else None


class _Run:
    """One assessment, step by step."""

    def __init__(
        self, settings: AssessSettings, sets: Sets, device: torch.device, extractor: Extractor | None,
        shards: str | None,
    ) -> None:  # fmt: skip
        self.settings, self.sets, self.shards, self.device = settings, sets, shards, device
        self.space = Space(settings.block_size, device)
        self.classes = len(sets.class_names)
        self.folds = labels.folds_of(sets.real.labels, min(settings.folds, len(sets.real)), settings.seed)
        self.extractor, self.judgement = self._seen_through(extractor)
        self.made, self.real = (self._features(part) for part in (sets.synthetic, sets.real))
        self.held = self._features(sets.holdout) if sets.holdout else None
        if self.judgement is None:
            others = [self.made] if self.held is None else [self.made, self.held]
            self.judgement = labels.by_features(
                self.real, sets.real.labels, others, self.classes, self.folds, self.extractor.name
            )

    def _seen_through(self, extractor: Extractor | None) -> tuple[Extractor, labels.Judgement | None]:
        """The extractor; with the judge of labels, where both are the same kind of network, trained here."""
        if extractor is not None:
            return extractor, None
        settings, real = self.settings, self.sets.real
        first = real.source.image(0)
        size = settings.feature_size or size_for(min(first.size))
        trainer = Trainer(
            real.source.fingerprint, self.classes, size, settings.classifier_steps, settings.seed, self.device
        )
        pictures, *others = (
            pixels(part.source, size, part.role) for part in (real, self.sets.synthetic, self.sets.holdout) if part
        )
        judgement = labels.by_training(trainer, pictures, real.labels, others, self.folds)
        whole = trainer.trained(pictures, real.labels, np.arange(len(real)), "classifier for features")
        return trainer.extractor(whole), judgement

    def _features(self, part: ImageSet) -> np.ndarray:
        found = features(part.source, self.extractor, self.settings.batch_size, part.role)
        if not np.isfinite(found).all():
            raise ModelError(f"{self.extractor.name} gives features that are no numbers: take another --features")
        return found

    def assessment(self) -> Assessment:
        settings, sets, k = self.settings, self.sets, self.settings.neighbours
        assert self.judgement is not None
        near = copies.Nearest.of
        made = near(self.made, self.real, k, self.space, itself=False, what="nearest real images")
        among_real = near(self.real, self.real, k, self.space, itself=True, what="nearest among real images")
        within = near(self.made, self.made, k, self.space, itself=True, what="nearest among synthetic images")
        if self.held is not None and sets.holdout is not None:
            held = near(self.held, self.real, k, self.space, itself=False, what="nearest of held-out images")
            held_labels = sets.holdout.labels
        else:
            held, held_labels = among_real, sets.real.labels
        test = copies.compare(made, sets.synthetic.labels, held, held_labels)
        drawn, drawn_held = self._drawn()
        suspects = _suspects({"features": (made, held), "pixels": (drawn, drawn_held)})
        twins = copies.duplicates(within, among_real)
        columns = self._columns(made, drawn, within, [s["row"] for s in suspects], twins)
        overall, reference, by_class = self._figures(columns)
        leaked = int((held.distance <= copies.IDENTICAL).sum()) if self.held is not None else 0
        figures: dict[str, Any] = {
            "format": FORMAT, "split": split_digest(sets.synthetic.source), "shards": self.shards,
            "extractor": self.extractor.name, "dimension": self.made.shape[1], "judge": self.judgement.judge,
            "sets": {part.role: _about(part) for part in (sets.synthetic, sets.real, sets.holdout) if part},
            "settings": _as_json(settings), "notes": list(sets.notes), "overall": overall, "reference": reference,
            "classes": by_class,
            "copies": {
                "test": {name: _plain(value) for name, value in vars(test).items()},
                "against": "held-out images" if self.held is not None else "real images among themselves",
                "floor": copies.lowest(held), "leaked": leaked,
                "by_chance": len(sets.synthetic) / (len(held.distance) + 1),
                "suspects": suspects[:MOST_SUSPECTS],
            },
            "temperature": self.judgement.temperature,
            "confusion": {
                "synthetic": labels.confusion(
                    sets.synthetic.labels, self.judgement.others[0].argmax(1), self.classes
                ).tolist(),
                "real": labels.confusion(sets.real.labels, self.judgement.real.argmax(1), self.classes).tolist(),
            } if self.classes <= 100 else None,
        }  # fmt: skip
        figures["findings"] = findings(figures)
        figures["main"] = main_figures(figures)
        return Assessment(figures, columns, sets, made, held, within)

    def _drawn(self) -> tuple[copies.Nearest, copies.Nearest]:
        """The nearest real image of each synthetic one, and of each held-out one, by the pictures themselves."""
        sets, k = self.sets, self.settings.neighbours
        made, real = (
            copies.outlines(pixels(part.source, copies.SMALL, f"small {part.role}"))
            for part in (sets.synthetic, sets.real)
        )
        what = "nearest real pictures"
        found = copies.Nearest.of(made, real, k, self.space, itself=False, what=what)
        if sets.holdout is None:
            return found, copies.Nearest.of(real, real, k, self.space, itself=True, what=what)
        held = copies.outlines(pixels(sets.holdout.source, copies.SMALL, f"small {sets.holdout.role}"))
        return found, copies.Nearest.of(held, real, k, self.space, itself=False, what=what)

    def _columns(
        self,
        made: copies.Nearest,
        drawn: copies.Nearest,
        within: copies.Nearest,
        suspects: list[int],
        twins: np.ndarray,
    ) -> dict[str, Any]:
        """The columns of the scores."""
        assert self.judgement is not None
        sets, n = self.sets, len(self.sets.synthetic)
        given, names = sets.synthetic.labels, np.array(sets.class_names, dtype=object)
        found = self.judgement.others[0].argmax(1)
        wrong = self.judgement.real.argmax(1) != sets.real.labels
        counts = np.bincount(sets.real.labels, minlength=self.classes)
        errors = np.bincount(sets.real.labels, wrong, minlength=self.classes) / np.maximum(counts, 1)
        errors[counts == 0] = np.nan
        at = addresses(sets.synthetic.source)
        looks = np.zeros(n, bool)
        looks[suspects] = True
        alone = n < 2
        return {
            "row": np.arange(n), "label": sets.synthetic.source.labels, "class_name": names[given].tolist(),
            "seed": at.get("seed"), "index": at.get("index"),
            "label_confidence": self.judgement.others[0][np.arange(n), given],
            "predicted_class": names[found].tolist(), "class_error": errors[given],
            "nearest_row": made.row, "nearest_distance": made.distance, "copy_ratio": made.ratio,
            "pixel_row": drawn.row, "pixel_distance": drawn.distance, "pixel_ratio": drawn.ratio,
            "looks_like_copy": looks,
            "duplicate_row": None if alone else within.row, "duplicate_distance": None if alone else within.distance,
            "near_duplicate": twins, "class_distance": self._class_distance(),
        }  # fmt: skip

    def _class_distance(self) -> np.ndarray:
        """Mean distance to the k nearest real images of the class, over the median of the real images' own."""
        found = np.full(len(self.made), np.nan)
        real, made, k = normalised(self.real), normalised(self.made), self.settings.neighbours
        members = dict(fidelity.each_class(self.sets.real.labels, self.classes))
        for label, rows in fidelity.each_class(self.sets.synthetic.labels, self.classes):
            own = real[members[label]]
            if len(own) > k and len(rows):
                usual = np.median(self.space.nearest(own, own, k, itself=True)[0].mean(1))
                found[rows] = self.space.nearest(made[rows], own, k)[0].mean(1) / max(float(usual), 1e-12)
        return found

    def _figures(self, columns: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
        """Of all images, of held-out real ones in the place of the synthetic, and of each class."""
        assert self.judgement is not None
        sets = self.sets
        right = self.judgement.others[0].argmax(1) == sets.synthetic.labels
        real_right = self.judgement.real.argmax(1) == sets.real.labels
        members = dict(fidelity.each_class(sets.real.labels, self.classes))
        by_class = []
        with bar(self.classes + 2, "figures", " sets") as progress:
            overall = _json(self._compared(self.real, self.made) | {"label_agreement": share(right),
                            "near_duplicates": share(columns["near_duplicate"]),
                            "copies": share(columns["looks_like_copy"])})  # fmt: skip
            progress.update()
            reference = self._reference(real_right)
            progress.update()
            for label, rows in fidelity.each_class(sets.synthetic.labels, self.classes):
                own = members[label]
                found = self._compared(self.real[own], self.made[rows]) if len(rows) and len(own) > 1 else {}
                if len(rows):
                    found |= {"label_agreement": share(right[rows]),
                              "near_duplicates": share(columns["near_duplicate"][rows]),
                              "copies": share(columns["looks_like_copy"][rows])}  # fmt: skip
                if len(own) > 1:
                    found["real_agreement"] = share(real_right[own])
                by_class.append(
                    {"class_name": sets.class_names[label], "synthetic": len(rows), "real": len(own), **_json(found)}
                )
                progress.update()
        return overall, reference, by_class

    def _reference(self, real_right: np.ndarray) -> dict[str, Any]:
        """What held-out real images would get; without them, one half of the real images against the other."""
        assert self.judgement is not None
        sets = self.sets
        right = real_right
        if self.held is not None and sets.holdout is not None:
            right = self.judgement.others[1].argmax(1) == sets.holdout.labels
            found, of = self._compared(self.real, self.held), "held-out real images"
        else:
            mixed = np.random.default_rng(self.settings.seed).permutation(len(self.real))
            half = len(mixed) // 2
            found = self._compared(self.real[mixed[:half]], self.real[mixed[half:]]) if half > 1 else {}
            of = "one half of the real images against the other"
        return {"of": of, **_json(found | {"label_agreement": share(right)})}

    def _compared(self, real: np.ndarray, made: np.ndarray) -> dict[str, Figure]:
        seed, k = self.settings.seed, self.settings.neighbours
        found: dict[str, Figure] = {}
        if min(len(real), len(made)) > 1:
            found["kernel_distance"] = fidelity.kernel_distance(real, made, seed)
        distance = fidelity.frechet_distance(real, made)
        if distance is not None:
            found["frechet_distance"] = distance
        return (
            found | fidelity.precision_recall(real, made, k, self.space, seed) | fidelity.diversity(real, made, seed)
        )


def _suspects(spaces: dict[str, tuple[copies.Nearest, copies.Nearest]]) -> list[dict[str, Any]]:
    """Synthetic images that look like copies, each once, with what it was seen by: the first space that shows it."""
    found: dict[int, dict[str, Any]] = {}
    for by, (made, held) in spaces.items():
        for row in copies.suspects(made, held).tolist():
            about = {"nearest_row": int(made.row[row]), "distance": float(made.distance[row])}
            found.setdefault(row, {"row": row, "by": by, **about, "ratio": float(made.ratio[row])})
    return list(found.values())


def _about(part: ImageSet) -> dict[str, Any]:
    return {"name": part.source.name, "revision": part.source.revision, "images": len(part)}


def _json(figures: dict[str, Figure]) -> dict[str, Any]:
    return {name: figure.to_json() for name, figure in figures.items()}


def _plain(value: float | int) -> float | int | None:
    return value if math.isfinite(value) else None


def _as_json(settings: AssessSettings) -> dict[str, Any]:
    """The settings that decide the figures; of a file its name alone."""
    values = {n: v for n, v in vars(settings).items() if n not in ("batch_size", "block_size", "follow_symlinks")}
    if settings.feature_weights:
        values["feature_weights"] = Path(settings.feature_weights).name
    return values
