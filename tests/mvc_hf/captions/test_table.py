"""The table that holds captions, and its file that a person can edit."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pets import Pets, contents, edited

from mvc_hf.captions.sources import TemplateCaptions, captioned, origin
from mvc_hf.captions.table import CaptionTable, already_written, with_prefix
from mvc_hf.errors import DataError, OutputError, RecipeError
from mvc_hf.utils.rng import Stream, words


@pytest.mark.parametrize(
    "caption, expected",
    [
        ("on a sofa", "This is an image of cat. on a sofa"),
        ("", "This is an image of cat."),
        (" \n ", "This is an image of cat."),
        ("two\nlines\t and   spaces ", "This is an image of cat. two lines and spaces"),
        ("This is an image of cat. asleep", "This is an image of cat. asleep"),
        ("This is an image of cat.", "This is an image of cat."),
        ("This is an image of cat.s", "This is an image of cat. This is an image of cat.s"),
        ("This is an image of dog.", "This is an image of cat. This is an image of dog."),
    ],
)
def test_with_prefix(caption, expected):
    assert with_prefix("cat", caption) == expected


def test_hostile_class_names():
    assert with_prefix("{0.__class__}", "x") == "This is an image of {0.__class__}. x"
    assert with_prefix("two\nlines", "x") == "This is an image of two lines. x"


@given(st.text(), st.text())
def test_with_prefix_is_idempotent_and_one_line(class_name, caption):
    once = with_prefix(class_name, caption)
    assert with_prefix(class_name, once) == once
    assert len(once.splitlines()) == 1
    assert once.startswith("This is an image of")


def test_build_sorts_by_label_and_row_and_drops_duplicates():
    table = CaptionTable.build([1, 0, 1, 0, 1], list("abacd"), [5, 3, 2, 1, -1], num_classes=3)
    assert contents(table) == [(0, "c", 1), (0, "b", 3), (1, "d", -1), (1, "a", 2)]
    assert table.pool_start.tolist() == [0, 2, 4]
    assert table.pool_size.tolist() == [2, 2, 0]
    assert table.pool_start.dtype == table.pool_size.dtype == table.labels.dtype == table.rows.dtype == np.int64
    assert len(CaptionTable.build([0, 0], ["a", "a"], [0, 1], keep_duplicates=True)) == 2
    assert len(CaptionTable.build([0, 1], ["a", "a"], [0, 1])) == 2  # equal, but of two classes


def test_a_table_that_is_not_sorted_is_a_mistake():
    with pytest.raises(ValueError, match="sorted"):
        CaptionTable([1, 0], ["a", "b"], [0, 1])
    with pytest.raises(ValueError, match="length"):
        CaptionTable([0], ["a", "b"], [0, 1])


tables = st.lists(st.tuples(st.integers(0, 4), st.text(max_size=3), st.integers(-1, 9)), max_size=30).map(
    lambda rows: CaptionTable.build(*zip(*rows), num_classes=5) if rows else CaptionTable([], [], [], 5)
)


@given(tables)
def test_pools_are_ranges(table):
    for label in range(5):
        start, size = table.pool_start[label], table.pool_size[label]
        assert (table.labels[start : start + size] == label).all()
    assert table.pool_size.sum() == len(table)


@given(tables, st.integers(1, 5), st.integers(0, 2**63 - 1))
def test_limited(table, most, seed):
    small = table.limited(most, seed)
    assert small.pool_size.tolist() == np.minimum(table.pool_size, most).tolist()
    assert set(contents(small)) <= set(contents(table))
    assert contents(small) == contents(table.limited(most, seed))
    assert contents(table.limited(30, seed)) == contents(table)


def test_limited_depends_on_the_seed_and_the_class_alone():
    table = CaptionTable.build([0] * 50 + [1] * 50, [str(i) for i in range(100)], range(100))
    first = contents(table.limited(10, 1))
    assert contents(table.limited(10, 2)) != first
    alone = CaptionTable.build([1] * 50, [str(i) for i in range(50, 100)], range(50, 100), num_classes=2)
    assert contents(alone.limited(10, 1)) == [c for c in first if c[0] == 1]
    assert {r for y, _, r in first if y == 0} != {r - 50 for y, _, r in first if y == 1}
    assert len(CaptionTable.build([0] * 300, [str(i) for i in range(300)], range(300)).limited()) == 256
    with pytest.raises(RecipeError, match="at least 1"):
        table.limited(0)


def test_limited_draws_from_a_stream_of_its_own():
    table = CaptionTable.build([0] * 20 + [2] * 30, [str(i) for i in range(50)], range(50))
    few, more = contents(table.limited(5, 7)), contents(table.limited(9, 7))
    assert set(few) < set(more)  # a smaller limit takes a part of what a larger one takes
    order = np.argsort(words(7, Stream.CAPTION_LIMIT, 2, np.arange(30), 1)[:, 0])
    assert [row for label, _, row in few if label == 2] == (20 + np.sort(order[:5])).tolist()


def test_save_and_load(tmp_path):
    table = CaptionTable.build([0, 0, 2, 2], ["x", "é🐱", "b", "b"], [-1, 7, 3, 4], keep_duplicates=True)
    table.save(tmp_path / "captions.parquet")
    again = CaptionTable.load(tmp_path / "captions.parquet")
    assert contents(again) == contents(table)
    stored = pq.read_table(tmp_path / "captions.parquet")
    assert stored.schema.names == ["label", "caption", "row"]
    assert [str(t) for t in stored.schema.types] == ["int64", "string", "int64"]
    assert stored["row"].to_pylist() == [None, 7, 3, 4]
    assert [p.name for p in tmp_path.iterdir()] == ["captions.parquet"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "captions.parquet"
    CaptionTable([0], ["old"], [-1]).save(path)

    def write_table(table, where):
        where.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", write_table)
    with pytest.raises(OutputError, match="No space left"):
        CaptionTable([0], ["new"], [-1]).save(path)
    assert CaptionTable.load(path).captions == ["old"]
    assert len(list(tmp_path.iterdir())) == 1


def test_save_into_no_folder(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        CaptionTable([0], ["x"], [-1]).save(tmp_path / "no" / "captions.parquet")


def test_load_what_a_person_wrote(tmp_path):
    path = edited(tmp_path, label=["dog", "cat", "dog"], caption=["runs", "This is an image of cat. sits", ""])
    table = CaptionTable.load(path, ("cat", "dog"), class_words=("cat", "dog"))
    assert contents(table) == [
        (0, "This is an image of cat. sits", -1),
        (1, "This is an image of dog. runs", -1),
        (1, "This is an image of dog.", -1),
    ]
    path = edited(tmp_path, label=pa.array([1, 0], pa.int8()), caption=["a", "b"], row=[1.0, None])
    assert contents(CaptionTable.load(path)) == [(0, "b", -1), (1, "a", 1)]


@pytest.mark.parametrize(
    "columns, match",
    [
        ({"label": [0]}, "no column 'caption'"),
        ({"caption": ["a"]}, "no column 'label'"),
        ({"label": [0, 2], "caption": ["a", "b"]}, r"row 1 of mine\.parquet: label is 2; it must be 0\.\.1"),
        ({"label": [0, -1], "caption": ["a", "b"]}, r"row 1 .* label is -1"),
        ({"label": ["cat", "cow"], "caption": ["a", "b"]}, r"row 1 .* label is 'cow'"),
        ({"label": [0, None], "caption": ["a", "b"]}, r"row 1 .* label is None"),
        ({"label": [0.5, 1.0], "caption": ["a", "b"]}, r"row 0 .* label is 0\.5"),
        ({"label": [0, 1], "caption": ["a", None]}, r"row 1 .* caption is None; it must be a string"),
        ({"label": [0, 1], "caption": [1, 2]}, r"row 0 .* caption is 1"),
        ({"label": [0, 1], "caption": ["a", "b"], "row": [0, -2]}, r"row 1 .* row is -2"),
        ({"label": [0, 1], "caption": ["a", "b"], "row": ["x", "y"]}, r"row 0 .* row is 'x'"),
    ],
)
def test_load_refuses(tmp_path, columns, match):
    with pytest.raises(DataError, match=match) as caught:
        CaptionTable.load(edited(tmp_path, **columns), ("cat", "dog"))
    assert "\n" not in str(caught.value)


def test_names_need_class_names(tmp_path):
    with pytest.raises(DataError, match="label is 'cat'; it must be a whole number"):
        CaptionTable.load(edited(tmp_path, label=["cat"], caption=["a"]))


def test_load_refuses_what_is_no_parquet(tmp_path):
    with pytest.raises(DataError, match="no such captions file"):
        CaptionTable.load(tmp_path / "no.parquet")
    (tmp_path / "x.parquet").write_text("label,caption")
    with pytest.raises(DataError, match=r"x\.parquet cannot be read as Parquet"):
        CaptionTable.load(tmp_path / "x.parquet")


def test_class_names_of_a_file_and_prefixes_in_another_spelling(tmp_path):
    """A person edits on a Mac what was made elsewhere."""
    composed, apart = "caf\u00e9", "cafe\u0301"
    path = edited(tmp_path, label=[apart, composed], caption=[f"This is an image of {apart}. red", "blue"])
    table = CaptionTable.load(path, [composed], class_words=[composed])
    assert table.labels.tolist() == [0, 0]
    assert table.captions == [f"This is an image of {apart}. red", f"This is an image of {composed}. blue"]


@pytest.mark.parametrize("noted", ["{", "3", '"x"', "null"])
def test_notes_of_others_are_no_origin(tmp_path, noted):
    path = tmp_path / "captions.parquet"
    table = pa.table({"label": [0], "caption": ["a"]}).replace_schema_metadata({"mvc_hf": noted})
    pq.write_table(table, path)
    assert CaptionTable.load(path).origin is None


def test_already_written(tmp_path):
    path, made_from = tmp_path / "captions.parquet", origin(TemplateCaptions(("a {}",)), Pets())
    assert not already_written(path, made_from)
    captioned(TemplateCaptions(("a {}",)), Pets()).save(path)
    assert already_written(path, made_from)
    with pytest.raises(OutputError, match=r"these differ: templates \(\['a \{\}'\] → \['the \{\}'\]\)"):
        already_written(path, origin(TemplateCaptions(("the {}",)), Pets()))
    path.write_text("label,caption")
    with pytest.raises(OutputError, match="does not say what made it"):
        already_written(path, made_from)
