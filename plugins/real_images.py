"""What a map-style data set of real images says of itself: class names and labels, without decoding a picture.

Known are the readers of timm's ImageDataset (folder, tar, hfds), torchvision's data sets, Subset, and anything with
`classes` and `targets`. These attributes are internals of their hosts: they are read in this file alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Dataset, IterableDataset, Subset

from ..errors import DataError
from ..progress import bar
from ..source import Source


class SourceImages(Dataset):
    """A labelled image set of ours as a map-style data set of (RGB picture, label)."""

    def __init__(self, source: Source) -> None:
        self.source, self.targets, self.classes = source, source.labels, list(source.class_names)
        self.transform = None

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        from ..pictures import to_rgb

        return to_rgb(self.source.image(row)), int(self.targets[row])


def refuse_iterable(dataset: Any) -> None:
    """Raises DataError: the data set can only be iterated, so no image of it can be replaced or visited by number."""
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
        raise DataError(
            "synthetic images can be mixed into map-style data sets only, and this one streams (hfids/, wds/, tfds/): "
            "use hfds/org/name, torch/name or a folder"
        )


def class_numbers(dataset: Any) -> dict[str, int] | None:
    """{class name: label}, or None where the data set does not know its classes by name.

    A class map of timm may give several names one label, and leave names out.
    """
    reader = getattr(dataset, "reader", None)
    if isinstance(dataset, Subset):
        return class_numbers(dataset.dataset)
    if reader is not None:
        found = getattr(reader, "class_to_idx", None) or getattr(reader, "class_name_to_idx", None)
        if hasattr(reader, "dataset") and not reader.remap_class:  # some versions look for a column "label" only
            names = getattr(reader.dataset.features.get(reader.label_key), "names", None)
            found = {name: i for i, name in enumerate(names)} if names else None
    elif getattr(dataset, "classes", None):
        found = {_plain(name): i for i, name in enumerate(dataset.classes)}
    else:
        found = getattr(dataset, "class_to_idx", None)
    if not found or not all(isinstance(name, str) for name in found):
        return None
    return {name: int(label) for name, label in found.items()}


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


def _labels(dataset: Any) -> Any:
    if isinstance(dataset, Subset):
        return labels(dataset.dataset)[np.asarray(dataset.indices)]
    reader = getattr(dataset, "reader", None)
    if reader is not None and hasattr(reader, "dataset"):
        return _column(reader)
    for owner, attribute in ((reader, "targets"), (dataset, "targets"), (dataset, "_labels"), (dataset, "labels")):
        values = getattr(owner, attribute, None)
        if values is not None and len(values) == len(dataset):
            return values
    samples = getattr(reader if reader is not None else dataset, "samples", None)
    if samples is not None and len(samples) == len(dataset):
        return [target for _, target in samples]
    with bar(len(dataset), "reading the labels of the real images") as progress:
        found = []
        for i in range(len(dataset)):
            found.append(dataset[i][1])
            progress.update()
    return found


def _column(reader: Any) -> np.ndarray:
    """The labels of timm's hfds/ reader, mapped once for each value where there is a class map."""
    key = reader.label_key
    values = reader.dataset.select_columns([key]).with_format("numpy")[:][key]
    if not reader.remap_class:
        return values
    found, where = np.unique(values, return_inverse=True)
    names = getattr(reader.dataset.features[key], "names", None)
    numbers = reader.class_to_idx
    mapped = [numbers[v] if v in numbers else numbers[names[v]] for v in found.tolist()]
    return np.asarray(mapped)[where]


def _plain(name: Any) -> str:
    """torchvision names some classes by tuples of synonyms, as `mvc_hf.torchvision_source` does."""
    return name if isinstance(name, str) else ", ".join(map(str, name))
