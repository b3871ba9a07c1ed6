"""Captions that a model made, kept piece by piece."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from ..errors import MvcError
from ..storage.notes import read_json, write_json
from ..utils.progress import say

PIECE = 128  # captions of one file, as far as those of one image are not more; also the limit of a batch


@dataclass
class Piece:
    """The captions of a range of the rows that are captioned, as far as they are made.

    Attributes:
        first_row, rows: the range, counted among the rows that are captioned: usually all of the source.
        captions: what the model said, without prefix; item i is caption i % per_image of row first_row + i //
            per_image; None for an image that cannot be read.
        broken: row → why it cannot be read.
    """

    number: int
    first_row: int
    rows: int
    per_image: int
    captions: list[str | None] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.rows * self.per_image

    def is_whole(self) -> bool:
        return len(self.captions) == self.total

    def missing_places(self) -> np.ndarray:
        """Those that still lack a caption."""
        return np.arange(self.first_row + len(self.captions) // self.per_image, self.first_row + self.rows)


@dataclass
class Pieces:
    """The pieces of a data set, files of one folder of the cache."""

    folder: Path
    rows: int
    per_image: int

    def __post_init__(self) -> None:
        self.rows_of_piece = max(1, PIECE // self.per_image)
        self.count = -(-self.rows // self.rows_of_piece)
        self.folder.mkdir(parents=True, exist_ok=True)

    def missing(self) -> list[int]:
        """The pieces that are not whole."""
        return [number for number in range(self.count) if not self.read(number).is_whole()]

    def read(self, number: int) -> Piece:
        """A piece as far as it is made."""
        first = number * self.rows_of_piece
        empty = Piece(number, first, min(self.rows_of_piece, self.rows - first), self.per_image)
        path = self._path(number)
        try:
            found = Piece(**read_json(path, "", {"captions": list, "broken": dict}))
            if replace(found, captions=[], broken={}) == empty:
                return found
        except FileNotFoundError:
            return empty
        except (MvcError, TypeError):
            pass
        say(f"{path.name} of the captions in the cache is damaged: they are made again")
        path.unlink(missing_ok=True)
        return empty

    def write(self, piece: Piece) -> None:
        write_json(self._path(piece.number), asdict(piece), indent=None, shared=True, durable=False)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"
