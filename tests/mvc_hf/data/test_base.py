"""What every image set has in common: rows, classes, fingerprint, and what is wrong with names."""

import numpy as np
import pytest
from PIL import Image

from mvc_hf.data.base import Source, by_class, refuse_columns
from mvc_hf.errors import DataError


class Numbers(Source):
    """Pictures that are their row number."""

    name = "numbers"
    may_lack_images = True

    def __init__(self, labels, class_names, columns=None, content=b"content"):
        self.labels, self.class_names = np.array(labels, np.int64), tuple(class_names)
        self.content, self._columns = content, columns or {}
        self.columns = tuple(self._columns)

    def _content(self):
        return [self.content]

    def describe_row(self, row):
        return f"number {row}"

    def image(self, row):
        return Image.new("L", (2, 2), row)

    def column(self, name):
        return self._columns[name] if name in self._columns else super().column(name)


def test_rows_of_each_class_come_in_order():
    source = Numbers([2, 0, 2, 0, 2], ["a", "b", "c"])
    assert len(source) == 5 and source.rows.tolist() == [0, 1, 2, 3, 4]
    assert [rows.tolist() for rows in source.members] == [[1, 3], [], [0, 2, 4]]
    assert source.used.tolist() == [True, False, True]


def test_by_class_leaves_out_what_belongs_to_none():
    found = by_class(np.array([1, -1, 0, 1]), 3, np.array([10, 11, 12, 13]))
    assert [rows.tolist() for rows in found] == [[12], [10, 13], []]


def test_the_fingerprint_is_of_content_labels_and_names_and_knows_their_borders():
    found = Numbers([0, 1], ["a", "b"]).fingerprint
    assert found == Numbers([0, 1], ["a", "b"]).fingerprint and len(found) == 32
    others = [
        Numbers([1, 0], ["a", "b"]),
        Numbers([0, 1], ["b", "a"]),
        Numbers([0, 1], ["a", "b"], content=b"other"),
        Numbers([0, 1], ["ab", ""]),
    ]
    assert len({found, *(other.fingerprint for other in others)}) == 5
    assert Numbers([0], ["caf\u00e9"]).fingerprint == Numbers([0], ["cafe\u0301"]).fingerprint  # either spelling


def test_values_of_the_rows_that_are_used():
    source = Numbers([0, 0, 0], ["a"], {"who": ["x", "y", "z"]})
    assert list(source.values("who")) == [(0, "x"), (1, "y"), (2, "z")]
    source.rows = np.array([0, 2])
    assert list(source.values("who")) == [(0, "x"), (2, "z")]
    with pytest.raises(DataError, match="numbers has no column 'age': it has 'who'"):
        source.column("age")
    with pytest.raises(DataError, match="it has no columns, only pictures and labels"):
        Numbers([0], ["a"]).column("age")


@pytest.mark.parametrize(
    ("labels", "names", "says"),
    [
        ([], [], "holds no images: check the folder, file or split"),
        ([0, 1], ["a", "a"], "has several classes named 'a': give each a name of its own"),
        ([0, 1], ["caf\u00e9", "cafe\u0301"], r"accents written in different ways \('caf\\xe9', 'cafe\\u0301'\)"),
        ([0], ["a\udcff"], r"the class name in numbers, 'a\\udcff', is not valid UTF-8: rename it"),
    ],
)
def test_what_is_no_data_set(labels, names, says):
    with pytest.raises(DataError, match=says):
        Numbers(labels, names).check(every_class=True)


def test_classes_without_images_are_a_note_or_a_mistake(capsys):
    source = Numbers([0], ["a", "b"])
    source.check(every_class=False)
    assert capsys.readouterr().err == ""
    source.check(every_class=True)
    assert "note: numbers has 1 of 2 classes without any image: 'b'; they get none" in capsys.readouterr().err
    source.may_lack_images = False
    with pytest.raises(DataError, match="add images or remove the class"):
        source.check(every_class=True)


def test_rows_that_lack_their_picture_are_counted_against_the_limit():
    source = Numbers([0, 0, 0], ["a"])
    source.check_lacking(0)
    source.lacking = np.array([1, 2])
    source.check_lacking(2)
    with pytest.raises(DataError, match="2 of 3 rows have no picture, over the limit of --max-broken 1, the first is"):
        source.check_lacking(1)
    with pytest.raises(DataError, match="have no picture, the first is number 1"):
        source.check_lacking(0)


@pytest.mark.parametrize(("image", "label", "flag"), [("x", None, "--image-column"), (None, "y", "--label-column")])
def test_columns_mean_nothing_where_there_are_none(image, label, flag):
    refuse_columns("photos", None, None)
    with pytest.raises(DataError, match=f"photos has no columns, so {flag} .* means nothing here"):
        refuse_columns("photos", image, label)
