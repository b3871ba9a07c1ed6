"""Scores of a synthetic split: a Parquet file beside it, a row for each image, that `mvc-hf report` writes.

The split itself is never rewritten. Scores go with the very split that they were made from: they carry a digest of
its labels, its addresses and some of its pictures.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.base import Source
from ..errors import DataError, RecipeError
from ..storage.files import open_regular
from ..storage.layout import REPORT, SCORES
from ..storage.notes import atomic_write
from ..utils.progress import say
from ..utils.rng import Stream, words
from ..utils.text import brief, reason
from .expression import Expression
from .schedules import share

ABOUT = b"mvc_hf_scores"  # key of the metadata of the file
FORMAT = 1
LOOKED_AT = 64  # pictures that tell whether a split is the one
FLAG = "--aug-scores"
AGAIN = "give mvc-hf report again for this split"
# The columns, with what they hold.
COLUMNS = {
    "row": "number of the image in the split, from 0",
    "label": "label in the split",
    "class_name": "name of the label",
    "seed": "with label and index the address of the image, where the split has one",
    "index": "see seed",
    "label_confidence": "probability of the label, by a classifier of the real images, calibrated",
    "predicted_class": "name of the class that the classifier finds most likely",
    "class_error": "share of the real images of that label that the classifier misreads: for weights",
    "nearest_row": "row of the nearest training image",
    "nearest_distance": "distance to it, between features of length one (0 to 2)",
    "copy_ratio": "that distance over the mean of those to the k nearest training images: near 0 for a copy of one",
    "pixel_row": "row of the training image that is nearest as a picture, small and grey",
    "pixel_distance": "distance to it (0 to 2), whatever brightness and contrast",
    "pixel_ratio": "as copy_ratio, of those distances",
    "looks_like_copy": "closer to a training image than real images ever are, by features or as a picture, and that "
    "one stands out",
    "duplicate_row": "row of the nearest other synthetic image",
    "duplicate_distance": "distance to it",
    "near_duplicate": "whether that is less than 99 in 100 real images have to their nearest",
    "class_distance": "mean distance to the k nearest real images of its class, over the median of those' own: "
    "1 is as typical as a real one; no number where the class has too few",
}


def split_digest(source: Source) -> str:
    """Hex digest by which a split is known again, here or on the Hub: of names, labels, addresses, some pictures."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(list(source.class_names)).encode())
    digest.update(source.labels.astype("<i8").tobytes())
    for values in addresses(source).values():
        digest.update(values.astype("<i8").tobytes())
    count = len(source)
    for row in np.unique(np.linspace(0, count - 1, min(LOOKED_AT, count)).round().astype(int)).tolist():
        image = source.image(row)
        digest.update(f"{image.mode} {image.size}".encode())
        digest.update(image.tobytes())
    return digest.hexdigest()


def addresses(source: Source) -> dict[str, np.ndarray]:
    """The columns seed and index of a split that `generate` made; {} of others."""
    names = [name for name in ("seed", "index") if name in source.columns]
    if len(names) < 2:
        return {}
    values = {name: source.column(name)[:] for name in names}
    whole = all(isinstance(v, int) for column in values.values() for v in column)
    return {name: np.array(column, np.int64) for name, column in values.items()} if whole else {}


def write_scores(path: Path, columns: dict[str, Any], about: dict[str, Any]) -> None:
    """Write a file of scores, whole or not at all.

    Args:
        columns: those of `COLUMNS`; arrays of one length, or None for a column that the split has not.
        about: what is recorded beside, with `split`, the digest of it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: values for name, values in columns.items() if values is not None})
    text = json.dumps({"format": FORMAT, **about}, allow_nan=False)
    with atomic_write(path) as temporary:
        pq.write_table(table.replace_schema_metadata({ABOUT: text.encode()}), temporary)


@dataclass(frozen=True)
class Scores:
    """Attributes:
    columns: arrays (n,) by name.
    about: what was recorded beside them.
    """

    columns: dict[str, np.ndarray]
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def read_scores(file: str | Path, opened: Any = None, flag: str = FLAG) -> Scores:
    """Scores as `write_scores` left them. Raises DataError: they are not there, damaged, or no scores.

    Args:
        file: for messages.
        opened: what Parquet is read from, where that is no file of this name.
        flag: by which their file is named, for messages.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = brief(str(file))
    try:
        if opened is None:
            with open_regular(file) as stream:
                opened = io.BytesIO(stream.read())
        table = pq.read_table(opened, use_threads=False)
        about = json.loads((table.schema.metadata or {}).get(ABOUT, b"null"))
    except FileNotFoundError as error:
        raise DataError(f"there are no scores at {name}: {AGAIN}, or name their file ({flag})") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"the scores in {name} cannot be read ({reason(error)}): {AGAIN}") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("split"), str):
        raise DataError(f"{name} holds no scores of mvc-hf report: {AGAIN}")
    columns = {c: table[c].to_numpy(zero_copy_only=False) for c in table.column_names if c in COLUMNS}
    for column, values in columns.items():
        if values.dtype == object:  # texts, or a column with gaps
            columns[column] = np.array([str(v) for v in values], np.str_)
    return Scores(columns, about)


