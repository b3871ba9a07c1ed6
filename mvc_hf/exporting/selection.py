"""Which images are exported: those that a condition leaves, at most so many of each class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..augment.expression import Expression
from ..augment.scores import COLUMNS, Scores, addresses, scores_of
from ..config.stages.exporting import ExportSettings
from ..data.base import Source
from ..data.loading import open_dataset
from ..data.sources.class_folders import folder_name
from ..data.view import ViewConfig
from ..errors import DataError, RecipeError
from ..utils.progress import say
from ..utils.text import brief, normal, some

WHERE, SCORES = "--where", "--scores"
OF_ROWS = ("row", "label", "class_name")  # columns that every set has
TOLD = ("prompt", "condition")  # of a synthetic image, beside its address


@dataclass(frozen=True)
class Part:
    """Images of one set.

    Attributes:
        origin: "synthetic" or "real"; "" where SYNTHETIC is a set that nobody generated.
        rows: of the source, ascending, (n,).
        labels: in the class names of the export, (n,).
        about: columns of the source by name, each (n,): what is told of the images.
    """

    origin: str
    source: Source
    rows: np.ndarray
    labels: np.ndarray
    about: Mapping[str, list[Any]]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def stems(self) -> list[str]:
        """File names without their endings, by the addresses of the images, each once in its class."""
        if "index" in self.about:
            columns = (self.about["method"], self.about["seed"], self.about["index"])
            names = [f"{method}-s{seed}-{index:06d}" for method, seed, index in zip(*columns)]
            return [folder_name(name).replace(".", "_") for name in names]
        before = f"{self.origin}-" if self.origin else ""
        return [f"{before}{row:06d}" for row in self.rows.tolist()]


@dataclass(frozen=True)
class Selection:
    """Attributes:
    parts: of the synthetic set, and, where they go along, of the real images.
    class_names: verbatim; of the real images, where there are some.
    """

    parts: tuple[Part, ...]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def told(self, part: Part, i: int) -> dict[str, Any]:
        """Where an image comes from, and how it was made; None for what its part does not know."""
        names = dict.fromkeys(name for other in self.parts for name in other.about)
        about = {name: part.about[name][i] if name in part.about else None for name in names}
        origin = {"origin": part.origin} if part.origin else {}
        return {**origin, "row": int(part.rows[i]), **about}

    @cached_property
    def images_of_class(self) -> np.ndarray:
        labels = np.concatenate([part.labels for part in self.parts])
        return np.bincount(labels, minlength=len(self.class_names))


def selected(dataset: str, with_real: str | None, settings: ExportSettings) -> Selection:
    """Open the sets, and choose.

    Raises:
        DataError: one cannot be read, or has classes that the real images have not.
        RecipeError: the condition is wrong, or leaves nothing.
    """
    condition = Expression(settings.where, WHERE) if settings.where is not None else None
    view = ViewConfig(
        None if condition else settings.max_per_class,
        settings.seed,
        None if with_real is not None else settings.window,
    )
    source = open_dataset(
        dataset, split=settings.split, image_column=settings.image_column, label_column=settings.label_column,
        every_class=False, view=view, follow_symlinks=settings.follow_symlinks,
    )  # fmt: skip
    rows = source.rows
    if condition:
        rows = _where(condition, dataset, source, settings)
    source.check_lacking(0)
    if with_real is None:
        return Selection((_part("", source, rows, source.labels[rows]),), source.class_names)
    real = open_dataset(
        with_real, split=settings.real_split, image_column=settings.real_image_column,
        label_column=settings.real_label_column, every_class=False, follow_symlinks=settings.follow_symlinks,
        view=ViewConfig(settings.max_real_per_class, settings.seed, settings.window),
    )  # fmt: skip
    real.check_lacking(0)
    labels = _matched(source, real, rows)
    parts = (_part("synthetic", source, rows, labels), _part("real", real, real.rows, real.labels[real.rows]))
    return Selection(parts, real.class_names)


def _matched(source: Source, real: Source, rows: np.ndarray) -> np.ndarray:
    """The labels of some rows in the classes of the real images. Raises DataError for classes that those have not."""
    known = {normal(name): label for label, name in enumerate(real.class_names)}
    used = np.bincount(source.labels[rows], minlength=len(source.class_names)) > 0
    strange = [name for name, there in zip(source.class_names, used) if there and normal(name) not in known]
    if strange:
        raise DataError(
            f"{len(strange)} classes of {source.name} are not among those of {real.name}: {some(strange)}; the real "
            f"ones are {some(real.class_names, 20)}: give the real images that it was made from, or rename the classes"
        )
    return np.array([known.get(normal(name), -1) for name in source.class_names], np.int64)[source.labels[rows]]


def _part(origin: str, source: Source, rows: np.ndarray, labels: np.ndarray) -> Part:
    """With the addresses of the images, where they have some and these are unique."""
    about: dict[str, list[Any]] = {}
    if origin != "real" and {"method", *TOLD} <= {*source.columns} and (where := addresses(source)):
        about = {"method": _values(source, "method", rows), **{n: v[rows].tolist() for n, v in where.items()}}
        keys = set(zip(labels.tolist(), *about.values()))
        about = {**about, **{name: _values(source, name, rows) for name in TOLD}} if len(keys) == len(rows) else {}
    return Part("synthetic" if about else origin, source, rows, labels, about)


def _values(source: Source, name: str, rows: np.ndarray) -> list[Any]:
    values = source.column(name)[:]
    return [values[row] for row in rows.tolist()]


def _where(condition: Expression, dataset: str, source: Source, settings: ExportSettings) -> np.ndarray:
    """The rows of which it is true, at most so many of each class."""
    columns = _Columns(dataset, source, settings.scores)
    kept = np.flatnonzero(condition.condition(columns, len(source)))
    if not len(kept):
        raise RecipeError(f"{WHERE} {brief(condition.text)} leaves none of {len(source):,} images: loosen it")
    say(f"{WHERE} leaves {len(kept):,} of {len(source):,} images")
    left = np.bincount(source.labels[kept], minlength=len(source.class_names)) > 0
    if (source.used & ~left).any():
        names = [name for name, was, still in zip(source.class_names, source.used, left) if was and not still]
        say(f"note: it leaves no image of {len(names)} of {int(source.used.sum())} classes: {some(names)}")
    chosen = ViewConfig(settings.max_per_class, settings.seed).chosen(source.labels[kept], kept)
    return kept if chosen is None else chosen


class _Columns(Mapping[str, np.ndarray]):
    """Columns of a set by name, read when an expression asks for them: its own, then those of its scores."""

    def __init__(self, dataset: str, source: Source, file: str | None) -> None:
        self._dataset, self._source, self._file = dataset, source, file
        self._names = list(dict.fromkeys([*OF_ROWS, *source.columns, *COLUMNS]))

    @cached_property
    def _scores(self) -> Scores:
        return scores_of(self._dataset, self._source, self._file, SCORES)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> np.ndarray:
        source = self._source
        if name == "row":
            return np.arange(len(source))
        if name == "label":
            return source.labels
        if name == "class_name":
            return np.array(source.class_names, np.str_)[source.labels]
        if name in source.columns:
            return _as_array(source.column(name)[:])
        if name not in self._scores.columns:
            raise RecipeError(f"{WHERE} names {brief(name)}, which the scores of this set do not have")
        return self._scores.columns[name]


def _as_array(values: Sequence[Any]) -> np.ndarray:
    """Texts or numbers; a number that is missing is NaN, a text empty. Raises TypeError: they are neither."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {str}:
        return np.array([value or "" for value in values], np.str_)
    if kinds <= {int, float, bool}:
        gaps = any(value is None for value in values)
        return np.array([np.nan if v is None else v for v in values], np.float64) if gaps else np.array(values)
    raise TypeError
