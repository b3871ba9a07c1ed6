"""What a map-style data set of real images says of itself: class names and labels, without decoding a picture.

Known are the readers of timm's ImageDataset (folder, tar, hfds), torchvision's data sets, Subset, and anything with
`classes` and `targets`. These attributes are internals of their hosts: they are read in this file alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset

from ..data.base import Source
from ..data.named_pictures import CURE, FROM_HUB, file_of_hub, hub_repository, path_instead, without_bytes
from ..data.sources.class_folders import names_by_folder
from ..errors import DataError
from ..utils.disk import is_disk_full
from ..utils.progress import bar
from ..utils.text import one_line, reason


class SourceImages(Dataset):
    """A labelled image set of ours as a map-style data set of (RGB picture, label)."""

    def __init__(self, source: Source) -> None:
        self.source, self.targets, self.classes = source, source.labels, list(source.class_names)
        self.transform = None

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        from ..data.decoding import to_rgb

        image = self.source.image(row)
        try:
            return to_rgb(image), int(self.targets[row])
        except DataError as error:  # of a picture, not of a row
            raise DataError(f"{self.source.describe_row(row)}: {error}") from error


def refuse_iterable(dataset: Any) -> None:
    """Raises DataError: the data set can only be iterated, so no image of it can be replaced or visited by number."""
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
        raise DataError(
            "synthetic images can be mixed into map-style data sets only, and this one streams (hfids/, wds/, tfds/): "
            "use hfds/org/name, torch/name or a folder"
        )


def check_pictures(dataset: Any) -> None:
    """Look for pictures that will be missing in the middle of an epoch, as far as that is seen without reading any.

    Raises:
        DataError: rows have no picture; or a table that came from the Hub names files outside of its own folder, which
            the reader of timm's hfds/ would open.
    """
    if isinstance(dataset, Subset):
        return check_pictures(dataset.dataset)
    if isinstance(dataset, SourceImages):
        return dataset.source.check_lacking(0)
    reader: Any = getattr(dataset, "reader", None)
    table: Any = getattr(reader, "dataset", None)
    if not hasattr(reader, "image_key") or not hasattr(table, "cache_files"):
        return None
    repository = hub_repository(table)
    lacking = []
    for row, path in without_bytes(table.select_columns([reader.image_key]), reader.image_key):
        if repository is not None and path and file_of_hub(repository, path) is None:
            raise path_instead(f"row {row} of the real images", path, FROM_HUB)
        if not path or not os.path.isfile(path):
            lacking.append((row, path))
    if lacking:
        row, path = lacking[0]
        what = f"names a file that is not there, {path!r}: {CURE}" if path else "has none: remove it"
        raise DataError(f"{len(lacking)} of {len(table)} real images are missing; the first, row {row}, {what}")


def read(dataset: Any, row: int) -> Any:
    """A sample of the real images, whatever its parts are.

    Raises:
        DataError: it cannot be read; the message names it.
    """
    try:
        return dataset[row]
    except (OSError, SyntaxError, Image.DecompressionBombError, RuntimeError) as error:
        gave_up = "consecutive samples" in str(error)  # timm, which goes on to the next ones
        if is_disk_full(error) or (isinstance(error, RuntimeError) and not gave_up):
            raise
        raise DataError(f"{_name(dataset, row)} cannot be read ({reason(error)}): replace or remove it") from error


def _name(dataset: Any, row: int) -> str:
    """A real image as a person finds it again."""
    try:
        file = dataset.filename(row) if hasattr(dataset, "filename") else dataset.samples[row][0]
    except Exception:  # many keep no names, or keep them in their own way
        file = None
    return f"the real image {row}" + (f" ({one_line(str(file))})" if file else "")


def class_numbers(dataset: Any) -> dict[str, int] | None:
    """{class name: label}, or None where the data set does not know its classes by name.

    A class map of timm may give several names one label, and leave names out.
    """
    reader = getattr(dataset, "reader", None)
    if isinstance(dataset, Subset):
        return class_numbers(dataset.dataset)
    if reader is not None:
        found = _named(reader, getattr(reader, "class_to_idx", None) or getattr(reader, "class_name_to_idx", None))
        if hasattr(reader, "dataset") and not reader.remap_class:  # some versions look for a column "label" only
            names = getattr(reader.dataset.features.get(reader.label_key), "names", None)
            found = {name: i for i, name in enumerate(names)} if names else None
    elif getattr(dataset, "classes", None):
        found = _named(dataset, {_plain(name): i for i, name in enumerate(dataset.classes)})
    else:
        found = getattr(dataset, "class_to_idx", None)
    if not found or not all(isinstance(name, str) for name in found):
        return None
    return {name: int(label) for name, label in found.items()}


def _named(owner: Any, found: Any) -> Any:
    """With the names of classes in the place of folders', where `mvc-hf export` wrote what `owner` reads."""
    root = getattr(owner, "root", None)
    known = names_by_folder(Path(root)) if root and found and isinstance(root, str | os.PathLike) else {}
    return {known.get(name, name): label for name, label in found.items()} if known else found


