"""Small sets for a report: classes that a colour tells apart, a split of them, and a network to see through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mvc_hf.artifacts.schema import png
from mvc_hf.artifacts.shards import ShardedDatasetWriter

NAMES = ("apple", "pear", "plum")
COLOURS = np.array([(200, 60, 60), (70, 190, 60), (80, 60, 190)])
MODEL = "test_resnet"  # of timm's own tests: half a million weights


def pictures(labels, seed, size=16):
    """uint8 (n, size, size, 3): the colour of the class, and smooth noise that makes each one of its own."""
    rng = np.random.default_rng(seed)
    found = []
    for label in labels:
        noise = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        smooth = np.asarray(noise.resize((size, size), Image.Resampling.BICUBIC), np.float64) - 128
        found.append(np.clip(COLOURS[label] + 0.45 * smooth, 0, 255).astype(np.uint8))
    return np.stack(found)


def folder(place: Path, images, labels) -> Path:
    for i, (image, label) in enumerate(zip(images, labels)):
        (place / NAMES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / NAMES[label] / f"{i:04d}.png")
    return place


def split(place: Path, images, labels, seed=0) -> Path:
    """As `generate` leaves it."""
    writer = ShardedDatasetWriter(place, {"seed": seed}, len(labels), 50, NAMES)
    index = {label: iter(range(len(labels))) for label in range(len(NAMES))}
    for shard in writer.missing():
        with writer.writer(shard) as partial:
            partial.write([_row(Image.fromarray(images[i]), labels[i], next(index[labels[i]]), seed)
                           for i in writer.rows_of(shard)])  # fmt: skip
    writer.finish()
    return place


def _row(image, label, index, seed):
    return {
        "image": png(image), "label": int(label), "prompt": "", "method": "mvc", "index": index, "seed": seed,
        "condition": None, "mix": {"base": 0, "coarse": [], "fine": []},
    }  # fmt: skip


def weights(file: Path, classes: int = 1000) -> Path:
    """Random weights of the small network, as safetensors."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model(MODEL, num_classes=classes).state_dict(), file)
    return file
