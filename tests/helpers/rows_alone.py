"""What a method draws on, without a model: captions and latents that are their row number."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from mvc_hf.captions.table import CaptionTable
from mvc_hf.diffusion.banks.latents import LatentBank
from mvc_hf.diffusion.banks.text import TextBank
from mvc_hf.methods.base import Components

CAPTIONS, IMAGES = (4, 1, 3), (5, 2, 3)  # of each of three classes
SHAPE = (4, 2, 2)


def components(seed: int = 0, channels: int = 8) -> Components:
    """Class 0 has captions 0–3 and images 0–4, class 1 caption 4 and images 5–6, class 2 captions 5–7, images 7–9."""
    labels = np.repeat(np.arange(3), CAPTIONS)
    table = CaptionTable.build(labels, [f"caption {i}" for i in range(8)], range(8))
    embeddings = torch.arange(8.0)[:, None, None].expand(-1, 6, 5).half().contiguous()
    moments = torch.arange(10.0)[:, None, None, None, None].expand(-1, 2, *SHAPE).half().contiguous()
    images = LatentBank(moments, np.repeat(np.arange(3), IMAGES), ("a", "b", "c"), None, False)
    unet = SimpleNamespace(config=SimpleNamespace(in_channels=channels))
    text = TextBank(table, embeddings, torch.full((6, 5), -1.0).half())
    return Components(seed, SimpleNamespace(unet=unet), text, images, SHAPE, None, 4)
