"""Outputs that would become a part of the data set, by every way that leads there."""

import os
import sys

import pytest
from sources import PETS, folder, parquet

from mvc_hf import cli
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.data.apart import keep_apart
from mvc_hf.errors import OutputError, RecipeError
from mvc_hf.workflows import pipeline


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The data set, in a folder that is the working and the home folder; a link leads to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to("photos")
    return folder(tmp_path / "photos", PETS)


@pytest.mark.parametrize("dataset", ["photos", "./photos/", "~/photos", "link", "other/../photos"])
@pytest.mark.parametrize("output", ["photos", "photos/synthetic", "link/a/b", "~/photos/x", "photos/cats/x.png"])
def test_nothing_is_written_into_the_data_set(photos, dataset, output):
    (photos.parent / "other").mkdir()
    with pytest.raises(OutputError, match="lies in the folder of the data set"):
        keep_apart(dataset, output)
    assert keep_apart(dataset, "elsewhere", "photos-synthetic", "~/x") is None


def test_nor_around_it(photos):
    with pytest.raises(OutputError, match=r"data set link/cats lies in photos, which is to be written"):
        keep_apart("link/cats", "photos")
    with pytest.raises(OutputError, match="lies in photos"):
        keep_apart(str(parquet(photos / "x.parquet", ["a"])), "photos")


def test_a_file_has_neighbours(photos):
    file = parquet(photos.parent / "data" / "x.parquet", ["a"])
    keep_apart(str(file), "data/checkpoint")
    with pytest.raises(OutputError, match=r"lies in data/x\.parquet"):
        keep_apart("data/x.parquet", "data/x.parquet")


@pytest.mark.parametrize(
    ("pattern", "output", "fine"),
    [
        ("d [[]1]/*.parquet", "d [1]/captions.parquet", False),
        ("d [[]1]/*.parquet", "d [1]/out", True),
        ("d [[]1]/*.parquet", "d [1]", False),
        ("*/*.parquet", "out", False),  # its captions.parquet
        ("*/data/*.parquet", "out", False),  # its shards
        ("d*/train-*.parquet", "d1", True),
        ("**/*.parquet", "a/b/c", False),
        ("*.parquet", "out", True),
    ],
)
def test_a_pattern_must_not_match_what_is_written(photos, pattern, output, fine):
    if fine:
        keep_apart(pattern, output)
    else:
        with pytest.raises(OutputError, match="would match"):
            keep_apart(pattern, output)


def test_what_is_not_here_is_in_nobodys_way(photos):
    for dataset in ("", "org/name", "torchvision:CIFAR10"):
        keep_apart(dataset, "photos/x")


@pytest.mark.skipif(sys.platform == "darwin", reason="the file system refuses such names")
def test_an_output_whose_name_is_no_text_is_refused_at_once(photos):
    for output in (os.fsdecode(b"out\xff"), os.fsdecode(b"\xff/out")):
        with pytest.raises(OutputError, match="not valid UTF-8"):
            keep_apart("", output)


RUN = """
dataset: photos
base: base
output: photos/run
"""


@pytest.mark.parametrize(
    "command",
    [
        "caption photos -o photos/captions.parquet",
        "finetune photos -o photos/checkpoint --base base",
        "generate checkpoint -o photos/synthetic --dataset photos",
        "generate checkpoint -o link/synthetic --dataset ~/photos",
        "preview checkpoint -o photos/cats/preview.png --dataset photos",
        "replay synthetic 0 -o photos/cats/again.png --dataset-source photos",
        "run recipe.yaml",
        "plan recipe.yaml",
        "run recipe.yaml -o link/x",
    ],
)
def test_every_command_that_writes_looks_first(photos, capsys, command):
    (photos.parent / "recipe.yaml").write_text(RUN)
    before = sorted(photos.parent.rglob("*"))
    assert cli.run(command.split()) == 1
    said = capsys.readouterr().err
    assert "lies in the folder of the data set" in said and len(said.splitlines()) == 1
    assert sorted(photos.parent.rglob("*")) == before


def test_the_data_may_lie_beside_what_a_run_makes(photos):
    recipe = Recipe(dataset="photos", base="base")
    (photos.parent / "checkpoint").mkdir()  # a run has begun here
    pipeline.check(RunRecipe(recipe, "."))
    with pytest.raises((OutputError, RecipeError)):
        pipeline.check(RunRecipe(recipe, "~/photos"))
