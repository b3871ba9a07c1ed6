"""Folders of grey pictures of more than 8 bits, as medicine and microscopy have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def deep_folder(
    folder: Path, classes: dict[str, int], *, low: int, high: int, dtype: str = "uint16", suffix: str = "png",
    size: tuple[int, int] = (16, 16),
) -> Path:  # fmt: skip
    """Each picture goes smoothly from `low` to `high`, in a direction of its own."""
    rng = np.random.default_rng(0)
    for name, count in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            y, x = np.mgrid[0 : size[1], 0 : size[0]]
            slope = x * rng.uniform(0.2, 1) + y * rng.uniform(0.2, 1)
            values = low + (high - low) * slope / slope.max()
            Image.fromarray(values.round().astype(dtype)).save(folder / name / f"{i:03d}.{suffix}")
    return folder
