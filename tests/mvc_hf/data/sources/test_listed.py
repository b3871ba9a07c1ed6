"""Folders of pictures whose labels stand in their metadata file."""

import json

import datasets
import pytest
from sources import folder, refused, values

from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError

FLAT = {"b.png": 10, "a.png": 20, "more/c.png": 30}


def listed(tmp_path, rows, pictures=FLAT, where="."):
    root = folder(tmp_path / "pets", {f"{where}/{name}": value for name, value in pictures.items()})
    text = "\n".join(json.dumps({"file_name": name, **more}) for name, more in rows.items())
    (root / where / "metadata.jsonl").write_text(text)
    return root


PETS = {"b.png": {"label": "dog", "text": "x"}, "a.png": {"label": "cat"}, "more/c.png": {"label": "dog", "text": "y"}}


@pytest.mark.parametrize("where", [".", "train"])
def test_labels_by_name(tmp_path, where, capsys):
    source = open_dataset(str(listed(tmp_path, PETS, where=where)))
    assert (source.name, source.class_names, source.columns) == ("pets", ("cat", "dog"), ("text",))
    assert source.labels.tolist() == [1, 0, 1] and values(source) == [10, 20, 30]
    assert [*source.column("text")] == ["x", None, "y"] and source.describe_row(2) == "more/c.png"
    assert "note: the classes of pets are those of 'label' in metadata.jsonl" in capsys.readouterr().err


def test_the_same_rows_as_those_of_datasets(tmp_path):
    """The Hub's own convention: load_dataset("imagefolder") sees the same."""
    root = listed(tmp_path, PETS)
    theirs = datasets.load_dataset("imagefolder", data_dir=str(root), split="train")
    ours = open_dataset(str(root))
    found = {(ours.image(row).getpixel((0, 0)), ours.class_names[label]) for row, label in enumerate(ours.labels)}
    assert found == {(row["image"].getpixel((0, 0)), row["label"]) for row in theirs}


def test_numbers_are_in_the_order_of_numbers(tmp_path):
    rows = {name: {"grade": grade} for name, grade in zip(FLAT, (10, 2, 10))}
    source = open_dataset(str(listed(tmp_path, rows)), label_column="grade")
    assert source.class_names == ("2", "10") and source.labels.tolist() == [1, 0, 1]


def test_a_column_that_is_named_wins_over_folders(tmp_path):
    pictures = {"left/1.png": 1, "right/2.png": 2}
    root = listed(tmp_path, {name: {"label": f"of {name[0]}"} for name in pictures}, pictures)
    assert open_dataset(str(root)).class_names == ("left", "right")
    assert open_dataset(str(root), label_column="label").class_names == ("of l", "of r")


def test_pictures_that_are_missing_count(tmp_path):
    root = listed(tmp_path, {**PETS, "gone.png": {"label": "cat"}})
    source = open_dataset(str(root))
    assert source.lacking.tolist() == [3] and source.fingerprint
    with pytest.raises(DataError, match=r"1 of 4 rows have no picture, the first is gone\.png"):
        source.check_lacking(0)


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ({"b.png": {"text": "x"}}, "has no column label or labels: name the column of the classes"),
        ({"b.png": {"label": None}}, "b.png: label is None; it must be the name or the number of a class"),
        ({"b.png": {"label": 0.5}}, "label is 0.5"),
        ({"b.png": {"label": ["cat"]}}, "it must be the name or the number"),
    ],
)
def test_labels_that_are_none(tmp_path, rows, match):
    refused(listed(tmp_path, rows, {"b.png": 10}), match)


def test_other_columns_and_links(tmp_path):
    root = listed(tmp_path, PETS)
    refused(root, "metadata.jsonl has no column 'colour': it has 'label', 'text'", label_column="colour")
    refused(root, "--image-column 'x' means nothing here", image_column="x")
    folder(tmp_path, {"secret.png": 5})
    (root / "a.png").unlink()
    (root / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match="a link that leads out of it"):
        open_dataset(str(root)).image(1)
