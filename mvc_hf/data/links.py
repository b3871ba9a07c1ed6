"""Which links of a data set's folder may be followed.

Whoever made a folder must not choose what is read from the machine that it came to: a link of a cloned or unpacked
data set may lead to anybody's private picture. So a link is followed as long as it stays within the folder, or where
the user says that the links are theirs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import DataError
from ..utils.text import one_line


@dataclass(frozen=True)
class Links:
    """The links of a folder.

    Args:
        root: the folder that the user named.
        follow: whether those that lead out of it may be followed, too.
    """

    root: Path
    follow: bool = False

    def check(self, path: str | Path) -> None:
        """Raises DataError where a path below `root` is, or lies behind, a link that may not be followed."""
        if not self._is_inside(path) and not (self.follow and not self._is_pulled):
            shown, folder = one_line(os.path.relpath(path, self.root)), one_line(self.root.resolve().name)
            origin, own = ", which came from the Hub,", ""
            if not self._is_pulled:
                origin, own = "", ", or say --follow-symlinks (timm: --aug-follow-symlinks) if it is your own"
            raise DataError(
                f"{shown!r} in {folder!r}{origin} is a link that leads out of it: put there what it leads to{own}"
            )

    def _is_inside(self, path: str | Path) -> bool:
        real = Path(os.path.realpath(path))
        return any(real.is_relative_to(place) for place in self._places)

    @cached_property
    def _places(self) -> list[Path]:
        """The folder; and, of one in the cache of the Hub's client, the repository: its files are links to blobs."""
        real = self.root.resolve()
        return [real, *(cache / real.relative_to(cache).parts[0] for cache in self._caches if real != cache)]

    @cached_property
    def _is_pulled(self) -> bool:
        """Whether the folder was fetched from the Hub: into the client's cache, or by `hf download --local-dir`."""
        real = self.root.resolve()
        marks = (place / ".cache" / "huggingface" / "download" for place in (real, *real.parents))
        return bool(self._caches) or any(mark.is_dir() for mark in marks)

    @cached_property
    def _caches(self) -> list[Path]:
        """The caches of the Hub's client that the folder lies in."""
        from huggingface_hub import constants

        caches = {Path(cache).resolve() for cache in (constants.HF_HUB_CACHE, constants.HF_ASSETS_CACHE)}
        return [cache for cache in caches if self.root.resolve().is_relative_to(cache)]
