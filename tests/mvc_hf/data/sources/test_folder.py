"""Folders of every layout, and everything a person can get wrong."""

import os
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from sources import HOSTILE, PETS, folder, parquet, picture, png, refused, values

from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError


def test_folder_of_class_folders(tmp_path):
    source = open_dataset(str(folder(tmp_path / "pets", PETS)))
    assert (source.name, source.revision, source.columns) == ("pets", None, ())
    assert source.class_names == ("cats", "dogs")
    assert source.labels.dtype == np.int64
    assert source.labels.tolist() == [0, 0, 0, 1]
    assert [source.describe_row(row) for row in range(len(source))] == [
        "cats/1.png",
        "cats/2.png",
        "cats/more/deep/3.PNG",
        "dogs/1.png",
    ]
    assert values(source) == [10, 20, 25, 30]


def test_folder_ignores_what_is_no_picture(tmp_path):
    root = folder(tmp_path / "pets", {**PETS, ".git/1.png": 0, "cats/.hidden/1.png": 0, "cats/.1.png": 0})
    (root / "cats" / "notes.txt").write_text("x")
    (root / "readme.md").write_text("x")
    assert len(open_dataset(str(root))) == 4


def test_the_mode_of_a_picture_is_kept(tmp_path):
    root = folder(tmp_path / "pets", PETS)
    Image.fromarray(np.full((2, 2), 60000, np.uint16)).save(root / "cats" / "2.png")
    Image.new("RGBA", (2, 2)).save(root / "dogs" / "1.png")
    source = open_dataset(str(root))
    assert [source.image(row).mode for row in (0, 1, 3)] == ["L", "I;16", "RGBA"]


def test_folder_of_splits(tmp_path):
    root = folder(tmp_path / "pets", {f"train/{k}": v for k, v in PETS.items()})
    folder(root, {"test/cats/9.png": 90, "test/dogs/9.png": 91})
    assert values(open_dataset(str(root))) == [10, 20, 25, 30]
    assert values(open_dataset(str(root), split="test")) == [90, 91]
    assert open_dataset(str(root)).name == "pets"
    refused(root, r"no split 'validation': it has 'test', 'train'", split="validation")
    refused(root, "a part can be taken of Parquet only", split="train[:10]")


def test_a_class_may_be_called_train(tmp_path):
    source = open_dataset(str(folder(tmp_path / "x", {"train/1.png": 1, "car/1.png": 2})))
    assert source.class_names == ("car", "train")


def test_class_folders_are_the_train_split(tmp_path):
    root = folder(tmp_path / "pets", PETS)
    refused(root, "no split 'test'", split="test")
    refused(root, "--label-column 'x' means nothing", label_column="x")


def test_hostile_class_folders(tmp_path):
    names = sorted(n.replace("/", "|") for n in HOSTILE)
    source = open_dataset(str(folder(tmp_path / "x", {f"{n}/a\nb.png": i for i, n in enumerate(names)})))
    assert source.class_names == tuple(names)
    assert values(source) == list(range(len(names)))
    assert all("\n" not in source.describe_row(row) for row in range(len(source)))


def test_a_class_folder_may_be_a_link(tmp_path):
    root = folder(tmp_path / "pets", PETS)
    (root / "felines").symlink_to(root / "cats", target_is_directory=True)
    (root / "cats" / "loop").symlink_to(root, target_is_directory=True)
    assert open_dataset(str(root)).labels.tolist() == [0, 0, 0, 1, 2, 2, 2]


def test_bad_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty holds neither class folders")
    root = folder(tmp_path / "loose", {"1.png": 1})
    refused(root, r"loose holds pictures directly.*loose/CLASS/picture\.png")
    root = folder(tmp_path / "pets", PETS)
    (root / "birds").mkdir()
    (root / "fish").mkdir()
    (root / "fish" / "notes.txt").write_text("x")
    refused(root, r"2 of 4 classes without any image: 'birds', 'fish'")


def test_one_name_in_two_spellings_is_one_class(tmp_path):
    root = folder(tmp_path / "x", {"caf\u00e9/1.png": 1, "cafe\u0301/2.png": 2, "tea/3.png": 3})
    said = refused(root, "has the class 'caf\u00e9' 2 times, its accents written in different ways")
    assert r"('cafe\u0301', 'caf\xe9')" in said or r"('caf\xe9', 'cafe\u0301')" in said


@pytest.mark.parametrize("files", [("dataset_info.json", "state.json"), ("dataset_dict.json",)])
def test_what_save_to_disk_wrote(tmp_path, files):
    import datasets

    part = datasets.Dataset.from_dict({"label": [0]})
    (part if len(files) == 2 else datasets.DatasetDict({"train": part})).save_to_disk(str(tmp_path / "x"))
    assert all((tmp_path / "x" / name).exists() for name in files)
    refused(tmp_path / "x", r"x was written by save_to_disk.*load_from_disk\('x'\).*to_parquet")
    arrow = next((tmp_path / "x").rglob("*.arrow"))
    refused(arrow, "neither a folder nor a .parquet file: write it with datasets' to_parquet")


