"""A labelled image set as one interface: a folder of class folders, Parquet, torchvision, or the Hub.

Pictures are read one at a time, when asked for: nothing is held in memory in proportion to the pixels. Parquet is read
through `datasets`, which converts it once into its cache (about as many bytes again) and maps that into memory.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .texts import some

if TYPE_CHECKING:
    from PIL import Image

SPLIT_NAMES = ("train", "training", "test", "val", "valid", "validation", "dev", "eval")
HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(?P<rest>(?::[^:@]+)?(?:@[^:@]+)?|@[^:@]+:[^:@]+)")


class Source(ABC):
    """A labelled image set.

    Attributes:
        name: what may be recorded: "org/name" or "org/name:config", "torchvision:CIFAR10", or the bare name of a
            folder or file; never a local path.
        revision: the commit of a Hub data set, where it could be found out.
        class_names: verbatim, in the order of the labels. They may hold anything (slashes, newlines): not for paths.
        labels: (N,) int64, each in [0, len(class_names)).
        columns: names of the columns that `column` takes; empty for folders and torchvision.
    """

    name: str
    revision: str | None = None
    class_names: tuple[str, ...]
    labels: np.ndarray
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of content, labels and class names, whatever the place and time. Local files are read for it."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (*self._content(), self.labels.astype("<i8").tobytes(), *self.class_names):
            data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
            digest.update(len(data).to_bytes(8, "little") + data)
        return digest.hexdigest()

    @abstractmethod
    def _content(self) -> Iterable[str | bytes]:
        """What the fingerprint is made of, besides the labels and the class names."""

    @abstractmethod
    def describe_row(self, row: int) -> str:
        """A row as a person finds it again: "cats/012.png" or "row 17 of train.parquet"."""

    @abstractmethod
    def image(self, row: int) -> Image.Image:
        """The picture of a row, read, in the mode it was stored in. May be called from several threads.

        Raises:
            DataError: it is missing or broken; the message begins with `describe_row(row)`.
        """

    def column(self, name: str) -> Sequence[Any]:
        """Another column, (N,), read as it is indexed or iterated.

        Raises:
            DataError: there is no such column; the message lists those that there are.
        """
        raise no_such_column(self, name)

    def check(self, every_class: bool) -> None:
        """Raises DataError: no images, two classes of one name, or (if it matters) a class without images."""
        if not len(self):
            raise DataError(f"{self.name} holds no images: check the folder, file or split")
        twice = [n for n, count in Counter(self.class_names).items() if count > 1]
        if twice:
            raise DataError(f"{self.name} has several classes named {some(twice)}: give each a name of its own")
        if not every_class:
            return
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        empty = [n for n, count in zip(self.class_names, counts) if not count]
        if empty:
            raise DataError(
                f"{self.name}: {len(empty)} of {len(self.class_names)} classes without any image: {some(empty)}; "
                "add images or remove the class"
            )


def open_source(
    dataset: str,
    *,
    split: str = "train",
    image_column: str | None = None,
    label_column: str | None = None,
    every_class: bool = True,
) -> Source:
    """Open a labelled image set.

    Args:
        dataset: a folder of class folders (or of `split` folders of these), a folder or glob of Parquet files, a
            Parquet file, "torchvision:NAME", or a Hub id "org/name[:config][@revision]".
        split: for Parquet and the Hub also a slice, "train[:1000]". A Parquet file that is given by name is read
            whatever the split.
        image_column, label_column: needed only where several columns fit.
        every_class: refuse a set with a class that has no image.

    Raises:
        DataError: it does not exist, cannot be read, or is not a labelled image set.
    """
    source = _open(os.fspath(dataset), split=split, image_column=image_column, label_column=label_column)
    source.check(every_class)
    return source


def _open(dataset: str, **options: Any) -> Source:
    from .folders import open_folder
    from .hub_source import open_hub
    from .tables import ParquetSource
    from .torchvision_source import TorchvisionSource

    path = os.path.expanduser(dataset)
    if dataset.startswith("torchvision:"):
        refuse_columns(dataset, options["image_column"], options["label_column"])
        return TorchvisionSource(dataset, options["split"])
    if os.path.isdir(path):
        return open_folder(Path(path), **options)
    if os.path.exists(path):
        if not path.endswith(".parquet"):
            raise DataError(f"{dataset!r} is neither a folder nor a .parquet file: convert it to one of these")
        return ParquetSource([Path(path)], os.path.basename(path), **options)
    if glob.has_magic(path):
        files = [Path(p) for p in sorted(glob.glob(path, recursive=True)) if p.endswith(".parquet")]
        if not files:
            raise DataError(f"no .parquet file matches {dataset!r}")
        return ParquetSource(files, os.path.basename(path), **options)
    hub = HUB_ID.fullmatch(dataset)
    bare = re.split("[:@]", dataset)[0]
    if bare.startswith(("/", ".", "~")) or bare.endswith(".parquet") or bare.count("/") > 1:
        raise DataError(f"no such folder or file: {dataset!r}")
    if not hub:
        raise DataError(
            f"{dataset!r} is no folder or file here, nor a Hub id of the form org/name[:config][@revision], "
            "nor torchvision:NAME"
        )
    rest = {part[0]: part[1:] for part in re.findall("[:@][^:@]+", hub["rest"])}
    return open_hub(hub["id"], rest.get(":"), rest.get("@"), **options)


def no_such_column(source: Source, name: str) -> DataError:
    has = f"it has {some(source.columns, 20)}" if source.columns else "it has no columns, only pictures and labels"
    return DataError(f"{source.name} has no column {name!r}: {has}")


def refuse_columns(name: str, image_column: str | None, label_column: str | None) -> None:
    for flag, value in (("--image-column", image_column), ("--label-column", label_column)):
        if value is not None:
            raise DataError(f"{name} has no columns, so {flag} {value!r} means nothing here: leave it out")
