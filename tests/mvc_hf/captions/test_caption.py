"""The captions of a data set as a file: written once, never over what is there."""

import pyarrow.parquet as pq
import pytest

from mvc_hf.captions.caption import caption
from mvc_hf.captions.table import CaptionTable
from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import OutputError


def recipe(photos, **more):
    return Recipe(dataset=str(photos), **{"captions": "template:a {} on a table", **more})


def test_a_file_is_written_once(photos, tmp_path):
    path = tmp_path / "captions.parquet"
    assert caption(recipe(photos), path) == f"{path}: 3 captions of 3 classes"
    table = CaptionTable.load(path)
    assert table.captions[1] == "This is an image of pear. a pear on a table"
    assert table.origin["templates"] == ["a {} on a table"] and table.origin["dataset"]["name"] == "photos"
    before = path.read_bytes()
    assert caption(recipe(photos), path) == f"{path} is there already, made by these settings; nothing to do"
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["captions.parquet"]


def test_what_a_person_edited_stays(photos, tmp_path):
    path = tmp_path / "captions.parquet"
    caption(recipe(photos), path)
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 2), path)
    assert "nothing to do" in caption(recipe(photos), path) and len(CaptionTable.load(path)) == 2


def test_a_file_of_other_settings_is_not_written_over(photos, tmp_path):
    path = tmp_path / "captions.parquet"
    caption(recipe(photos), path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"made otherwise; these differ: templates .*; choose another name"):
        caption(recipe(photos, captions="template:one {}"), path)
    assert path.read_bytes() == before


def test_captions_do_not_lie_among_the_images(photos):
    with pytest.raises(OutputError, match="lies in the folder of the data set"):
        caption(recipe(photos), photos / "captions.parquet")
    assert not (photos / "captions.parquet").exists()