def scores_of(dataset: str, source: Source, file: str | None = None, flag: str = FLAG) -> Scores:
    """The scores of a split: in a file, or in `report/` beside it, in its folder or on the Hub.

    Raises:
        DataError: there are none, or they are of another split.
    """
    found = read_scores(file, flag=flag) if file else _beside(dataset, source, flag)
    where = file or f"{REPORT}/{SCORES} of {source.name}"
    if len(found) != len(source):
        raise DataError(
            f"the scores in {brief(where)} are of a split of {len(found):,} images, and {source.name} has "
            f"{len(source):,}: {AGAIN}"
        )
    if found.about["split"] != split_digest(source):
        raise DataError(
            f"the scores in {brief(where)} are of another split than {source.name}, with other labels or pictures: "
            f"{AGAIN}"
        )
    return found


def _beside(dataset: str, source: Source, flag: str) -> Scores:
    path = Path(os.path.expanduser(dataset))
    if path.is_dir():
        return read_scores(path / REPORT / SCORES, flag=flag)
    if path.exists() or not source.revision:
        raise DataError(f"scores of {brief(dataset)} are looked for in no folder: name their file ({flag})")
    from ..hub.download.remote_files import RemoteFiles

    name = f"{source.name.partition(':')[0]}@{source.revision}"
    try:
        data = RemoteFiles().read(f"datasets/{name}/{REPORT}/{SCORES}")
    except Exception as error:  # whatever the Hub's client raises
        raise DataError(f"the scores of {name} cannot be read from the Hub: {reason(error)}") from error
    if data is None:
        raise DataError(
            f"{name} has no {REPORT}/{SCORES}: give mvc-hf report and push again, or name their file ({flag})"
        )
    return read_scores(f"{name}/{REPORT}/{SCORES}", io.BytesIO(data))


@dataclass(frozen=True)
class Selection:
    """Which synthetic images are taken, and how often in comparison.

    Attributes:
        keep: bool (S,), of all sets one after the other.
        weights: float64 (S,) or None for equal ones.
    """

    keep: np.ndarray
    weights: np.ndarray | None

    def rows(self, seed: int, limit: float) -> np.ndarray:
        """The rows in use, ascending, at most `limit` of them.

        With weights a row comes as often as its share of them says, up or down to a whole number by the seed
        (systematic sampling): a row of twice the weight comes twice as often, one of little weight maybe not at all.
        """
        kept = np.flatnonzero(self.keep)
        count = int(min(limit, len(kept)))
        if self.weights is None:
            return kept[share(seed, len(kept), count)]
        weights = self.weights[kept]
        if not weights.any():
            raise RecipeError("--aug-weights is 0 for every image that --aug-filter leaves: change one of them")
        order = np.argsort(words(seed, Stream.WEIGHT, 0, kept, 1)[:, 0], kind="stable")
        start = int(words(seed, Stream.WEIGHT, 1, 0, 1)[0, 0]) / 2**64
        ends = np.floor(count * np.cumsum(weights[order]) / weights.sum() + start + 1e-9).astype(np.int64)
        return np.sort(np.repeat(kept[order], np.diff(ends, prepend=0)))


def select(
    names: Sequence[str], sources: Sequence[Source], keep: str | None, weights: str | None,
    files: Sequence[str] | None = None,
) -> Selection | None:  # fmt: skip
    """What a filter and weights say of synthetic sets; None where neither is given.

    Args:
        names: of the data sets, as they were opened.
        keep, weights: expressions over the columns of scores.
        files: of scores, one for each set; None for those that lie beside them.

    Raises:
        RecipeError: an expression is wrong, or leaves nothing.
        DataError: a set has no scores, or those of another one.
    """
    if keep is None and weights is None:
        if files:
            raise RecipeError("--aug-scores means nothing without --aug-filter or --aug-weights")
        return None
    if files and len(files) != len(names):
        raise RecipeError(f"--aug-scores names {len(files)} files for {len(names)} synthetic sets: give one for each")
    chosen = Expression(keep, "--aug-filter") if keep is not None else None
    weighing = Expression(weights, "--aug-weights") if weights is not None else None
    kept, weighed = [], []
    for i, (name, source) in enumerate(zip(names, sources)):
        scores = scores_of(name, source, files[i] if files else None)
        kept.append(chosen.condition(scores.columns, len(source)) if chosen else np.ones(len(source), bool))
        weighed.append(weighing.weights(scores.columns, len(source)) if weighing else np.ones(len(source)))
    found = Selection(np.concatenate(kept), np.concatenate(weighed) if weighing else None)
    if not found.keep.any():
        raise RecipeError(f"--aug-filter {brief(keep)} leaves none of {len(found.keep):,} synthetic images: loosen it")
    if chosen:
        say(f"--aug-filter leaves {int(found.keep.sum()):,} of {len(found.keep):,} synthetic images")
    return found
