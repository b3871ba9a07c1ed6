"""Class folders: names of files and of classes, and what is written of them."""

import json

import datasets
import judged
import numpy as np
import pytest
from PIL import Image

import mvc_hf
from mvc_hf.config.stages.exporting import ExportSettings
from mvc_hf.exporting.export import export

LABELS = np.repeat([0, 1, 2], 2)


@pytest.fixture
def hostile(tmp_path):
    """A set whose class names are no names of folders."""
    pictures = [Image.new("L", (8, 8), 40 * i) for i in range(6)]
    kind = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a/b", "../../x", "train"])}
    )
    table = datasets.Dataset.from_dict({"image": pictures, "label": LABELS.tolist()}, features=kind)
    table.to_parquet(tmp_path / "set.parquet")
    return str(tmp_path / "set.parquet")


def test_class_names_are_written_safely_and_come_back(hostile, tmp_path):
    export(hostile, tmp_path / "deep" / "out")
    folders = sorted(path.name for path in (tmp_path / "deep" / "out").iterdir() if path.is_dir())
    assert folders == ["_._.._x", "a_b", "train_2"] and sorted(p.name for p in (tmp_path / "deep").iterdir()) == [
        "out"
    ]
    again, first = mvc_hf.open_dataset(str(tmp_path / "deep" / "out")), mvc_hf.open_dataset(hostile)
    assert again.class_names == ("a/b", "../../x", "train") and again.labels.tolist() == LABELS.tolist()
    assert all(again.image(i).tobytes() == first.image(i).tobytes() for i in range(6))
    told = json.loads((tmp_path / "deep" / "out" / "classes.json").read_text())
    assert dict(zip(told["folders"], told["class_names"]))["_._.._x"] == "../../x"


def test_in_a_folder_of_a_split_a_class_may_be_called_train(hostile, tmp_path):
    export(hostile, tmp_path / "out" / "train")
    assert (tmp_path / "out" / "train" / "train").is_dir()


def test_names_are_those_of_addresses(tmp_path):
    made = judged.split(tmp_path / "made", judged.pictures(LABELS, 1), LABELS, seed=3)
    export(str(made), tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()]
    for line in lines:
        name = f"{line['label']}/{line['method']}-s{line['seed']}-{line['index']:06d}.png"
        assert line["file_name"] == name and (tmp_path / "out" / name).is_file() and line["prompt"] is not None


def test_datasets_takes_labels_from_folders_without_metadata(tmp_path):
    """As transformers' run_image_classification.py opens its --train_dir."""
    made = judged.split(tmp_path / "made", judged.pictures(LABELS, 1), LABELS)
    export(str(made), tmp_path / "out", settings=ExportSettings(metadata=False))
    files = {"train": str(tmp_path / "out" / "**")}
    loaded = datasets.load_dataset("imagefolder", data_files=files, split="train")
    assert sorted(loaded.features["label"].names) == sorted(mvc_hf.open_dataset(str(made)).class_names)
    assert len(loaded) == 6


def test_an_empty_file_of_a_power_cut_is_written_again(hostile, tmp_path):
    export(hostile, tmp_path / "out")
    file = tmp_path / "out" / "a_b" / "000000.png"
    whole = file.read_bytes()
    file.write_bytes(b"")
    export(hostile, tmp_path / "out")
    assert file.read_bytes() == whole