def labels(dataset: Any) -> np.ndarray:
    """int64 (N,). Where the data set keeps no list of them, every sample is read once, with a progress bar.

    Raises:
        DataError: labels are not single whole numbers from 0.
    """
    found = np.asarray(_labels(dataset))
    if found.ndim != 1 or found.dtype.kind not in "iu" or (len(found) and found.min() < 0):
        raise DataError(
            "the real images must have one label each, a whole number from 0, to be replaced class by class; use "
            "--aug-schedule combined or two-phase for others"
        )
    return found.astype(np.int64)


def largest_label(dataset: Any) -> int:
    """The largest label; -1 where the data set keeps no list of them, or where they are no numbers."""
    if isinstance(dataset, IterableDataset):
        return -1
    try:
        found = _listed(dataset)
    except (KeyError, TypeError, IndexError):  # a class map that leaves names out: timm tells of it in its own way
        found = None
    found = np.zeros(0) if found is None else np.asarray(found)
    return int(found.max()) if found.ndim == 1 and found.dtype.kind in "iu" and len(found) else -1


def _labels(dataset: Any) -> Any:
    if isinstance(dataset, Subset):
        return labels(dataset.dataset)[np.asarray(dataset.indices)]
    found = _listed(dataset)
    if found is not None:
        return found
    with bar(len(dataset), "reading the labels of the real images") as progress:
        found = []
        for i in range(len(dataset)):
            found.append(dataset[i][1])
            progress.update()
    return found


def _listed(dataset: Any) -> Any:
    """The labels as the data set lists them; None where it would have to be read for them."""
    if isinstance(dataset, Subset):
        found = _listed(dataset.dataset)
        return None if found is None else np.asarray(found)[np.asarray(dataset.indices)]
    reader = getattr(dataset, "reader", None)
    if reader is not None and hasattr(reader, "dataset"):
        return _column(reader) if reader.label_key in reader.dataset.features else None
    for owner, attribute in ((reader, "targets"), (dataset, "targets"), (dataset, "_labels"), (dataset, "labels")):
        values = getattr(owner, attribute, None)
        if values is not None and len(values) == len(dataset):
            return values
    samples = getattr(reader if reader is not None else dataset, "samples", None)
    if samples is not None and len(samples) == len(dataset):
        return [target for _, target in samples]
    return None


def _column(reader: Any) -> np.ndarray:
    """The labels of timm's hfds/ reader, mapped once for each value where there is a class map."""
    key = reader.label_key
    values = reader.dataset.select_columns([key]).with_format("numpy")[:][key]
    if not reader.remap_class:
        return values
    found, where = np.unique(values, return_inverse=True)
    names: Any = getattr(reader.dataset.features[key], "names", None)
    numbers = reader.class_to_idx
    mapped = [numbers[v] if v in numbers else numbers[names[v]] for v in found.tolist()]
    return np.asarray(mapped)[where]


def _plain(name: Any) -> str:
    """torchvision names some classes by tuples of synonyms, as our own reader of its data sets does."""
    return name if isinstance(name, str) else ", ".join(map(str, name))
