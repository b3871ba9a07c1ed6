"""Runs of the hook on a script with the contract of timm's train.py, whose log says which images it saw.

Real image i is grey i, synthetic image j grey 100 + j, validation image i grey 200 + i.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import datasets
from PIL import Image

from mvc_hf.plugins import timm_train

SCRIPT = Path(__file__).with_name("minimal_train.py")
REAL, SYNTHETIC, VALIDATION = 16, 24, 5  # images; their grey values say which they are
NAMES = ["cat", "dog"]


def grey(value):
    return Image.new("RGB", (8, 8), (value,) * 3)


def label_of(i):
    return i % 2


def write_parquet(path, values, names=NAMES, labels=None, **extra):
    path.parent.mkdir(parents=True, exist_ok=True)
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    features |= {name: datasets.Value("int64") for name in extra}
    labels = [label_of(i) for i in range(len(values))] if labels is None else labels
    rows = {"image": [grey(v) for v in values], "label": labels, **extra}
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(path)
    return path


def row_of(i):
    """timm counts the images of a folder class by class."""
    return order().index(i)


def order():
    return sorted(range(REAL), key=lambda i: (NAMES[label_of(i)], i))


def values_of(samples):
    """The grey values of samples, as the loader shows them."""
    return [order()[s] if s < REAL else 100 + s - REAL for s in samples]


def run(real, out, *flags, script=SCRIPT):
    timm_train.train(str(script), [str(real), "--output", str(out), *map(str, flags)])
    return log(out)


def log(out, rank=0):
    return [json.loads(line) for line in (Path(out) / f"log-{rank}.jsonl").read_text().splitlines()]


def check_epochs(lines, schedule, batch=4):
    """Every slot of an epoch was seen once (the script's batches divide the length)."""
    for line in lines:
        expected = values_of(schedule.samples(line["epoch"]))
        assert len(line["seen"]) == schedule.length // batch * batch
        assert Counter(line["seen"]) == Counter(expected), line["epoch"]
        assert line["labels"] == [label_of(v % 100) for v in line["seen"]]
        assert line["val"] == [200, 202, 204, 201, 203]
