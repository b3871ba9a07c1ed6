"""What mixing in synthetic images costs a loader: images per second against timm's own reader of the real ones alone.

    python benchmarks/loader.py [--real 5000] [--synthetic 20000] [--workers 2] [--batch 128] [--repeats 5]

Images are 32×32 RGB noise in Parquet, as CIFAR's size. Both loaders are timm's create_loader with its usual training
transforms, the prefetcher on the CPU, and the same workers; the real images alone come through timm's hfds/ reader.
They take turns within one run, an epoch of as many images each. Reported are medians, and the median of the ratios of
the turns. Then: how long a million synthetic rows take to start with beyond load_dataset, and what a worker holds.
"""

import argparse
import math
import resource
import tempfile
import time
from pathlib import Path

import datasets
import numpy as np
import torch
from PIL import Image
from timm.data import create_dataset, create_loader

from mvc_hf.artifacts.schema import png
from mvc_hf.augment.mixed_dataset import make_schedule, mix, phase2_length
from mvc_hf.data.loading import open_dataset

CLASSES = 10


def write(path, count, seed, images=None):
    """Rows of random pictures; of a large set, the same few over and over."""
    rng = np.random.default_rng(seed)
    different = min(count, images or count)
    pictures = [png(Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))) for _ in range(different)]
    names = [str(i) for i in range(CLASSES)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})

    def rows():
        for i in range(count):
            yield {"image": pictures[i % different], "label": i % CLASSES}

    path.parent.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as cache:
        datasets.Dataset.from_generator(rows, features=features, cache_dir=cache).to_parquet(path)


def loader_of(dataset, args):
    return create_loader(
        dataset, (3, 32, 32), args.batch, is_training=True, num_workers=args.workers, device=torch.device("cpu"),
        persistent_workers=args.workers > 0,
    )  # fmt: skip


def real_images(folder):
    return create_dataset(f"hfds/{folder}", root=str(folder / "cache"), split="train", is_training=True)


def mixed(folder, kind):
    found = mix(
        real_images(folder / "real"), [open_dataset(str(folder / "synthetic"))],
        ratio=math.inf, epoch="real", label_match="name", seed=0,
    )  # fmt: skip
    switch = 10 - phase2_length(10, None)
    found.schedule = make_schedule(found, kind, prob=0.8, rsp_from="class", switch=switch, seed=0)
    return found


def epoch_time(loader, epoch):
    if hasattr(loader.dataset, "set_epoch"):
        loader.dataset.set_epoch(epoch)
    start = time.perf_counter()
    count = sum(len(images) for images, _ in loader)
    return count / (time.perf_counter() - start)


def throughput(folder, args):
    print(f"{args.real} real and {args.synthetic} synthetic images of 32×32, {args.workers} workers")
    print(f"{'':<12}{'images/s':>10}{'real alone':>12}{'ratio':>8}")
    alone = loader_of(real_images(folder / "real"), args)
    epoch_time(alone, 0)
    for kind in ("combined", "two-phase", "rsp", "synthetic"):
        loader = loader_of(mixed(folder, kind), args)
        epoch_time(loader, 0)  # starts the workers and touches the pages
        runs = []
        for i in range(args.repeats):
            turns = [(loader, i + 1), (alone, 0)]
            found = [epoch_time(*turn) for turn in (turns if i % 2 else turns[::-1])]
            runs.append(found if i % 2 else found[::-1])
        ours, theirs = np.array(runs).T
        figures = np.median(ours), np.median(theirs), np.median(ours / theirs)
        print(f"{kind:<12}{figures[0]:>10.0f}{figures[1]:>12.0f}{figures[2]:>8.3f}", flush=True)
        del loader


def start_up(folder, args):
    started = time.perf_counter()
    datasets.load_dataset("parquet", data_files=str(folder / "million" / "train.parquet"), split="train")
    loading = time.perf_counter() - started
    real = real_images(folder / "real")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    source = open_dataset(str(folder / "million"))
    found = mix(real, [source], ratio=math.inf, epoch="real", label_match="name", seed=0)
    found.schedule = make_schedule(found, "rsp", prob=0.8, rsp_from="class", switch=None, seed=0)
    found.set_epoch(0)
    found[0]
    ours = time.perf_counter() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{args.million} synthetic rows: load_dataset {loading:.1f} s (its cache made), then ours {ours:.1f} s")
    print(f"memory of the process grew by {grown:.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=int, default=5_000)
    parser.add_argument("--synthetic", type=int, default=20_000)
    parser.add_argument("--million", type=int, default=1_000_000, help="rows of the large set; 0 leaves it out")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        datasets.config.HF_DATASETS_CACHE = folder / "datasets"
        write(folder / "real" / "train.parquet", args.real, 0)
        write(folder / "synthetic" / "train.parquet", args.synthetic, 1)
        throughput(folder, args)
        if args.million:
            write(folder / "million" / "train.parquet", args.million, 2, images=100)
            start_up(folder, args)


if __name__ == "__main__":
    main()
