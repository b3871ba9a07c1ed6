"""Parquet files with every kind of column, and everything a person can get wrong."""

import os
import re
import shutil
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sources import HOSTILE, PETS, folder, hub_parquet, parquet, picture, png, refused, values

from mvc_hf.data.loading import open_dataset
from mvc_hf.data.view import ViewConfig
from mvc_hf.errors import DataError, OutputError


def test_class_label_of_parquet(tmp_path):
    path = hub_parquet(tmp_path / "train.parquet", [0, 2, 1, 0], ["zebra", "T-shirt/top", "ant"])
    source = open_dataset(str(path))
    assert (source.name, source.class_names) == ("train.parquet", ("zebra", "T-shirt/top", "ant"))
    assert source.labels.tolist() == [0, 2, 1, 0]
    assert source.labels.dtype == np.int64
    assert values(source) == [0, 1, 2, 3]
    assert source.columns == ("image", "label")
    assert source.describe_row(3) == "row 3 of train.parquet"


@pytest.mark.parametrize(
    "labels, kind, names, expected",
    [
        (["b", "a", "b"], pa.string(), ("a", "b"), [1, 0, 1]),
        (["b", "a", "b"], pa.large_string(), ("a", "b"), [1, 0, 1]),
        (["b", "a", "b"], pa.dictionary(pa.int8(), pa.string()), ("a", "b"), [1, 0, 1]),
        ([2, 0, 1], pa.int64(), ("0", "1", "2"), [2, 0, 1]),
        ([2, 0, 1], pa.uint8(), ("0", "1", "2"), [2, 0, 1]),
        ([10, 2, 500, 2], pa.int32(), ("2", "10", "500"), [1, 0, 2, 0]),
        ([True, False], pa.bool_(), ("0", "1"), [1, 0]),
        ([2**63 + 5, 0, 1], pa.uint64(), ("0", "1", "9223372036854775813"), [2, 0, 1]),
        (["b", "a", "b"], pa.string_view(), ("a", "b"), [1, 0, 1]),
        (["b", "a", "b"], pa.dictionary(pa.int64(), pa.large_string()), ("a", "b"), [1, 0, 1]),
        (["cafz", "cafe\u0301", "cafa"], pa.string(), ("cafa", "cafz", "cafe\u0301"), [1, 2, 0]),
    ],
)
@pytest.mark.parametrize("view", [None, ViewConfig(max_images_per_class=1)])
def test_labels_of_every_kind(tmp_path, labels, kind, names, expected, view):
    source = open_dataset(str(parquet(tmp_path / "x.parquet", labels, label_type=kind)), view=view)
    assert source.class_names == names
    assert source.labels.tolist() == expected


def test_hostile_class_names_of_parquet(tmp_path):
    source = open_dataset(str(parquet(tmp_path / "x.parquet", HOSTILE)))
    assert source.class_names == tuple(sorted(HOSTILE))
    assert [source.class_names[y] for y in source.labels] == HOSTILE
    source = open_dataset(str(hub_parquet(tmp_path / "y.parquet", list(range(len(HOSTILE))), HOSTILE)))
    assert source.class_names == tuple(HOSTILE)


@pytest.mark.parametrize(
    "labels, match",
    [
        (["a", None, None], r"2 of 3 rows have no label .* row 1 of x\.parquet"),
        (["a", "b", " "], r"1 of 3 rows have no label .* row 2 of x\.parquet"),
        ([0, -1, -1, 1], r"2 of 4 rows have no label .* row 1 of x\.parquet"),
        ([None, None], r"2 of 2 rows have no label .* row 0 of x\.parquet"),
        ([0.0, 1.0], r"'label' of x\.parquet holds double.*--label-column"),
        ([[0], [1]], r"'label' of x\.parquet holds list"),
        ([], "holds no rows"),
        ([b"a", b"b"], r"'label' of x\.parquet holds binary"),
        ([Decimal("1"), Decimal("2")], r"'label' of x\.parquet holds decimal"),
        ([date(2020, 1, 1)], r"'label' of x\.parquet holds date"),
        ([{"a": 1}], r"'label' of x\.parquet holds struct"),
    ],
)
def test_bad_labels(tmp_path, labels, match):
    kind = pa.int64() if not labels else None
    refused(parquet(tmp_path / "x.parquet", labels, label_type=kind), match)


