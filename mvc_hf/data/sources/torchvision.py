"""A data set class of torchvision as a labelled image set, downloaded into a cache folder at first use."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DataError
from ...storage.files import cache_root
from ...utils.text import reason
from ..base import Source

if TYPE_CHECKING:
    from PIL import Image


class TorchvisionSource(Source):
    """A data set class of torchvision, downloaded into a cache folder at first use."""

    def __init__(self, dataset: str, split: str) -> None:
        self.name, self._split = dataset, split
        try:
            kind, arguments = _torchvision_class(dataset), _torchvision_arguments(dataset, split)
            with _downloading(kind.__name__):
                self._data = kind(**arguments)
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{dataset} cannot be opened, split {split!r}: {reason(error)}") from error
        names = getattr(self._data, "classes", None)
        if not names:
            raise DataError(f"{dataset} does not say what its classes are called: export it to class folders")
        self.class_names = tuple(n if isinstance(n, str) else ", ".join(map(str, n)) for n in names)
        self.labels = self._read_labels()

    def describe_row(self, row: int) -> str:
        return f"row {row} of {self.name} ({self._split})"

    def image(self, row: int) -> Image.Image:
        try:
            image = self._data[row][0]
            image.load()
        except Exception as error:
            raise DataError(f"{self.describe_row(row)} cannot be read ({reason(error)})") from error
        return image

    def _read_labels(self) -> np.ndarray:
        for attribute in ("targets", "labels", "_labels"):
            values = getattr(self._data, attribute, None)
            if values is not None and len(values) == len(self._data):
                break
        else:
            values = [self._data[row][1] for row in range(len(self._data))]
        values = np.asarray(values)
        wrong = values.ndim != 1 or values.dtype.kind not in "iu"
        if wrong or (len(values) and not 0 <= values.min() <= values.max() < len(self.class_names)):
            raise DataError(f"{self.name} has labels that are not whole numbers from 0 to {len(self.class_names) - 1}")
        return values.astype(np.int64)

    def _content(self) -> Iterator[str | bytes]:
        yield from ("torchvision", self.name, self._split)
        if hasattr(self._data, "data"):  # the small ones, which torchvision holds in memory
            yield np.asarray(self._data.data).tobytes()


def _torchvision_class(dataset: str) -> type:
    import difflib

    import torchvision

    name = dataset.removeprefix("torchvision:")
    known = [n for n in dir(torchvision.datasets) if inspect.isclass(getattr(torchvision.datasets, n))]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        raise DataError(
            f"torchvision has no data set {name!r}: " + (f"did you mean {near[0]!r}?" if near else "try CIFAR10")
        )
    return getattr(torchvision.datasets, name)


def _torchvision_arguments(dataset: str, split: str) -> dict[str, Any]:
    """Arguments by what the class takes: `train` or `split`, `root` and `download`."""
    kind = _torchvision_class(dataset)
    takes = inspect.signature(kind).parameters
    arguments: dict[str, Any] = {}
    if "root" in takes:
        arguments["root"] = str(torchvision_root())
    if "download" in takes:
        arguments["download"] = True
    if "split" in takes:
        arguments["split"] = split
    elif "train" in takes and split in ("train", "test"):
        arguments["train"] = split == "train"
    elif split != "train":
        raise DataError(
            f"{dataset} has no split {split!r}: it has {'train and test' if 'train' in takes else 'only train'}"
        )
    return arguments


@contextlib.contextmanager
def _downloading(name: str) -> Iterator[None]:
    """One process at a time. A folder that cannot be written has it all already."""
    from filelock import FileLock

    root = torchvision_root()
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f".{name}.lock") if os.access(root, os.W_OK) else contextlib.nullcontext():
        yield


def torchvision_root() -> Path:
    """MVC_HF_TORCHVISION_ROOT, or `torchvision` in our cache."""
    root = os.environ.get("MVC_HF_TORCHVISION_ROOT")
    return Path(root).expanduser() if root else cache_root() / "torchvision"
