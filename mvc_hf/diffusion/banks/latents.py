"""Latent moments of every image, encoded once, memory-mapped."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...data.base import by_class
from ...data.decoding import is_grey, square, to_rgb
from ...errors import DataError
from ...utils.progress import say
from .array_cache import encoded_once

if TYPE_CHECKING:
    from ...data.base import Source
    from ..model import StableDiffusion

IMAGE_BATCH = 16


@dataclass(frozen=True)
class LatentBank:
    """Latent moments of every image that could be read.

    Attributes:
        moments: (N, 2, C, h, w), float16, memory-mapped: mean and standard deviation of the VAE's posterior, unscaled.
        labels: of all rows of the source, int64; −1 where the image could not be read, or is not to be used.
        class_names: of the source, in its order.
        native_size: (width, height) shared by all images, else None.
        grey: whether every image has a single channel.
        rows: (N,) source row of each of `moments`, ascending, where they are not all rows of the source.
    """

    moments: torch.Tensor
    labels: np.ndarray
    class_names: tuple[str, ...]
    native_size: tuple[int, int] | None
    grey: bool
    rows: np.ndarray | None = None

    @classmethod
    def build(cls, source: Source, base: StableDiffusion, *, resolution: int, max_broken: int) -> LatentBank:
        """Encode every image once, or find it encoded.

        Raises:
            DataError: more than `max_broken` images cannot be read, or a class that had some has none left.
        """
        made_from = {
            "source": source.fingerprint,
            "rows": len(source),
            "encoder": base.encoder_fingerprint("vae"),
            "resolution": resolution,
        }
        if source.fit != "crop":
            made_from["fit"] = source.fit
        latent = resolution // base.vae_factor
        wanted = source.rows
        shape = (len(wanted), 2, base.vae.config.latent_channels, latent, latent)
        seen = ImageSummary(max_broken)

        def encode(first: int, out: np.ndarray) -> None:
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                rows = wanted[first : first + len(out)].tolist()
                images = pool.map(lambda row: _try_image(source, row, resolution), rows)
                for at in range(0, len(out), IMAGE_BATCH):
                    batch = list(itertools.islice(images, IMAGE_BATCH))
                    for row, picture in zip(rows[at:], batch):
                        seen.note(row, picture)
                    good = [i for i, picture in enumerate(batch) if picture.pixels is not None]
                    if good:
                        pixels = torch.stack([batch[i].pixels for i in good])
                        moments = torch.stack(base.encode_images(pixels), dim=1)
                        out[[at + i for i in good]] = moments.half().cpu().numpy()

        array, notes = encoded_once("latents", made_from, shape, encode, seen)
        seen.restore(notes)
        seen.check(len(wanted))
        labels = np.full(len(source), -1)
        labels[wanted] = source.labels[wanted]
        labels[list(seen.broken)] = -1
        counts = np.bincount(labels[labels >= 0], minlength=len(source.class_names))
        empty = [source.class_names[c] for c in np.flatnonzero((counts == 0) & source.used)]
        if empty:
            raise DataError(
                f"no image can be read of the class {', '.join(map(repr, empty[:5]))}: repair or remove it"
            )
        sizes = seen.sizes
        return cls(
            as_tensor(array),
            labels,
            tuple(source.class_names),
            (sizes[0][0], sizes[0][1]) if len(sizes) == 1 else None,
            seen.grey,
            wanted if len(wanted) < len(source) else None,
        )

    @cached_property
    def members(self) -> list[np.ndarray]:
        """Source rows of each class, in order."""
        return by_class(self.labels, len(self.class_names), np.arange(len(self.labels)))

    def mode(self, rows: np.ndarray) -> torch.Tensor:
        """e_I of some rows: the posterior's mode, unscaled, float32 (B, C, h, w)."""
        return self.moments[self._places(rows), 0].float()

    def sample(self, rows: np.ndarray, noise: torch.Tensor) -> torch.Tensor:
        """A sample of the posterior of some rows, unscaled, float32 (B, C, h, w)."""
        mean, std = self.moments[self._places(rows)].float().unbind(1)
        return mean + std * noise

    def _places(self, rows: np.ndarray) -> torch.Tensor:
        """Where source rows lie in `moments`."""
        return torch.from_numpy(rows if self.rows is None else np.searchsorted(self.rows, rows))


def moments_of(source: Source, rows: Iterable[int], base: StableDiffusion, resolution: int) -> torch.Tensor:
    """Latent moments of a few images as a bank holds them, but in none: float16 (n, 2, C, h, w).

    Raises:
        DataError: one of them cannot be read.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        pictures = list(pool.map(lambda row: _try_image(source, row, resolution), rows))
    broken = [picture.error for picture in pictures if picture.pixels is None]
    if broken:
        raise DataError(broken[0])
    pixels = torch.stack([picture.pixels for picture in pictures])
    parts = [torch.stack(base.encode_images(part), dim=1) for part in pixels.split(IMAGE_BATCH)]
    return torch.cat(parts).half().cpu()


@dataclass
class _Picture:
    """One image as the VAE takes it, (3, size, size) in [-1, 1], or why there is none."""

    pixels: torch.Tensor | None
    size: tuple[int, int] = (0, 0)
    grey: bool = False
    error: str = ""


def _try_image(source: Source, row: int, resolution: int) -> _Picture:
    try:
        image = source.image(row)
    except DataError as error:
        return _Picture(None, error=str(error))
    try:
        pixels = np.asarray(square(to_rgb(image), resolution, source.fit), np.float32) / 127.5 - 1
        return _Picture(torch.from_numpy(pixels).permute(2, 0, 1), to_rgb(image).size, is_grey(image))
    except DataError as error:  # of a picture, not of a row
        return _Picture(None, error=f"{source.describe_row(row)}: {error}")


class ImageSummary:
    """What was learnt of the images while they were read; kept beside the latents. Seeing one again adds nothing."""

    def __init__(self, max_broken: int) -> None:
        self.max_broken = max_broken
        self.broken: dict[int, str] = {}
        self.sizes: list[list[int]] = []
        self.grey = True

    def note(self, row: int, picture: _Picture) -> None:
        if picture.pixels is None:
            self.broken[row] = picture.error
            self.check()
            return
        self.grey &= picture.grey
        if len(self.sizes) < 2 and list(picture.size) not in self.sizes:
            self.sizes.append(list(picture.size))  # one size, or several: two are enough to know

    def check(self, total: int | None = None) -> None:
        if len(self.broken) > self.max_broken:
            raise DataError(
                f"{len(self.broken)} images cannot be read, over the limit of --max-broken {self.max_broken}; "
                f"the first: {next(iter(self.broken.values()))}"
            )
        if self.broken and total:
            errors = "; ".join(list(self.broken.values())[:3])
            say(f"skipped {len(self.broken)} of {total} images that cannot be read: {errors}")

    def notes(self) -> dict[str, Any]:
        return {"broken": self.broken, "sizes": self.sizes, "grey": self.grey}

    def restore(self, notes: dict[str, Any]) -> None:
        """Go on from what `notes` told: through JSON, which has no numbers for keys."""
        self.broken = {int(row): error for row, error in notes["broken"].items()}
        self.sizes, self.grey = notes["sizes"], notes["grey"]


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """A tensor over a read-only memory map. Nothing here writes to it, so torch's warning of that does not apply."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)
