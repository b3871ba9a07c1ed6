"""Caption embeddings of every class, encoded once, memory-mapped, and mixed on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ... import mixing
from ...captions.table import CaptionTable
from .array_cache import encoded_once
from .latents import as_tensor

if TYPE_CHECKING:
    from ..model import StableDiffusion

TEXT_BATCH = 64


@dataclass(frozen=True)
class TextBank:
    """Caption embeddings of every class, in the order of the caption table.

    Attributes:
        table: the captions, sorted by class, so that the pool of a class is a range of rows.
        embeddings: (K, m, d), float16, memory-mapped.
        null: CLIP(""), (m, d), float16.
    """

    table: CaptionTable
    embeddings: torch.Tensor
    null: torch.Tensor

    @classmethod
    def build(cls, table: CaptionTable, base: StableDiffusion) -> TextBank:
        """Encode every caption once, or find it encoded."""
        texts = [*table.captions, ""]
        made_from = {
            "texts": texts,
            "tokenizer": base.tokenizer_fingerprint(),
            "encoder": base.encoder_fingerprint("text_encoder"),
        }
        shape = (len(texts), base.tokens, base.width)

        def encode(first: int, out: np.ndarray) -> None:
            for at in range(0, len(out), TEXT_BATCH):
                chunk = texts[first + at : first + at + min(TEXT_BATCH, len(out) - at)]
                out[at : at + len(chunk)] = base.encode_text(chunk).half().cpu().numpy()

        array, _ = encoded_once("text", made_from, shape, encode)
        tensor = as_tensor(array)
        return cls(table, tensor[:-1], tensor[-1])

    def mixed(self, plans: mixing.MixPlans) -> torch.Tensor:
        """ẽ of some mixes, float32 (B, m, d)."""
        return mixing.apply(self.embeddings, plans).float()
