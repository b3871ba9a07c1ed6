"""Banks for a look at a few rows: they encode what is asked for, when it is asked for; nothing goes to the disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ... import mixing
from ...captions.table import CaptionTable
from ...data.base import Source
from ...data.decoding import to_rgb
from ...errors import DataError
from ...utils.progress import bar, say
from ..model import StableDiffusion
from .latents import moments_of

TEXT_BATCH = 64


class OnDemandTextBank:
    """In the place of a `TextBank`: encodes the captions that a mix names.

    Attributes:
        table: all captions of the checkpoint.
        embeddings: as large as a bank's, but without content: only its shape is asked for.
        null: CLIP(""), (m, d), float16.
    """

    def __init__(self, table: CaptionTable, base: StableDiffusion):
        self.table, self.base = table, base  # the base until `let_go`
        self.tokens, self.width = base.tokens, base.width
        self.embeddings = torch.empty(len(table), self.tokens, self.width, dtype=torch.float16, device="meta")
        self.null = self._encode([""])[0]
        self._known: dict[int, torch.Tensor] = {}

    def mixed(self, plans: mixing.MixPlans) -> torch.Tensor:
        """As `TextBank.mixed`."""
        parts = (plans.base, plans.coarse[..., 0].ravel(), plans.fine[..., 0].ravel())
        named = np.unique(np.concatenate(parts))
        new = [int(i) for i in named if int(i) not in self._known]
        self._known.update(zip(new, self._encode([self.table.captions[i] for i in new])))
        coarse, fine = plans.coarse.copy(), plans.fine.copy()
        coarse[..., 0], fine[..., 0] = (np.searchsorted(named, copies[..., 0]) for copies in (coarse, fine))
        here = mixing.MixPlans(np.searchsorted(named, plans.base), coarse, fine)
        return mixing.apply(torch.stack([self._known[int(i)] for i in named]), here).float()

    def let_go(self) -> None:
        """Everything is encoded: the model may make room for another one."""
        del self.base

    def _encode(self, texts: list[str]) -> list[torch.Tensor]:
        parts = (texts[i : i + TEXT_BATCH] for i in range(0, len(texts), TEXT_BATCH))
        return [row for part in parts for row in self.base.encode_text(part).half().cpu()]


class OnDemandLatentBank:
    """In the place of a `LatentBank`: encodes the condition images that are drawn.

    Attributes:
        moments: as large as a bank's, but without content: only its shape is asked for.
        members: source rows of each class. Those that cannot be read are left out after `look_at`.
    """

    def __init__(self, source: Source, base: StableDiffusion, *, resolution: int, max_broken: int):
        self.source, self.base, self.resolution = source, base, resolution
        latent = resolution // base.vae_factor
        shape = (len(source), 2, base.vae.config.latent_channels, latent, latent)
        self.moments = torch.empty(shape, dtype=torch.float16, device="meta")
        self.members = list(source.members)
        self._known: dict[int, torch.Tensor] = {}

    def look_at(self, labels: Iterable[int]) -> None:
        """Leave out what cannot be read of some classes: a bank has none of it, so `generate` draws from the others.

        Raises:
            DataError: a class has no image left.
        """
        rows = np.concatenate([self.members[label] for label in labels])
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool, bar(len(rows), "reading", " images") as shown:
            broken = []
            for row, error in zip(rows, pool.map(self._error, rows)):
                broken += [(row, error)] if error else []
                shown.update()
        if broken:
            say(f"skipped {len(broken)} of {len(rows)} images that cannot be read: {broken[0][1]}")
        for label in labels:
            self.members[label] = np.setdiff1d(self.members[label], [row for row, _ in broken])
            if not len(self.members[label]):
                name = self.source.class_names[label]
                if not self.source.used[label]:
                    raise DataError(f"{self.source.name} has no image of the class {name!r}: name others (--classes)")
                raise DataError(f"no image can be read of the class {name!r}: repair or remove it")

    def mode(self, rows: np.ndarray) -> torch.Tensor:
        """As `LatentBank.mode`."""
        new = [int(row) for row in np.unique(rows) if int(row) not in self._known]
        if new:
            self._known.update(zip(new, moments_of(self.source, new, self.base, self.resolution)[:, 0]))
        return torch.stack([self._known[int(row)] for row in rows]).float()

    def let_go(self) -> None:
        """Everything is encoded: the model may make room for another one."""
        del self.base

    def _error(self, row: int) -> str:
        try:
            to_rgb(self.source.image(int(row)))
        except DataError as error:
            return str(error)
        return ""
