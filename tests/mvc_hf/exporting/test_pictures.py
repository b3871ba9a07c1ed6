"""A file is copied where everybody sees the same in it; others are written as we see them."""

import io

import numpy as np
import pytest
from PIL import Image

from mvc_hf.data.decoding import to_rgb
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError
from mvc_hf.exporting.pictures import picture_file


def stored(tmp_path, image, ending, **options):
    place = tmp_path / "set"
    (place / "a").mkdir(parents=True)
    image.save(place / "a" / f"x.{ending}", **options)
    return open_dataset(str(place)), (place / "a" / f"x.{ending}").read_bytes()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8))


@pytest.mark.parametrize(("ending", "mode"), [("png", "RGB"), ("png", "L"), ("jpg", "RGB"), ("jpeg", "L")])
def test_plain_files_are_copied(tmp_path, ending, mode):
    source, data = stored(tmp_path, NOISE.convert(mode), ending)
    assert picture_file(source, 0) == (data, "png" if ending == "png" else "jpg")


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return {"exif": exif}


@pytest.mark.parametrize(
    ("image", "ending", "options"),
    [
        (NOISE.convert("RGBA"), "png", {}),
        (NOISE.convert("P"), "png", {}),
        (NOISE.convert("CMYK"), "jpg", {}),
        (NOISE, "bmp", {}),
        (NOISE, "jpg", turned()),
        (Image.fromarray(np.arange(48, dtype=np.uint16).reshape(8, 6) * 999), "png", {}),
    ],
    ids=["transparent", "palette", "cmyk", "bmp", "turned", "16 bits"],
)
def test_others_become_rgb(tmp_path, image, ending, options):
    source, _ = stored(tmp_path, image, ending, **options)
    data, ending = picture_file(source, 0)
    with Image.open(io.BytesIO(data)) as found:
        assert ending == "png" and found.mode == "RGB" and found.tobytes() == to_rgb(source.image(0)).tobytes()


def test_a_broken_one_is_named(tmp_path):
    source, data = stored(tmp_path, NOISE, "png")
    (tmp_path / "set" / "a" / "x.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"a/x.png"):
        picture_file(source, 0)
