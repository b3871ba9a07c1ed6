"""Small labelled image sets of every layout, and what tests ask of a source."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError

HOSTILE = ["T-shirt/top", "no", "1.0", 'say "hi"', "two\nlines", "🐱", "{x}: &y", " spaces ", "up/../.."]
PETS = {"dogs/1.png": 30, "cats/2.png": 20, "cats/1.png": 10, "cats/more/deep/3.PNG": 25}


def picture(value, mode="L"):
    return Image.new(mode, (4, 3), value)


def png(value, mode="L"):
    buffer = io.BytesIO()
    picture(value, mode).save(buffer, "PNG")
    return buffer.getvalue()


def folder(root, classes):
    """A folder of class folders: {"cats/1.png": grey value}."""
    for path, value in classes.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        picture(value).save(root / path, "PNG")
    return root


def parquet(path, labels, images=None, label_type=None, extra=None):
    """A Parquet file as any tool writes it: {bytes, path} structures and a label column."""
    images = images or [{"bytes": png(i), "path": None} for i in range(len(labels))]
    path.parent.mkdir(parents=True, exist_ok=True)
    coded = isinstance(label_type, pa.DictionaryType)  # pyarrow 24 cannot make all of them from Python's values
    label = pa.array(labels).dictionary_encode().cast(label_type) if coded else pa.array(labels, label_type)
    columns = {"image": images, "label": label, **(extra or {})}
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def hub_parquet(path, labels, names):
    """A Parquet file as `datasets` writes it, with its own features."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {"image": [{"bytes": png(i), "path": f"{i}.png"} for i in range(len(labels))], "label": labels}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    return path


def values(source):
    return [source.image(row).getpixel((0, 0)) for row in range(len(source))]


def refused(dataset, match, **options):
    with pytest.raises(DataError, match=match) as caught:
        open_dataset(str(dataset), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
