"""The real images of a comparison, as timm's hfds/ reads them: for training, for choosing, and for the test.

They are copied, as PNG in the mode that they are seen in, so that every arm, every version of timm and every process
sees the same pixels in the same order.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.base import Source
from ..data.decoding import to_rgb, upright
from ..data.groups import Groups
from ..errors import DataError
from ..storage.notes import atomic_write
from ..utils.progress import bar
from ..utils.rng import Stream, words
from ..utils.text import normal, some

ROW_GROUP = 100


def validation_rows(source: Source, fraction: float, seed: int, groups: Groups | None = None) -> np.ndarray:
    """The rows that choices are made on: at random, as the seed decides, at least one of each class.

    Args:
        fraction: of each class.
        groups: images that stay on one side.

    Raises:
        DataError: a class has a single image, or groups leave a class without any.
    """
    members = source.members
    single = [name for name, rows in zip(source.class_names, members) if len(rows) == 1]
    if single:
        raise DataError(
            f"{source.name} has one image of {some(single)}: to make choices each class needs two, one to train with "
            "and one to look at; add images, or give --validation-fraction 0"
        )
    wanted = np.array([max(1, round(fraction * len(rows))) if len(rows) else 0 for rows in members])
    if groups:
        chosen = groups.holdout(members, wanted, seed)
        without = [n for n, w, rows in zip(source.class_names, wanted, chosen) if w and not len(rows)]
        if without:
            raise DataError(
                f"the groups of {source.name} leave no image of {some(without)} to make choices on: give "
                "--validation-fraction 0, or a column of smaller groups"
            )
    else:
        chosen = [_first(rows, size, seed, label) for label, (rows, size) in enumerate(zip(members, wanted))]
    return np.sort(np.concatenate(chosen))


def _first(rows: np.ndarray, count: int, seed: int, label: int) -> np.ndarray:
    keys = words(seed, Stream.VALIDATION, label, rows, 1)[:, 0] if len(rows) else np.zeros(0, np.uint64)
    return rows[np.argsort(keys, kind="stable")[:count]]


def labels_as(source: Source, class_names: Sequence[str], what: str) -> np.ndarray:
    """The labels of a set in the numbers of other class names.

    Args:
        what: the set, in an error.

    Raises:
        DataError: it has images of a class that is not among them.
    """
    known = {normal(name): label for label, name in enumerate(class_names)}
    strangers = [n for n, there in zip(source.class_names, source.used) if there and normal(n) not in known]
    if strangers:
        raise DataError(
            f"{what}, {source.name}, has {len(strangers)} classes that the training images lack: {some(strangers)}; "
            f"those have {some(class_names, 20)}"
        )
    return np.array([known.get(normal(name), -1) for name in source.class_names], np.int64)[source.labels]


def write_images(
    source: Source,
    rows: np.ndarray,
    file: Path,
    class_names: Sequence[str],
    labels: np.ndarray,
    *,
    columns: Iterable[str] = (),
    what: str = "images",
) -> None:
    """Some rows of a source as a Parquet file, whole or not at all.

    Args:
        labels: (len(source),) in the numbers of `class_names`.
        columns: others of the source that go with them, as text.

    Raises:
        DataError: a picture cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import ClassLabel, Features, Image, Value

    more = {name: source.column(name) for name in columns}
    features = Features(
        {"image": Image(), "label": ClassLabel(names=list(class_names)), **{name: Value("string") for name in more}}
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    schema = features.arrow_schema
    with (
        atomic_write(file) as temporary,
        pq.ParquetWriter(temporary, schema) as writer,
        bar(len(rows), f"copying the {what}", " images") as progress,
    ):
        for part in np.array_split(rows, max(1, -(-len(rows) // ROW_GROUP))):
            values: dict[str, list[Any]] = {
                "image": [_png(source, int(row)) for row in part],
                "label": [int(labels[row]) for row in part],
            }
            values |= {name: [_text(column[int(row)]) for row in part] for name, column in more.items()}
            writer.write_table(pa.table(values, schema=schema))
            progress.update(len(part))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _png(source: Source, row: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    _seen(source, row).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def _seen(source: Source, row: int) -> Any:
    """The picture upright, in eight bits: grey where it is stored so, else in colour."""
    image = source.image(row)
    try:
        return upright(image) if image.mode == "L" and not image.has_transparency_data else to_rgb(image)
    except DataError as error:  # of a picture, not of a row
        raise DataError(f"{source.describe_row(row)}: {error}") from error


def pixels_of(source: Source, row: int) -> bytes:
    """Digest of a picture's size and pixels, whatever file it came in."""
    image = _seen(source, row).convert("RGB")
    size = f"{image.width}x{image.height}".encode()
    return hashlib.blake2b(size + image.tobytes(), digest_size=16).digest()


def side_of(source: Source) -> int | None:
    """The side of the images where a few of them are of one size and square; else None."""
    rows = source.rows[np.unique(np.linspace(0, len(source.rows) - 1, 16).round().astype(int))]
    sizes = {source.image(int(row)).size for row in rows}
    width, height = next(iter(sizes))
    return width if len(sizes) == 1 and width == height else None
