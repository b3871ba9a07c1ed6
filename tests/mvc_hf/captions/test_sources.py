"""Captions from every place that they come from."""

import numpy as np
import pytest
from pets import Pets, contents, edited

from mvc_hf.captions.sources import TEMPLATES, ColumnCaptions, FileCaptions, TemplateCaptions, captioned
from mvc_hf.captions.table import CaptionTable
from mvc_hf.errors import DataError, RecipeError


def test_column_of_strings(capsys):
    table = ColumnCaptions("text").table(Pets(text=["red", "asleep", None, "red"]))
    assert contents(table) == [
        (0, "This is an image of cat. asleep", 1),
        (0, "This is an image of cat.", 2),
        (1, "This is an image of T-shirt/top. red", 0),
    ]
    assert table.num_classes == 2
    assert "1 of 4 captions in 'text' are empty" in capsys.readouterr().err
    assert len(ColumnCaptions("text", keep_duplicates=True).table(Pets(text=["red", "a", "b", "red"]))) == 4


def test_column_of_lists():
    table = ColumnCaptions("text").table(Pets(text=[["a", "b"], [], ["c", None], ["d"]]))
    y = "This is an image of T-shirt/top."
    assert contents(table) == [
        (0, "This is an image of cat.", 1),
        (0, "This is an image of cat. c", 2),
        (1, f"{y} a", 0),
        (1, f"{y} b", 0),
        (1, f"{y} d", 3),
    ]


@pytest.mark.parametrize("value", [3, {"raw": "x"}, ["x", 3], [["x"]]])
def test_column_of_something_else(value):
    with pytest.raises(DataError, match=r"row 1 of pets: the column 'text' holds .* not text"):
        ColumnCaptions("text").table(Pets(text=["a", value, "b", "c"]))


def test_templates():
    table = TemplateCaptions().table(Pets())
    assert table.pool_size.tolist() == [len(TEMPLATES)] * 2
    assert len(TEMPLATES) >= 8
    assert table.captions[0] == "This is an image of cat. a photo of a cat."
    assert set(table.rows) == {-1}
    pets = Pets()
    pets.class_names = ("{}", "{0}")
    assert TemplateCaptions(("a {}!",)).table(pets).captions == [
        "This is an image of {}. a {}!",
        "This is an image of {0}. a {0}!",
    ]


@pytest.mark.parametrize("templates", [(), ("a photo",), ("{} and {}",), ("a {name}",)])
def test_bad_templates(templates):
    with pytest.raises(RecipeError, match="template"):
        TemplateCaptions(templates)


def test_file(tmp_path):
    path = edited(tmp_path, label=["cat", "T-shirt/top", "cat"], caption=["a", "b", "a"], row=[1, None, 2])
    table = FileCaptions(path).table(Pets())
    assert contents(table) == [(0, "This is an image of cat. a", 1), (1, "This is an image of T-shirt/top. b", -1)]


@pytest.mark.parametrize(
    "row, match", [(0, "row 0, which is of the class 'T-shirt/top'"), (4, "row 4, which is not there")]
)
def test_file_of_another_data_set(tmp_path, row, match):
    path = edited(tmp_path, label=[0, 1], caption=["a", "b"], row=[row, 3])
    with pytest.raises(DataError, match=match):
        FileCaptions(path).table(Pets())


def test_every_class_needs_a_caption(tmp_path):
    with pytest.raises(DataError, match="1 of 2 classes have no caption: 'T-shirt/top'"):
        FileCaptions(edited(tmp_path, label=[0], caption=["a"])).table(Pets())


def test_a_class_without_images_needs_no_caption(tmp_path):
    pets = Pets(text=["a", "b", "c", "d"])
    pets.class_names, pets.used = ("cat", "T-shirt/top", "dog"), np.array([True, True, False])
    for captioner in (
        ColumnCaptions("text"),
        TemplateCaptions(),
        FileCaptions(edited(tmp_path, label=[0, 1], caption=["a", "b"])),
    ):
        table = captioner.table(pets)
        assert table.pool_size.tolist()[2] == 0 and (table.pool_size[:2] > 0).all() and table.num_classes == 3


def test_a_table_knows_its_origin(tmp_path):
    pets = Pets(text=["red", "asleep", None, "red"])
    table = captioned(ColumnCaptions("text"), pets)
    assert table.origin == {
        "captioner": "column:text",
        "keep_duplicates": False,
        "dataset": {"name": "pets", "revision": None, "fingerprint": "f00d"},
    }
    assert table.limited(1).origin == table.origin
    path = tmp_path / "captions.parquet"
    table.save(path)
    assert captioned(FileCaptions(path), pets).origin == table.origin  # a file says what made it
    CaptionTable.build([0, 1], ["a", "b"], [-1, -1]).save(path)
    made_by = captioned(FileCaptions(path), pets).origin
    assert made_by["captioner"] == "captions.parquet" and len(made_by["content"]) == 32
    assert str(tmp_path) not in str(made_by)
    assert captioned(TemplateCaptions(("a {}",)), pets).origin["templates"] == ["a {}"]
