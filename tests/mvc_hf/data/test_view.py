"""Some images of each class: which ones, what is read of the others, and what is recorded."""

import io
import json
import re
import subprocess
import sys

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from hub_server import File
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sources import parquet, png, values

from mvc_hf.artifacts.checkpoint import CheckpointMetadata, load_captions
from mvc_hf.captions.loading import caption_source
from mvc_hf.config.recipe import Recipe
from mvc_hf.data.loading import open_dataset
from mvc_hf.data.view import ViewConfig
from mvc_hf.errors import DataError
from mvc_hf.generation.generate import generate
from mvc_hf.storage.files import cache_root
from mvc_hf.training.finetune import finetune

FIRST = [58, 63, 135, 161, 170, 266]
LABELS = st.lists(st.integers(0, 3), max_size=60).map(lambda labels: np.array(labels, np.int64))


@given(LABELS, st.integers(1, 20), st.integers(0, 5))
def test_so_many_of_each_class_and_a_smaller_number_is_a_part(labels, count, seed):
    rows = ViewConfig(count, seed).chosen(labels)
    assert (np.diff(rows) > 0).all()
    assert (
        np.bincount(labels[rows], minlength=4).tolist() == np.minimum(np.bincount(labels, minlength=4), count).tolist()
    )
    assert set(rows) <= set(ViewConfig(count + 1, seed).chosen(labels))


def test_the_same_ones_for_everyone_by_seed():
    """Changing these changes what was trained on."""
    labels = np.arange(1000) % 10
    assert ViewConfig(2).chosen(labels)[:6].tolist() == FIRST
    assert ViewConfig(2, seed=1).chosen(labels)[:6].tolist() != FIRST
    assert ViewConfig().chosen(labels) is None
    # What is at the end of the data, or in other classes, does not matter.
    longer = np.concatenate([labels, np.full(50, 10)])
    assert set(ViewConfig(2).chosen(labels)) <= set(ViewConfig(2).chosen(longer))


def only(source):
    return source.rows.tolist(), [source.image(row).getpixel((0, 0)) for row in source.rows.tolist()]


def test_a_folder_is_read_no_further(tmp_path):
    folder = tiny.image_folder(tmp_path / "photos", {"a": 20, "b": 3})
    view = ViewConfig(max_images_per_class=4)
    source = open_dataset(str(folder), view=view)
    assert len(source) == 23 and [len(rows) for rows in source.members] == [4, 3]
    before = source.fingerprint, only(source)
    assert before[1][1] == [open_dataset(str(folder)).image(row).getpixel((0, 0)) for row in source.rows.tolist()]
    for row in np.setdiff1d(np.arange(23), source.rows).tolist():
        path = folder / source.describe_row(row)
        path.unlink()
        path.write_bytes(b"no picture")
    again = open_dataset(str(folder), view=view)
    assert (again.fingerprint, only(again)) == before
    assert open_dataset(str(folder), view=ViewConfig(max_images_per_class=3)).fingerprint != before[0]


@pytest.fixture
def table(tmp_path):
    """60 rows in groups of two, of three classes, with captions."""
    labels = [f"c{i % 3}" for i in range(60)]
    return parquet(tmp_path / "set.parquet", labels, extra={"text": [f"caption {i}" for i in range(60)]})


def test_parquet_is_neither_converted_nor_read_whole(table, monkeypatch):
    everything = open_dataset(str(table))
    monkeypatch.setattr(datasets, "load_dataset", None)
    groups = []
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda s, i, **o: groups.append(i) or read(s, i, **o))
    source = open_dataset(str(table), view=ViewConfig(max_images_per_class=2))
    assert sorted(set(groups)) == sorted({row // 2 for row in source.rows.tolist()}) and len(groups) == len(
        set(groups)
    )
    assert source.labels.tolist() == everything.labels.tolist() and source.class_names == everything.class_names
    rows, pixels = only(source)
    assert len(rows) == 6 and pixels == rows  # pictures say which row they are
    assert source.describe_row(7) == everything.describe_row(7)
    assert dict(source.values("text")) == {row: f"caption {row}" for row in rows}
    other = next(row for row in range(60) if row not in rows)
    with pytest.raises(DataError, match=rf"^row {other} of set\.parquet is not one of those that --max-images-per"):
        source.image(other)
    groups.clear()
    again = open_dataset(str(table), view=ViewConfig(max_images_per_class=2))
    assert not groups and only(again) == (rows, pixels) and again.fingerprint == source.fingerprint  # from the cache


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b[:-99] + b"\1" + b[-98:]])
@pytest.mark.parametrize("name", ["columns.arrow", "pictures-*.arrow", "columns.arrow.xxh3.json"])
def test_damaged_rows_of_the_cache_are_read_again(table, name, damage, capsys):
    view = ViewConfig(max_images_per_class=2)
    whole = open_dataset(str(table), view=view)
    expected = only(whole), whole.labels.tolist()
    (path,) = cache_root().glob(f"rows-*/{name}")
    path.write_bytes(damage(path.read_bytes()))
    again = open_dataset(str(table), view=view)
    assert (only(again), again.labels.tolist()) == expected
    assert "in the cache is damaged: it is made again" in capsys.readouterr().err


