"""The card of a synthetic data set: whatever classes are called, `datasets` loads them by it."""

import tempfile
from pathlib import Path

import datasets
import pytest
from cards import (
    WORSE,
    check_body,
    class_names,
    front,
    metadata,
    names_in,
    synthetic,
)
from huggingface_hub import DatasetCard, metadata_load
from hypothesis import given, settings
from PIL import Image

from mvc_hf.artifacts.shards import ShardedDatasetWriter
from mvc_hf.errors import MvcError, OutputError
from mvc_hf.publish.dataset_card import dataset_card, draw_samples, size_category, write_dataset_card
from mvc_hf.publish.model_card import model_card
from mvc_hf.publish.rendering import SAMPLES


@settings(max_examples=60, deadline=None)
@given(class_names)
def test_class_names_come_back_from_the_metadata(names):
    with tempfile.TemporaryDirectory() as folder:
        card = dataset_card(synthetic(Path(folder) / "out", names), "org/name")
        file = Path(folder) / "README.md"
        file.write_bytes(card.encode())
        assert names_in(metadata_load(file)) == names
        assert names_in(DatasetCard.load(file).data) == names
    assert names_in(metadata(card)) == names
    assert "\n".join(front(card).splitlines()) + "\n" == front(card)
    check_body(card, len(names))


def test_plain_datasets_loads_hostile_names(tmp_path):
    write_dataset_card(synthetic(tmp_path / "out", WORSE))
    found = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert found.features["label"].names == WORSE and len(found) == len(WORSE)
    assert found[3]["image"].getpixel((0, 0)) == 3
    streamed = datasets.load_dataset(str(tmp_path / "out"), split="train", streaming=True)
    assert streamed.features["label"].names == WORSE and [r["label"] for r in streamed] == list(range(len(WORSE)))


def test_split_sizes_in_the_metadata(tmp_path):
    values = metadata(dataset_card(synthetic(tmp_path / "out", rows=10)))
    info = values["dataset_info"]
    (split,) = info["splits"]
    assert split["name"] == "train" and split["num_examples"] == 10
    assert split["num_bytes"] == info["dataset_size"] > 0
    assert info["download_size"] == sum(p.stat().st_size for p in (tmp_path / "out" / "data").iterdir())
    assert datasets.load_dataset_builder(str(tmp_path / "out")).config.name == "default"


@pytest.mark.parametrize("rows,word", [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**5, "100K<n<1M")])
def test_size_category(rows, word):
    assert size_category(rows) == word
    assert size_category(10**11) == "100B<n<1T" and size_category(10**15) == "n>1T"


def test_pictures_are_shown_where_they_are_there(tmp_path):
    folder = synthetic(tmp_path / "out")
    assert "![" not in dataset_card(folder)
    (folder / "contact_sheet.png").touch()
    assert "](contact_sheet.png)" in dataset_card(folder) and "](samples.png)" not in dataset_card(folder)
    write_dataset_card(folder)
    assert "](samples.png)" in (folder / "README.md").read_text()


def test_samples_are_synthetic_and_of_classes_spread_over_all(tmp_path, monkeypatch):
    """Row 30 k + label holds a picture of that value; nothing but the shards is drawn."""
    import mvc_hf.report.contact_sheet

    drawn, draw = [], mvc_hf.report.contact_sheet.contact_sheet
    monkeypatch.setattr(mvc_hf.report.contact_sheet, "contact_sheet", lambda *a: drawn.append(a) or draw(*a))
    names = [f"class {i}\n" for i in range(29)] + ["x" * 3000]
    folder = synthetic(tmp_path / "out", names, rows=90, shard_size=25)
    path = draw_samples(folder, classes=3, images=2)
    assert path == folder / SAMPLES and Image.open(path).width < 1000
    ((columns, shown),) = drawn
    assert shown == ["class 0\\n", "class 14\\n", "x" * 23 + "…"]
    (rows,) = columns.values()
    assert [[image.getpixel((0, 0)) for image in row] for row in rows] == [[0, 30], [14, 44], [29, 59]]
    draw_samples(synthetic(tmp_path / "one", ["a"], rows=3))
    assert [len(row) for row in drawn[1][0]["synthetic"]] == [3]


def test_a_card_needs_a_finished_folder(tmp_path):
    with pytest.raises(MvcError, match=r"has no mvc\.json"):
        model_card(tmp_path)
    with pytest.raises(OutputError, match=r"has no manifest\.json: it is not a data set"):
        dataset_card(tmp_path)
    ShardedDatasetWriter(tmp_path / "half", {}, 2, 2, ("a", "b"))
    with pytest.raises(OutputError, match="is not finished: give the same"):
        dataset_card(tmp_path / "half")
    whole = synthetic(tmp_path / "whole")
    next((whole / "data").iterdir()).unlink()
    with pytest.raises(OutputError, match=r"lacks train-00000-of-00001\.parquet"):
        dataset_card(whole)
    assert not (whole / "README.md").exists()