def test_bad_class_labels(tmp_path):
    path = hub_parquet(tmp_path / "y.parquet", [0, -1], ["a"])
    refused(path, r"1 of 2 rows have no label .* row 1 of y\.parquet")
    table = pq.read_table(hub_parquet(tmp_path / "z.parquet", [0, 0, 1], ["a", "b"]))
    pq.write_table(table.set_column(1, "label", pa.array([0, 1, 7])), tmp_path / "z.parquet")
    refused(tmp_path / "z.parquet", r"1 of 3 rows have a label above 1.* row 2 of z\.parquet")


def test_names_that_no_row_has_are_left_without_images(tmp_path, capsys):
    """A slice of a sorted set has few classes, and nobody can remove a name from Parquet."""
    path = hub_parquet(tmp_path / "x.parquet", [0, 0, 1, 2], ["a", "b", "c", "d"])
    for split, names, used in (("train", "1 of 4 .*: 'd'", 3), ("train[:2]", "3 of 4 .*: 'b', 'c', 'd'", 1)):
        source = open_dataset(str(path), split=split)
        assert source.class_names == ("a", "b", "c", "d") and source.used.sum() == used
        assert re.search(f"note: x.parquet has {names}; they get none", capsys.readouterr().err)
    open_dataset(str(path), every_class=False)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("part", ["[:0]", "[3:3]", "[4:]", "[2:1]", "[-1:-2]"])
@pytest.mark.parametrize("view", [None, ViewConfig(max_images_per_class=1)])
def test_a_slice_without_rows(tmp_path, part, view):
    path = parquet(tmp_path / "x.parquet", ["a", "b", "c", "c"])
    refused(
        path, r"x\.parquet has 4 rows, and --split 'train\[.*\]' takes none of them", split=f"train{part}", view=view
    )


def test_an_empty_split(tmp_path):
    hub_parquet(tmp_path / "set" / "data" / "train-00000-of-00001.parquet", [], ["a"])
    refused(tmp_path / "set", "set holds no rows: check the file or split")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in this file system")
def test_a_pipe_is_no_parquet(tmp_path):
    (tmp_path / "set").mkdir()
    os.mkfifo(tmp_path / "set" / "x.parquet")
    for dataset in (tmp_path / "set", tmp_path / "set" / "x.parquet", tmp_path / "set" / "*.parquet"):
        refused(dataset, r"x\.parquet is no regular file")


def test_columns_are_known_by_either_spelling(tmp_path):
    images = [{"bytes": png(3), "path": None}]
    path = parquet(tmp_path / "x.parquet", ["a"], extra={"cafe\u0301": ["x"], "bild\u00fc": images})
    source = open_dataset(str(path), image_column="bildu\u0308", label_column="caf\u00e9")
    assert source.class_names == ("x",) and values(source) == [3]
    assert list(source.column("caf\u00e9")) == ["x"]


def test_plain_bytes_column(tmp_path):
    source = open_dataset(str(parquet(tmp_path / "x.parquet", [0, 1], [png(7), png(8)])))
    assert values(source) == [7, 8]


def test_a_picture_may_be_a_path_below_the_folder_of_the_table(tmp_path):
    for i, part in enumerate(("a", "b")):
        (tmp_path / part / "more").mkdir(parents=True)
        picture(9 + i).save(tmp_path / part / "more" / "1.png")
        images = [{"bytes": None, "path": "more/1.png"}, {"bytes": None, "path": "no.png"}]
        parquet(tmp_path / part / "x.parquet", [0, 0], images)
    glob = str(tmp_path / "*" / "x.parquet")
    assert open_dataset(glob).image(0).getpixel((0, 0)) == 9
    assert open_dataset(glob).image(2).getpixel((0, 0)) == 10
    assert open_dataset(glob, split="train[2:]+train[:2]").image(0).getpixel((0, 0)) == 10
    with pytest.raises(DataError, match=r"^row 1 of x\.parquet cannot be read"):
        open_dataset(glob).image(3)


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("path", ["../9.png", "link.png", "a/../../9.png", "nul\0.png", "https://x.org/9.png"])
def test_no_other_path_is_followed(tmp_path, path, typed):
    """Relative ones lie below the folder of the table; what does not is seen when the set is opened."""
    (tmp_path / "inside").mkdir()
    picture(9).save(tmp_path / "9.png")
    (tmp_path / "inside" / "link.png").symlink_to(tmp_path / "9.png")
    images = [{"bytes": png(1), "path": "/etc/passwd"}, {"bytes": None, "path": path}]
    file = parquet(tmp_path / "inside" / "x.parquet", [0, 0], images)
    if typed:
        import datasets

        table = pq.read_table(file)
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        pq.write_table(table.cast(features.arrow_schema), file)
    refused(
        file, r"^row 1 of x\.parquet holds a path instead of the picture \('.*'\): it is no file below .* store the b"
    )
    assert values(open_dataset(str(file), split="train[:1]")) == [1], "of the other rows nobody asks"


