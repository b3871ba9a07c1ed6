"""Class names as names of folders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc_hf.data.sources.class_folders import folder_name, folder_names, names_by_folder, write_names
from mvc_hf.errors import DataError


@pytest.mark.parametrize("name", ["cat", "T-shirt top", "St. Bernard", "żaba", "犬", "n02085620", "a-b_c (d)"])
def test_a_name_of_a_folder_stays_as_it_is(name):
    assert folder_name(name) == name


@pytest.mark.parametrize(
    ("name", "folder"),
    [("a/b", "a_b"), ("..", "__"), (".hidden", "_hidden"), ("", "_"), ("NUL", "_NUL"), ("con.txt", "_con.txt"),
     ("a\nb", "a_b"), ("end.", "end_"), (" x ", "x"), ("a\u202eb", "a_b")],
)  # fmt: skip
def test_others_are_made_safe(name, folder):
    assert folder_name(name) == folder


@given(st.lists(st.text(max_size=200), max_size=8, unique=True))
def test_each_class_has_a_folder_of_its_own(names):
    folders = folder_names(names)
    assert len({folder.casefold() for folder in folders}) == len(names)
    for folder in folders:
        assert (
            folder and "/" not in folder and "\\" not in folder and not folder.startswith(".") and folder.isprintable()
        )
        assert len(folder.encode()) <= 110 and folder.casefold() not in ("train", "test", "val")


def test_they_are_told_apart_by_more_than_case():
    assert folder_names(["Cat", "cat", "c/t", "c_t"]) == ["Cat", "cat_2", "c_t", "c_t_2"]


def test_what_was_written_comes_back(tmp_path):
    assert names_by_folder(tmp_path) == {}
    write_names(tmp_path, ["a/b", "c"], ["a_b", "c"])
    assert names_by_folder(tmp_path) == {"a_b": "a/b", "c": "c"}


def test_a_file_of_others_is_left_alone_and_a_damaged_one_is_told_of(tmp_path):
    (tmp_path / "classes.json").write_text('{"cat": 0}')
    assert names_by_folder(tmp_path) == {}
    (tmp_path / "classes.json").write_text('{"class_names": ["a"], "folders": [1, 2]}')
    with pytest.raises(DataError, match=r"classes.json does not name"):
        names_by_folder(tmp_path)
    (tmp_path / "classes.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        names_by_folder(tmp_path)
