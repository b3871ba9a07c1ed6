"""Data sets of rows that a number tells, without a model."""

import datasets
from PIL import Image

from mvc_hf.artifacts.schema import png
from mvc_hf.artifacts.shards import ShardedDatasetWriter

NAMES = ("T-shirt/top", 'a: "b" #c', "🙂\n- x")


def row(i):
    return {
        "image": png(Image.new("L", (4, 4), i % 256)),
        "label": i % 3,
        "prompt": f"caption {i}",
        "method": "mvc",
        "index": i // 3,
        "seed": 0,
        "condition": None if i % 2 else i,
        "mix": {"base": i, "coarse": [{"source": 1, "r": 0, "s": 2}], "fine": []},
    }


def split(folder, rows=10, shard_size=4, **identity):
    return ShardedDatasetWriter(folder, {"seed": 0, **identity}, rows, shard_size, NAMES)


def fill(made, only=None):
    for shard in made.missing() if only is None else only:
        with made.writer(shard) as spool:
            for i in made.rows_of(shard)[spool.rows :]:
                spool.write([row(i)])


def content(folder):
    return datasets.load_dataset(str(folder), split="train").cast_column("image", datasets.Image(decode=False))[:]


def flip(path, at=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    path.write_bytes(content)