def test_the_content_decides_the_fingerprint_of_parquet(table, tmp_path):
    view = ViewConfig(max_images_per_class=2)
    first = open_dataset(str(table), view=view)
    moved = tmp_path / "elsewhere.parquet"
    moved.write_bytes(table.read_bytes())
    assert open_dataset(str(moved), view=view).fingerprint == first.fingerprint
    changed = pq.read_table(table).to_pylist()
    changed[int(first.rows[0])]["image"]["bytes"] = png(200)
    pq.write_table(pa.Table.from_pylist(changed), moved)
    assert open_dataset(str(moved), view=view).fingerprint != first.fingerprint


def test_slices_several_files_and_features_of_datasets(tmp_path):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])})
    for i in range(3):
        rows = {"image": [{"bytes": png(10 * i + j), "path": None} for j in range(10)], "label": [0, 1] * 5}
        data = datasets.Dataset.from_dict(rows, features=features)
        (tmp_path / "data").mkdir(exist_ok=True)
        data.to_parquet(tmp_path / "data" / f"train-{i:05d}-of-00003.parquet", batch_size=3)
    source = open_dataset(str(tmp_path), split="train[5:]", view=ViewConfig(max_images_per_class=6))
    assert source.class_names == ("x", "y") and len(source) == 25
    rows, pixels = only(source)
    assert pixels == [row + 5 for row in rows] and len(rows) == 12
    whole = open_dataset(str(tmp_path), split="train[5:]", view=ViewConfig(max_images_per_class=100))
    assert only(whole)[1] == values(open_dataset(str(tmp_path), split="train[5:]"))


def test_captions_of_the_chosen_rows_alone(table, tmp_path):
    import tiny_blip

    view = ViewConfig(max_images_per_class=2)
    source = open_dataset(str(table), view=view)
    captions = caption_source("column:text").table(source)
    assert sorted(captions.rows.tolist()) == source.rows.tolist()
    model = tiny_blip.tiny_captioner(tmp_path / "blip2")
    recipe = Recipe(captions="blip2", caption_model=str(model), caption_max_new_tokens=4, captions_per_image=2)
    some = caption_source("blip2", recipe=recipe, keep_duplicates=True).table(source)
    every = caption_source("blip2", recipe=recipe, keep_duplicates=True).table(open_dataset(str(table)))
    said = dict(zip(zip(every.rows.tolist(), itertools_count(every.rows)), every.captions))
    assert len(some) == 12 and sorted(set(some.rows.tolist())) == source.rows.tolist()
    for key, caption in zip(zip(some.rows.tolist(), itertools_count(some.rows)), some.captions):
        assert said[key] == caption  # a row's captions do not depend on which others are captioned


def itertools_count(rows):
    seen: dict[int, int] = {}
    for row in rows.tolist():
        seen[row] = seen.get(row, -1) + 1
        yield seen[row]


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_from_end_to_end(tiny_base, tmp_path, kind):
    """What is recorded are rows of the whole; a checkpoint's conditions are those that it was trained on."""
    folder = tiny.image_folder(tmp_path / "photos", {"a": 30, "b": 4})
    data = str(folder)
    if kind == "parquet":
        files = sorted(folder.rglob("*.png"))
        rows = {
            "image": [{"bytes": f.read_bytes(), "path": None} for f in files], "label": [f.parent.name for f in files]
        }  # fmt: skip
        data = str(tmp_path / "photos.parquet")
        pq.write_table(pa.table(rows), data, row_group_size=5)
    settings = {"train_batch_size": 4, "max_train_steps": 2, "max_images_per_class": 5, "seed": 3}
    notes = finetune(Recipe(dataset=data, base=str(tiny_base), **settings), tmp_path / "checkpoint")
    chosen = ViewConfig(5, seed=3).chosen(open_dataset(data).labels)
    assert notes.source["images"] == 9 and notes.images_of_class == (5, 4)
    assert CheckpointMetadata.load(tmp_path / "checkpoint").recipe["max_images_per_class"] == 5
    recipe = Recipe(dataset=data, images_per_class=20, num_inference_steps=1, seed=7)
    generate(recipe, tmp_path / "checkpoint", tmp_path / "out")
    found = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert set(found["condition"]) == set(chosen.tolist())
    made_from = json.loads((tmp_path / "out" / "manifest.json").read_text())["made_from"]
    assert made_from["max_images_per_class"] == 5
    assert len(load_captions(tmp_path / "checkpoint", ("a", "b")))