def test_broken_pictures_of_parquet_are_named(tmp_path):
    images = [
        {"bytes": png(0), "path": None},
        {"bytes": b"rubbish", "path": None},
        {"bytes": None, "path": None},
        None,
    ]
    source = open_dataset(str(parquet(tmp_path / "x.parquet", [0, 0, 0, 0], images)))
    assert source.image(0).size == (4, 3)
    for row in (1, 2, 3):
        with pytest.raises(DataError, match=rf"^row {row} of x\.parquet "):
            source.image(row)
    assert source.lacking.tolist() == [2, 3], "known without a look at the others' pixels"
    source.check_lacking(2)
    with pytest.raises(
        DataError, match=r"2 of 4 rows have no picture, over the limit .* 1, the first is row 2 of x\.p"
    ):
        source.check_lacking(1)


def test_several_files_are_one_table(tmp_path):
    for i, labels in enumerate([["a", "b"], ["b"], ["a", "a", "b"]]):
        images = [{"bytes": png(10 * i + j), "path": None} for j in range(len(labels))]
        parquet(tmp_path / "d [1] #x" / f"part-{i}.parquet", labels, images)
    for dataset in (tmp_path / "d [1] #x", tmp_path / "d[[] [[]1] #x" / "part-*.parquet"):
        dataset = str(dataset).replace("d[[] ", "d ")
        source = open_dataset(dataset)
        assert values(source) == [0, 1, 10, 20, 21, 22]
        assert source.labels.tolist() == [0, 1, 1, 0, 0, 1]
        assert source.describe_row(2) == "row 0 of part-1.parquet"
        assert source.describe_row(5) == "row 2 of part-2.parquet"
    assert source.name == "part-*.parquet"


def test_slices(tmp_path):
    path = parquet(tmp_path / "x.parquet", ["a", "b", "c", "c"])
    source = open_dataset(str(path), split="train[1:3]")
    assert values(source) == [1, 2]
    assert source.class_names == ("b", "c")
    assert source.describe_row(0) == "row 0 of x.parquet (train[1:3])"
    refused(path, r"x\.parquet cannot be read, split 'train\[:x\]'", split="train[:x]")


def test_fingerprint_of_parquet(tmp_path):
    path = parquet(tmp_path / "x.parquet", [0, 1, 0, 1], extra={"other": ["a", "a", "b", "b"]})
    first = open_dataset(str(path))
    assert open_dataset(shutil.copy(path, tmp_path / "y.parquet")).fingerprint == first.fingerprint
    assert open_dataset(str(path), label_column="other").fingerprint != first.fingerprint
    assert open_dataset(str(path), split="train[:2]").fingerprint != first.fingerprint
    parquet(path, [0, 1, 0, 1], [png(9)] * 4)
    changed = open_dataset(str(path))
    assert changed.fingerprint != first.fingerprint
    assert values(changed) == [9, 9, 9, 9]  # and not those that `datasets` had in its cache


def test_which_column(tmp_path):
    extra = {"mask": [{"bytes": png(99), "path": None}] * 2, "text": ["x", "y"], "raw": [png(50), png(51)]}
    path = parquet(tmp_path / "x.parquet", [0, 1], extra=extra)
    message = refused(path, "several columns may hold the image: 'image', 'mask'")
    assert "--image-column" in message
    assert values(open_dataset(str(path), image_column="mask")) == [99, 99]
    assert values(open_dataset(str(path), image_column="raw")) == [50, 51]
    assert open_dataset(str(path), image_column="image", label_column="text").class_names == ("x", "y")
    refused(path, "no column 'img': it has 'image', 'label', 'mask'", image_column="img")
    refused(path, "no column 'y'", image_column="mask", label_column="y")
    refused(path, r"'text' of x\.parquet holds no pictures but text, the first 'x'", image_column="text")
    refused(path, r"'label' of x\.parquet holds no pictures", image_column="label", label_column="text")


