"""Captions from every place that they come from, and the table that holds them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc_hf.captions.loading import caption_source
from mvc_hf.captions.sources import TEMPLATES, ColumnCaptions, FileCaptions, TemplateCaptions, captioned, origin
from mvc_hf.captions.table import CaptionTable, already_written, with_prefix
from mvc_hf.errors import DataError, ModelError, OutputError, RecipeError
from mvc_hf.utils.rng import Stream, words


class Pets:
    """As much of a Source as captions need."""

    name, revision, fingerprint = "pets", None, "f00d"
    class_names = ("cat", "T-shirt/top")
    labels = np.array([1, 0, 0, 1])
    used = np.array([True, True])

    def __init__(self, **columns):
        self._columns = columns

    def __len__(self):
        return len(self.labels)

    def describe_row(self, row):
        return f"row {row} of pets"

    def values(self, name):
        return enumerate(self._columns[name])


def contents(table):
    return list(zip(table.labels.tolist(), table.captions, table.rows.tolist()))


# --- the prefix


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


# --- the table


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


# --- on the disk


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


def edited(tmp_path, **columns):
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_load_what_a_person_wrote(tmp_path):
    path = edited(tmp_path, label=["dog", "cat", "dog"], caption=["runs", "This is an image of cat. sits", ""])
    table = CaptionTable.load(path, ("cat", "dog"))
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


# --- the sources


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


def test_class_names_of_a_file_and_prefixes_in_another_spelling(tmp_path):
    """A person edits on a Mac what was made elsewhere."""
    composed, apart = "caf\u00e9", "cafe\u0301"
    path = edited(tmp_path, label=[apart, composed], caption=[f"This is an image of {apart}. red", "blue"])
    table = CaptionTable.load(path, [composed])
    assert table.labels.tolist() == [0, 0]
    assert table.captions == [f"This is an image of {apart}. red", f"This is an image of {composed}. blue"]


def test_caption_source(tmp_path):
    assert caption_source("template") == TemplateCaptions()
    assert caption_source("template:a drawing of a {}") == TemplateCaptions(("a drawing of a {}",))
    assert caption_source("template:{}: x.parquet") == TemplateCaptions(("{}: x.parquet",))
    assert caption_source("column:a:b") == ColumnCaptions("a:b")
    path = str(edited(tmp_path, label=[0], caption=["a"]))
    assert caption_source(path) == FileCaptions(path)
    assert caption_source("column:a", keep_duplicates=True) == ColumnCaptions("a", keep_duplicates=True)
    assert caption_source(path, keep_duplicates=True) == FileCaptions(path, keep_duplicates=True)
    assert caption_source("template", keep_duplicates=True) == TemplateCaptions()


def test_duplicates_are_kept_where_asked(tmp_path):
    path = str(edited(tmp_path, label=[0, 0, 1], caption=["a", "a", "b"]))
    assert len(caption_source(path).table(Pets())) == 2
    assert len(caption_source(path, keep_duplicates=True).table(Pets())) == 3
    pets = Pets(text=["red", "a", "a", "red"])
    assert len(caption_source("column:text").table(pets)) == 2
    assert len(caption_source("column:text", keep_duplicates=True).table(pets)) == 4


@pytest.mark.parametrize(
    "spec, error, match",
    [
        ("blip2", ModelError, "cannot get the captioning model Salesforce/blip2-opt-2.7b from the Hub"),
        ("blip3", RecipeError, "unknown captioner 'blip3'; use column:NAME"),
        ("column:", RecipeError, "unknown captioner 'column:'"),
        ("", RecipeError, "unknown captioner ''"),
        ("template:", RecipeError, "must hold {} once"),
        ("no/such.parquet", DataError, "no such captions file: 'no/such.parquet'"),
    ],
)
def test_caption_source_refuses(spec, error, match):
    with pytest.raises(error, match=match):
        caption_source(spec)


# --- where they come from


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