def test_latents_of_some_rows_are_those_of_the_whole(tiny_base, tmp_path):
    import torch

    from mvc_hf.diffusion.banks.latents import LatentBank
    from mvc_hf.diffusion.model import load_base

    folder, base = tiny.image_folder(tmp_path / "photos", {"a": 40, "b": 40}), load_base(str(tiny_base))
    whole = LatentBank.build(open_dataset(str(folder)), base, resolution=16, max_broken=0)
    some = LatentBank.build(
        open_dataset(str(folder), view=ViewConfig(max_images_per_class=3)), base, resolution=16, max_broken=0
    )
    assert len(some.moments) == 6 and [len(rows) for rows in some.members] == [3, 3]
    rows = np.concatenate(some.members)[::-1].copy()
    torch.testing.assert_close(some.mode(rows), whole.mode(rows), atol=2e-3, rtol=2e-3)
    noise = torch.randn(6, 4, 8, 8)
    torch.testing.assert_close(some.sample(rows, noise), whole.sample(rows, noise), atol=4e-3, rtol=4e-3)


def test_a_broken_image_among_the_chosen(tiny_base, tmp_path, capsys):
    from mvc_hf.diffusion.banks.latents import LatentBank
    from mvc_hf.diffusion.model import load_base

    folder = tiny.image_folder(tmp_path / "photos", {"a": 20, "b": 20})
    view = ViewConfig(max_images_per_class=4)
    row = int(open_dataset(str(folder), view=view).rows[2])
    (folder / open_dataset(str(folder)).describe_row(row)).write_bytes(b"no picture")
    source = open_dataset(str(folder), view=view)
    bank = LatentBank.build(source, load_base(str(tiny_base)), resolution=16, max_broken=1)
    assert sorted(np.concatenate(bank.members)) == sorted(set(source.rows.tolist()) - {row})
    assert "skipped 1 of 8 images" in capsys.readouterr().err


HUB = """
import json, sys
from mvc_hf import open_dataset
from mvc_hf.data.view import ViewConfig
source = open_dataset("ann/big", view=ViewConfig(max_images_per_class=2))
rows = source.rows.tolist()
print(json.dumps({"rows": rows, "pixels": [source.image(r).getpixel((0, 0))[0] for r in rows], "count": len(source),
    "revision": source.revision, "fingerprint": source.fingerprint, "names": source.class_names}))
"""


def noisy_png(number):
    """About 12 kB, with the number in the corner."""
    array = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
    array[0, 0] = number
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_set_of_the_hub_is_not_fetched_whole(local_hub, tmp_path):
    repo = local_hub.repo("ann/big")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])})
    for i in range(2):
        numbers = range(100 * i, 100 * i + 100)
        rows = {"image": [{"bytes": noisy_png(n), "path": None} for n in numbers], "label": [n % 2 for n in numbers]}
        path = tmp_path / f"train-{i:05d}-of-00002.parquet"
        datasets.Dataset.from_dict(rows, features=features).to_parquet(path, batch_size=5)
        repo.commit("main", "data", {f"data/{path.name}": File.of(path.read_bytes(), lfs=True)})
    size = sum(path.stat().st_size for path in tmp_path.glob("*.parquet"))

    def client():
        environment = {"PATH": "/usr/bin:/bin", **local_hub.environment(tmp_path / "home")}
        result = subprocess.run([sys.executable, "-c", HUB], capture_output=True, text=True, env=environment)
        assert not result.returncode, result.stderr
        return json.loads(result.stdout)

    found = client()
    assert found["pixels"] == found["rows"] and len(found["rows"]) == 4 and found["count"] == 200
    assert found["names"] == ["x", "y"] and found["revision"] == repo.head().oid
    assert found["rows"] == ViewConfig(2).chosen(np.arange(200) % 2).tolist()
    asked = [re.fullmatch(r"bytes=(\d+)-(\d+)", r.headers.get("range", "")) for r in local_hub.calls("download")]
    assert all(asked)
    pictures = [m for m in asked if int(m[2]) - int(m[1]) > 50_000 and int(m[2]) + 65536 < size / 2]
    assert len(pictures) == len({row // 5 for row in found["rows"]})  # a row group is what can be read at once
    assert sum(int(m[2]) - int(m[1]) + 1 for m in asked) < size / 4
    local_hub.requests.clear()
    assert client() == found and not local_hub.calls("download")  # from our cache
