"""Generating to finished Parquet, against diffusers' pipeline in a loop, and against the bare passes of the U-Net.

    python benchmarks/generate.py [--shape embedded cut] [--batch 16] [--batches 2] [--inference-steps 10] [--turns 4]

Ours makes rows and shards as `mvc-hf generate` does: mixing, noise, Eq. 6 in two passes, decoding, PNG, Parquet.
Theirs is StableDiffusionInstructPix2PixPipeline with equal scales, three passes, PNG, Parquet. The bare side takes our
passes on tensors that lie ready, and decodes once. All take turns in one process, with the same networks, steps and
batches. What is compared is the time of this process on its processors, which others on the machine disturb little;
the clock on the wall is shown beside it.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import numpy as np
import sides
import torch
from PIL import Image

from mvc_hf.artifacts.schema import png
from mvc_hf.artifacts.shards import ShardedDatasetWriter
from mvc_hf.config.recipe import Recipe
from mvc_hf.diffusion.model import StableDiffusion, load_base
from mvc_hf.diffusion.unet import widen_unet
from mvc_hf.generation.finishing import finished_rows
from mvc_hf.workflows.demo import assets

SIDES = {"embedded": 32, "cut": 128, "tiny": 128}


def model_of(shape: str) -> StableDiffusion:
    if shape != "embedded":
        return models.random_model(shape, "cpu", in_channels=8)
    base = load_base(str(assets() / "base"))
    base.unet = widen_unet(base.unet).requires_grad_(False).eval()
    return base


class Work:
    """What each side does in a turn: some batches of images."""

    def __init__(self, shape: str, batch: int, batches: int, steps: int):
        self.model, self.side, self.batch, self.batches = model_of(shape), SIDES[shape], batch, batches
        self.recipe = Recipe(
            dataset="none", num_inference_steps=steps, batch_size=batch, guidance_scale=7.5, images_per_class=1
        )
        self.generator = sides.generator_of(self.model, self.recipe, self.side)
        self.pipeline = sides.pipeline_of(self.model, self.recipe)
        rng = np.random.default_rng(0)
        pictures = rng.integers(0, 256, (batch, 8, 8, 3), dtype=np.uint8)
        self.conditions = [Image.fromarray(x).resize((self.side, self.side)) for x in pictures]

    def ours(self) -> None:
        with tempfile.TemporaryDirectory() as out:
            rows = self.batch * self.batches
            split = ShardedDatasetWriter(Path(out), {"seed": 0}, rows, rows, models.NAMES)
            addresses = [
                (np.arange(self.batch) % models.CLASSES, np.arange(self.batch) + self.batch * number)
                for number in range(self.batches)
            ]
            with split.writer(0) as spool:
                for made in finished_rows(self.generator, addresses):
                    spool.write(made)
            split.finish()

    def theirs(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = []
        for _ in range(self.batches):
            texts = [f"This is an image of {models.NAMES[i % models.CLASSES]}." for i in range(self.batch)]
            images = self.pipeline(
                texts, image=self.conditions, num_inference_steps=self.recipe.num_inference_steps,
                guidance_scale=7.5, image_guidance_scale=7.5,
            ).images  # fmt: skip
            rows += [{"image": png(image), "text": text} for image, text in zip(images, texts)]
        pq.write_table(pa.Table.from_pylist(rows), io.BytesIO())

    @torch.inference_mode()
    def bare(self) -> None:
        channels, *latent = models.latent_shape(self.model, self.side)
        inputs = torch.randn(2 * self.batch, 2 * channels, *latent)
        text = torch.randn(2 * self.batch, 77, self.model.width)
        for _ in range(self.batches):
            for t in range(self.recipe.num_inference_steps):
                self.model.unet(inputs, t, encoder_hidden_states=text, return_dict=False)
            self.model.vae.decode(torch.randn(self.batch, channels, *latent))


def measure(works: dict[str, Callable[[], Any]], turns: int) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds (of this process, on the wall) of each turn, after one that warms up."""
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in works}
    for turn in range(turns + 1):
        for name, work in works.items():
            used, began = time.process_time(), time.perf_counter()
            work()
            if turn:
                seconds[name][0].append(time.process_time() - used)
                seconds[name][1].append(time.perf_counter() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", nargs="+", choices=SIDES, default=["embedded", "cut"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--inference-steps", type=int, default=10)
    parser.add_argument("--turns", type=int, default=4)
    args = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads on {os.cpu_count()} processors")
    for shape in args.shape:
        work = Work(shape, args.batch, args.batches, args.inference_steps)
        images = args.batch * args.batches
        seconds = measure({"ours": work.ours, "theirs": work.theirs, "bare": work.bare}, args.turns)
        for name, (used, wall) in seconds.items():
            ratios = sorted(b / a for a, b in zip(seconds["ours"][0], used))
            print(
                f"{shape:9} {name:7} {images / statistics.median(used):8.2f} images a second of processor, "
                f"{images / statistics.median(wall):8.2f} on the wall; time / ours {statistics.median(ratios):.3f} "
                f"({ratios[0]:.3f}–{ratios[-1]:.3f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
