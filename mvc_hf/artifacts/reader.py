"""Finished shards, read without their pictures: rows, sizes, images of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.decoding import decode
from ..errors import OutputError

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class ShardReader:
    """The finished shards of a data set."""

    paths: tuple[Path, ...]
    rows: int

    @classmethod
    def of(cls, folder: Path, manifest: dict[str, Any]) -> ShardReader:
        paths = tuple(folder / shard["file"] for shard in manifest["shards"])
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise OutputError(f"{folder} lacks {missing[0]}: give the command that made it again")
        return cls(paths, manifest["rows"])

    def sizes(self) -> tuple[int, int]:
        """Bytes of the files, and of the rows in them before compression."""
        import pyarrow.parquet as pq

        found = [pq.read_metadata(path) for path in self.paths]
        raw = sum(meta.row_group(i).total_byte_size for meta in found for i in range(meta.num_row_groups))
        return sum(path.stat().st_size for path in self.paths), raw

    def images_of_class(self, classes: int) -> np.ndarray:
        """(classes,) how many images each has."""
        import pyarrow.parquet as pq

        counts = np.zeros(classes, np.int64)
        for path in self.paths:
            counts += np.bincount(pq.read_table(path, columns=["label"])["label"].to_numpy(), minlength=classes)
        return counts

    def first_images(self, labels: Sequence[int], count: int) -> dict[int, list[Image.Image]]:
        """For each label, at most `count` images, the first ones. Row groups without any of them are not read."""
        import pyarrow.parquet as pq

        found: dict[int, list[Image.Image]] = {label: [] for label in labels}
        for path in self.paths:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    if all(len(images) == count for images in found.values()):
                        return found
                    self._take(file, group, found, count)
        return found

    @staticmethod
    def _take(file: Any, group: int, found: dict[int, list[Image.Image]], count: int) -> None:
        labels = file.read_row_group(group, columns=["label"])["label"].to_pylist()
        wanted, left = [], {label: count - len(images) for label, images in found.items()}
        for row, label in enumerate(labels):
            if left.get(label, 0):
                left[label] -= 1
                wanted.append(row)
        if wanted:
            pictures = file.read_row_group(group, columns=["image"])["image"].take(wanted).to_pylist()
            for row, picture in zip(wanted, pictures):
                data = (picture or {}).get("bytes") or b""
                found[labels[row]].append(decode(data, f"a picture of the class {labels[row]}"))