@pytest.mark.skipif(sys.platform == "darwin", reason="the file system refuses such names")
def test_a_data_set_whose_own_name_is_no_text(tmp_path, monkeypatch):
    """Found out when it is opened, not when the name is to be recorded after all training."""
    root = folder(tmp_path / os.fsdecode(b"x\xff"), PETS)
    refused(root, "the name of the data set, .*, is not valid UTF-8: rename it")
    monkeypatch.chdir(root)
    refused(".", "is not valid UTF-8")
    file = parquet(tmp_path / "x.parquet", ["a"]).rename(tmp_path / os.fsdecode(b"x\xff.parquet"))
    refused(file, r"x\\udcff\.parquet.* rename it")


@pytest.mark.skipif(sys.platform == "darwin", reason="the file system refuses such names")
def test_a_folder_name_that_is_no_text(tmp_path):
    root = folder(tmp_path / "pets", PETS)
    (root / "cats").rename(os.fsdecode(os.fsencode(root) + b"/\xff"))
    refused(root, "not valid UTF-8")


def test_broken_and_missing_pictures_are_named(tmp_path):
    root = folder(tmp_path / "pets", PETS)
    source = open_dataset(str(root))
    (root / "cats" / "1.png").write_bytes(png(1)[:30])
    (root / "cats" / "2.png").unlink()
    for row, name in enumerate(["cats/1.png", "cats/2.png"]):
        with pytest.raises(DataError, match=f"^{re.escape(name)} "):
            source.image(row)


def test_fingerprint_of_a_folder(tmp_path):
    root = folder(tmp_path / "pets", PETS)
    first = open_dataset(str(root)).fingerprint
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    os.utime(root / "cats" / "1.png", (1, 1))
    moved = shutil.move(root, tmp_path / "elsewhere")
    assert open_dataset(str(moved)).fingerprint == first
    picture(11).save(moved / "cats" / "1.png")
    changed = open_dataset(str(moved)).fingerprint
    assert changed != first
    picture(10).save(moved / "cats" / "1.png")
    assert open_dataset(str(moved)).fingerprint == first
    (moved / "cats").rename(moved / "felines")
    assert open_dataset(str(moved)).fingerprint not in (first, changed)


def test_folder_as_the_hub_lays_it_out(tmp_path):
    for i in range(2):
        parquet(tmp_path / "set" / "data" / f"train-0000{i}-of-00002.parquet", ["a", "b"])
    parquet(tmp_path / "set" / "data" / "test-00000-of-00001.parquet", ["c"])
    folder(tmp_path / "set", PETS)  # Parquet in data/ goes first
    source = open_dataset(str(tmp_path / "set"))
    assert (source.name, source.class_names, len(source)) == ("set", ("a", "b"), 4)
    assert open_dataset(str(tmp_path / "set"), split="test").class_names == ("c",)
    refused(tmp_path / "set", r"no split 'dev': it has 'train', 'test'", split="dev")
    (tmp_path / "set" / "data" / "train-00001-of-00002.parquet").unlink()
    refused(tmp_path / "set", r"has 1 of the 2 files train-\*-of-00002\.parquet")


def test_parquet_folders_of_splits_and_of_one_file(tmp_path):
    parquet(tmp_path / "set" / "test" / "0.parquet", ["t"])
    assert open_dataset(str(tmp_path / "set"), split="test").class_names == ("t",)
    parquet(tmp_path / "one" / "everything.parquet", ["a"])
    assert open_dataset(str(tmp_path / "one")).class_names == ("a",)
    refused(tmp_path / "one", "no split 'test': its files name no split", split="test")
    folder(tmp_path / "pets", PETS)  # a captions file beside class folders is not the data set
    parquet(tmp_path / "pets" / "captions.parquet", ["a"])
    assert open_dataset(str(tmp_path / "pets")).class_names == ("cats", "dogs")


def test_folders_of_folders_are_one_class_and_it_is_said_once(tmp_path, capsys):
    """Species of one name below two genera are no class: the folders at the top are."""
    species = ("big/cat", "big/dog", "small/cat", "small/dog")
    root = folder(tmp_path / "animals", {f"{name}/{i}.png": 1 for name in species for i in range(2)})
    source = open_dataset(str(root))
    assert source.class_names == ("big", "small") and source.labels.tolist() == [0] * 4 + [1] * 4
    said = capsys.readouterr().err
    assert said.count("note") == 1 and "2 of 2 class folders of animals" in said
    assert "'big' is 'cat', 'dog' together" in said
    picture(1).save(root / "big" / "0.png")
    picture(1).save(root / "small" / "0.png")
    open_dataset(str(root))
    assert not capsys.readouterr().err
