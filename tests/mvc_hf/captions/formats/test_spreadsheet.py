"""Captions as CSV: what spreadsheets open, and what they save."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc_hf.captions.formats.spreadsheet import FORMULA, read, written
from mvc_hf.errors import DataError, OutputError


def test_a_spreadsheet_sees_utf8_and_class_names(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(written([(0, 'a "big", cat', 3), (1, "two\nlines", None)], ["Kätzchen", "dog"]))
    assert path.read_bytes().startswith(b"\xef\xbb\xbflabel,caption,row\r\n")
    with path.open(newline="", encoding="utf-8-sig") as file:
        assert [*csv.reader(file)][1:] == [["Kätzchen", 'a "big", cat', "3"], ["dog", "two\nlines", ""]]
    assert read(path, ["Kätzchen", "dog"]) == {
        "label": ["Kätzchen", "dog"], "caption": ['a "big", cat', "two\nlines"], "row": [3, None]
    }  # fmt: skip


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_what_spreadsheets_save_comes_back(tmp_path, mark):
    """Other separators, whole numbers with a fraction, empty lines at the end, other columns."""
    lines = [["label", "caption", "row", "note"], ["cat", "asleep", "2.0", "nice"], ["1", "runs", "", ""], [""] * 4]
    (tmp_path / "a.csv").write_text("\n".join(mark.join(line) for line in lines))
    found = read(tmp_path / "a.csv", ["cat", "dog"])
    assert (found["label"], found["caption"], found["row"]) == (["cat", 1], ["asleep", "runs"], [2, None])


def test_a_class_that_is_called_by_a_number_is_meant_by_it(tmp_path):
    (tmp_path / "a.csv").write_text("label,caption\n1,one\n0,zero\n")
    assert read(tmp_path / "a.csv", ["1", "x"])["label"] == ["1", 0]


def test_class_names_are_no_formulas(tmp_path):
    names = ["=1+1", "dog"]
    data = written([(0, "a", None), (1, "b", None)], names)
    (tmp_path / "a.csv").write_bytes(data)
    assert b"=1+1" not in data and read(tmp_path / "a.csv", names)["label"] == [0, 1]
    with pytest.raises(OutputError, match="begins as formulas"):
        written([(0, "a", None)], ["=1+1", "7"])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('label,caption\ncat,"open', "is not CSV"),
        ("label,caption\ncat,a,b", "line 2 of a.csv has 3 cells, the first line 2: quote commas"),
        ("label,label\n1,2", "two columns of one name"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, match):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=match):
        read(tmp_path / "a.csv", None)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.integers(0, 99))
    )
)
def test_whatever_the_captions_are_they_come_back(tmp_path_factory, captions):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    names = ["a,b", '"', "c;d"]
    assert not any(name.startswith(FORMULA) for name in names)
    path.write_bytes(written(captions, names))
    kept = [(names[y], text, row) for y, text, row in captions]
    found = read(path, names)
    assert [*zip(found["label"], found["caption"], found["row"])] == kept
