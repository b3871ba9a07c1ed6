"""Pictures that have been decoded once and will be asked for in every epoch."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

LIMIT = 64 * 2**20  # bytes in each process: all of 20,000 pictures of 32×32, and next to nothing of large ones


class PictureMemory:
    """Keeps pictures, as long as there is room: the first ones, since in a shuffled epoch none is asked for sooner.

    Args:
        limit: bytes of their pixels, in all.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._room = limit
        self._kept: dict[int, Image.Image] = {}

    def get(self, key: int, read: Callable[[int], Image.Image]) -> Image.Image:
        """The picture of a key, read where it is not kept. It is the caller's own, whatever he does with it."""
        found = self._kept.get(key)
        if found is None:
            found = read(key)
            size = found.width * found.height * len(found.getbands())
            if size > self._room:
                return found
            self._room -= size
            self._kept[key] = found
        return found.copy()