def test_no_column_fits(tmp_path):
    pq.write_table(pa.table({"a": [1], "label": [0]}), tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", "no image column is found; say which with --image-column .*'a', 'label'")
    pq.write_table(pa.table({"a": [png(1)], "b": [0]}), tmp_path / "y.parquet")
    refused(tmp_path / "y.parquet", "no label column is found; say which with --label-column")
    assert open_dataset(str(tmp_path / "y.parquet"), label_column="b").class_names == ("0",)
    pq.write_table(pa.table({"a": [png(1)], "label": [0], "fine_label": [0]}), tmp_path / "z.parquet")
    refused(tmp_path / "z.parquet", "several columns may hold the label: 'label', 'fine_label'")


def test_a_class_label_goes_before_a_column_called_label(tmp_path):
    import datasets

    features = {"image": datasets.Image(), "label": datasets.Value("int64"), "kind": datasets.ClassLabel(names=["k"])}
    rows = {"image": [{"bytes": png(0), "path": None}], "label": [5], "kind": [0]}
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(tmp_path / "x.parquet")
    assert open_dataset(str(tmp_path / "x.parquet")).class_names == ("k",)


def test_other_columns(tmp_path):
    extra = {"caption": ["one", None], "captions": [["a", "b"], []]}
    source = open_dataset(str(parquet(tmp_path / "x.parquet", [0, 1], extra=extra)))
    assert source.columns == ("image", "label", "caption", "captions")
    assert list(source.column("caption")) == ["one", None]
    assert source.column("captions")[0] == ["a", "b"]
    with pytest.raises(
        DataError, match=r"x\.parquet has no column 'text': it has 'image', 'label', 'caption', 'captions'"
    ):
        source.column("text")
    with pytest.raises(DataError, match="pets has no column 'text': it has no columns"):
        open_dataset(str(folder(tmp_path / "pets", PETS))).column("text")


def test_bad_parquet(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    refused(tmp_path / "x.parquet", r"x\.parquet cannot be read as Parquet")
    (tmp_path / "x.csv").write_text("a,b")
    refused(tmp_path / "x.csv", r"neither a folder nor a \.parquet file")
    refused(tmp_path / "*.pqt", r"no \.parquet file matches")
    parquet(tmp_path / "d" / "0.parquet", [0])
    parquet(tmp_path / "d" / "1.parquet", [0], [png(0)])
    refused(tmp_path / "d", "^d cannot be read, split 'train': Couldn't cast")


def test_a_full_disk_is_no_fault_of_the_set(tmp_path, monkeypatch):
    import datasets

    def fail(*_, **__):
        raise datasets.exceptions.DatasetGenerationError("failed") from OSError(28, "No space left on device")

    path = parquet(tmp_path / "x.parquet", [0, 1])
    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(
        OutputError, match=r"x\.parquet cannot be read, .*the disk is full .*make room there, or set HF_D"
    ):
        open_dataset(str(path))


def test_two_labels_of_one_name(tmp_path):
    """`datasets` writes no such file; others may."""
    import json

    import pyarrow.parquet as pq

    path = hub_parquet(tmp_path / "x.parquet", [0, 1], ["cat", "dog"])
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"huggingface"])
    about["info"]["features"]["label"]["names"] = ["cat", "cat"]
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(about)}), path)
    refused(path, "x.parquet .*[Nn]ames? .*(duplicated|unique)|several classes named 'cat'")


def test_names_that_differ_in_spaces_are_two_classes_and_it_is_said(tmp_path, capsys):
    source = open_dataset(str(parquet(tmp_path / "x.parquet", ["cat", "cat ", "animals/cat", "toys/cat"])))
    assert source.class_names == ("animals/cat", "cat", "cat ", "toys/cat")
    assert "differ in nothing but spaces: 'cat', 'cat '" in capsys.readouterr().err
