from __future__ import annotations

import io

import datasets
import numpy as np
import pytest
from PIL import Image
from sources import parquet

from mvc_hf.comparison.images import labels_as, pixels_of, side_of, validation_rows, write_images
from mvc_hf.data.groups import Groups
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return {"bytes": buffer.getvalue(), "path": None}


def test_a_share_of_each_class_is_taken_and_at_least_one(tmp_path):
    source = open_dataset(str(parquet(tmp_path / "a.parquet", ["big"] * 20 + ["small"] * 2)))
    rows = validation_rows(source, 0.2, seed=0)
    assert [np.count_nonzero(source.labels[rows] == label) for label in (0, 1)] == [4, 1]
    assert (rows == validation_rows(source, 0.2, seed=0)).all() and list(rows) == sorted(rows)
    assert list(rows) != list(validation_rows(source, 0.2, seed=1))


def test_a_class_of_one_image_cannot_be_shared(tmp_path):
    source = open_dataset(str(parquet(tmp_path / "a.parquet", ["big"] * 20 + ["rare"])))
    with pytest.raises(DataError, match=r"has one image of 'rare': .* give --validation-fraction 0"):
        validation_rows(source, 0.2, seed=0)


def test_groups_stay_on_one_side(tmp_path):
    patients = [f"p{i // 4}" for i in range(24)]
    file = parquet(tmp_path / "a.parquet", [["ill", "well"][i // 2 % 2] for i in range(24)], extra={"who": patients})
    source = open_dataset(str(file))
    groups = Groups.of(source, "who")
    chosen = {patients[row] for row in validation_rows(source, 0.25, 0, groups)}
    assert chosen and not chosen & {
        patients[row] for row in set(range(24)) - set(validation_rows(source, 0.25, 0, groups))
    }
    one = open_dataset(str(parquet(tmp_path / "b.parquet", ["ill", "well"] * 8, extra={"who": ["p"] * 16})))
    with pytest.raises(DataError, match="leave no image of"):
        validation_rows(one, 0.25, 0, Groups.of(one, "who"))


def test_labels_are_matched_by_name(tmp_path):
    source = open_dataset(str(parquet(tmp_path / "a.parquet", ["b", "c", "b"])))
    assert labels_as(source, ["a", "c", "b"], "it").tolist() == [2, 1, 2]
    with pytest.raises(
        DataError, match=r"it, a.parquet, has 1 classes that the training images lack: 'c'; those have"
    ):
        labels_as(source, ["a", "b"], "it")


def test_pictures_are_copied_pixel_by_pixel_in_the_mode_that_they_are_seen_in(tmp_path):
    rng = np.random.default_rng(0)
    grey, colour = (Image.fromarray(rng.integers(0, 256, shape, np.uint8)) for shape in ((6, 5), (6, 5, 3)))
    deep = Image.fromarray(np.array([[0, 65535], [257, 514]], np.uint16))
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    images = [encoded(grey), encoded(colour), encoded(deep), encoded(clear), encoded(colour, exif=turned)]
    source = open_dataset(str(parquet(tmp_path / "a.parquet", list("aabba"), images, extra={"note": list("vwxyz")})))
    out = tmp_path / "copies" / "train.parquet"
    write_images(source, np.array([0, 1, 2, 3, 4]), out, ["b", "a"], np.array([1, 1, 0, 0, 1]), columns=["note"])
    table = datasets.Dataset.from_parquet(str(out))
    assert table.features["label"].names == ["b", "a"] and table["label"] == [1, 1, 0, 0, 1]
    assert table["note"] == list("vwxyz")
    found = table["image"]
    assert [image.mode for image in found] == ["L", "RGB", "RGB", "RGB", "RGB"]
    assert (np.asarray(found[0]) == np.asarray(grey)).all() and (np.asarray(found[1]) == np.asarray(colour)).all()
    assert np.asarray(found[2])[..., 0].tolist() == [[0, 255], [1, 2]] and found[3].getpixel((0, 0)) == (255,) * 3
    assert (np.asarray(found[4]) == np.rot90(np.asarray(colour), -1)).all()


def test_a_broken_picture_leaves_no_half_a_file(tmp_path):
    images = [encoded(Image.new("L", (4, 4))), {"bytes": b"no picture", "path": None}]
    source = open_dataset(str(parquet(tmp_path / "a.parquet", ["a", "b"], images)))
    with pytest.raises(DataError, match=r"row 1 of a.parquet"):
        write_images(source, np.array([0, 1]), tmp_path / "out" / "x.parquet", ["a", "b"], source.labels)
    assert not list((tmp_path / "out").iterdir())


def test_equal_pixels_are_equal_whatever_file_they_come_in(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8))
    other = image.copy()
    other.putpixel((0, 0), image.getpixel((0, 0)) ^ 1)
    images = [encoded(image), encoded(image, "BMP"), encoded(image.convert("RGB")), encoded(other)]
    source = open_dataset(str(parquet(tmp_path / "a.parquet", ["a"] * 4, images)))
    assert len({pixels_of(source, row) for row in range(3)}) == 1 and pixels_of(source, 3) != pixels_of(source, 0)


def test_the_side_is_that_of_squares_of_one_size(tmp_path):
    def side(*sizes):
        images = [encoded(Image.new("L", size)) for size in sizes]
        return side_of(
            open_dataset(str(parquet(tmp_path / f"{len(sizes)}{sizes[0]}.parquet", ["a"] * len(sizes), images)))
        )

    assert side((8, 8), (8, 8)) == 8 and side((8, 8), (9, 9), (8, 8)) is None and side((8, 6)) is None
