"""Every mode that a picture file can have, with pixel values worked out by hand."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from mvc_hf.data.decoding import decode, is_grey, reads_heif, square, to_rgb
from mvc_hf.errors import DataError


def through_a_file(image, suffix="PNG", **options):
    """The image as it comes back from a real file."""
    buffer = io.BytesIO()
    image.save(buffer, suffix, **options)
    return decode(buffer.getvalue(), "a file")


def pixels(image):
    rgb = to_rgb(image)
    assert rgb.mode == "RGB"
    return np.asarray(rgb).tolist()


def grey(*values):
    return [[[v, v, v] for v in values]]


def png(width, height, bits, colour_type, rows, *chunks):
    """A PNG by hand, for what Pillow does not write. `rows` are the bytes of each row."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", header), *(chunk(*c) for c in chunks), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_heic_is_read_where_pillow_heif_is_installed():
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 30))).save(buffer)
    image = decode(buffer.getvalue(), "a file")
    assert image.size == (64, 48) and abs(int(np.asarray(to_rgb(image))[0, 0, 0]) - 200) < 8


@pytest.mark.parametrize("brands", [b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic", b"msf1\0\0\0\0hevc"])
def test_heic_without_pillow_heif_says_what_to_install(monkeypatch, brands):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    reads_heif.cache_clear()
    data = struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"rest"
    try:
        with pytest.raises(
            DataError, match=r"^a\.jpg is HEIC: HEIC is read with pip install 'mvc_hf\[heic\]', or save"
        ):
            decode(data, "a.jpg")
    finally:
        reads_heif.cache_clear()


def test_avif_is_read_by_pillow_itself(monkeypatch):
    if not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    monkeypatch.setattr("mvc_hf.data.decoding.reads_heif", lambda: False)
    assert through_a_file(Image.new("RGB", (8, 8), "white"), "AVIF").size == (8, 8)


def test_grey_is_replicated():
    image = through_a_file(Image.fromarray(np.array([[0, 7, 255]], np.uint8)))
    assert image.mode == "L"
    assert pixels(image) == grey(0, 7, 255)


def test_black_and_white():
    image = through_a_file(Image.fromarray(np.array([[False, True]])))
    assert image.mode == "1"
    assert pixels(image) == grey(0, 255)


def test_grey_with_alpha_is_composited_on_white():
    image = Image.new("LA", (3, 1))
    for x, value in enumerate([(0, 255), (0, 0), (100, 51)]):
        image.putpixel((x, 0), value)
    image = through_a_file(image)
    assert image.mode == "LA"
    assert pixels(image) == grey(0, 255, round(100 * 0.2 + 255 * 0.8))


def test_rgba_is_composited_on_white():
    image = Image.new("RGBA", (3, 1))
    for x, value in enumerate([(10, 20, 30, 255), (10, 20, 30, 0), (0, 100, 200, 51)]):
        image.putpixel((x, 0), value)
    assert pixels(through_a_file(image)) == [[[10, 20, 30], [255, 255, 255], [204, 224, 244]]]


def palette_image():
    image = Image.new("P", (2, 1))
    image.putpalette([1, 2, 3, 250, 0, 9])
    image.putpixel((1, 0), 1)
    return image


def test_palette():
    image = through_a_file(palette_image())
    assert image.mode == "P"
    assert pixels(image) == [[[1, 2, 3], [250, 0, 9]]]


@pytest.mark.parametrize("suffix", ["PNG", "GIF"])
def test_palette_with_a_transparent_colour(suffix):
    image = through_a_file(palette_image(), suffix, transparency=1)
    assert image.mode == "P"
    assert pixels(image) == [[[1, 2, 3], [255, 255, 255]]]


def test_palette_with_partial_transparency():
    image = through_a_file(palette_image(), transparency=bytes([255, 0]))
    assert pixels(image) == [[[1, 2, 3], [255, 255, 255]]]


def test_palette_with_an_alpha_channel():
    image = palette_image().convert("PA")
    assert image.mode == "PA"
    assert pixels(image) == [[[1, 2, 3], [250, 0, 9]]]


@pytest.mark.parametrize("mode, key", [("L", 7), ("RGB", (7, 7, 7))])
def test_a_colour_that_stands_for_transparent(mode, key):
    image = through_a_file(Image.fromarray(np.array([[7, 8]], np.uint8)).convert(mode), transparency=key)
    assert image.mode == mode
    assert pixels(image) == grey(255, 8)


VALUES_16 = np.array([[0, 128, 129, 257, 40000, 65535]], np.uint16)
SCALED_16 = grey(0, 0, 1, 1, round(40000 / 257), 255)


def test_16_bit_png_is_scaled_not_clipped():
    image = through_a_file(Image.fromarray(VALUES_16))
    assert image.mode == "I;16"
    assert pixels(image) == SCALED_16


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_16_bit_in_either_byte_order(mode):
    order = ">u2" if mode.endswith("B") else "<u2"
    assert pixels(Image.frombytes(mode, (6, 1), VALUES_16.astype(order).tobytes())) == SCALED_16


def test_32_bit_integers_that_hold_16_bit_values():
    assert pixels(Image.fromarray(VALUES_16.astype(np.int32))) == SCALED_16


def test_every_16_bit_value_is_rounded_to_the_nearest():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert (np.asarray(to_rgb(Image.fromarray(values)))[..., 0] == np.rint(values / 257)).all()


def test_16_bit_with_a_transparent_value():
    image = decode(png(2, 1, 16, 0, [struct.pack(">2H", 1000, 40000)], (b"tRNS", struct.pack(">H", 1000))), "x")
    assert pixels(image) == grey(255, 156)


@pytest.mark.parametrize("value", [-1, 65536])
def test_integers_out_of_range_are_refused(value):
    with pytest.raises(DataError, match=r"0\.\.65535"):
        to_rgb(Image.fromarray(np.array([[0, value]], np.int32)))


def test_floats_from_0_to_1():
    assert pixels(Image.fromarray(np.array([[0, 0.2, 1]], np.float32))) == grey(0, 51, 255)
    assert through_a_file(Image.fromarray(np.array([[0.5]], np.float32)), "TIFF").mode == "F"


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_other_floats_are_refused(value):
    with pytest.raises(DataError, match=r"outside 0\.\.1"):
        to_rgb(Image.fromarray(np.array([[0, value]], np.float32)))


def test_cmyk_jpeg():
    image = through_a_file(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert image.mode == "CMYK"
    assert np.abs(np.array(pixels(image)) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB", "RGBX", "RGBa"])
def test_other_colour_spaces_come_back(mode):
    red = Image.new("RGB", (4, 4), (200, 30, 40))
    if mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(red, srgb, lab, outputMode="LAB")
    else:
        image = red.convert("RGBA").convert(mode) if mode == "RGBa" else red.convert(mode)
    assert image.mode == mode
    assert np.abs(np.array(pixels(image)) - [200, 30, 40]).max() <= 3


def test_premultiplied_grey():
    assert pixels(Image.new("LA", (1, 1), (100, 51)).convert("La")) == grey(224)


@pytest.mark.parametrize(
    "mode, suffix", [("RGB", "JPEG"), ("L", "JPEG"), ("RGB", "PNG"), ("L", "PNG"), ("I;16", "PNG")]
)
def test_exif_orientation_is_applied(mode, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to see it upright
    image = Image.new("L", (32, 16), 0)
    image.paste(255, (0, 0, 16, 16))  # white on the left: on top when upright
    wide = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    image = wide if mode == "I;16" else image.convert(mode)
    image = through_a_file(image, suffix, exif=exif)
    upright = to_rgb(image)
    assert upright.size == (16, 32)
    assert upright.getpixel((8, 4))[0] > 250
    assert upright.getpixel((8, 28))[0] < 5
    assert to_rgb(upright).tobytes() == upright.tobytes()  # not turned a second time


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_ignored():
    image = through_a_file(Image.new("RGB", (4, 2), "red"), "PNG", exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    assert to_rgb(image).size == (4, 2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I", "I;16", "I;16B", "F", "P", "RGB", "RGBA", "CMYK"])
def test_is_grey(mode):
    assert is_grey(Image.new(mode, (1, 1))) is (mode not in ("P", "RGB", "RGBA", "CMYK"))


def test_rgb_is_returned_as_it_is():
    image = Image.new("RGB", (3, 2))
    assert to_rgb(image) is image


def whole_file(suffix="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, suffix)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_file_cut_off_is_refused(suffix):
    data = whole_file(suffix)
    assert decode(data, "x").size == (64, 64)
    with pytest.raises(DataError, match=r"^cats/7\.png ") as caught:
        decode(data[: len(data) // 2], "cats/7.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"hello, world", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4", b"\xff\xd8\xff"])
def test_what_is_not_a_picture_is_refused(data):
    with pytest.raises(DataError, match=r"^dogs/1\.jpg "):
        decode(data, "dogs/1.jpg")


def test_eps_never_reaches_ghostscript():
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "EPS")
    with pytest.raises(DataError, match="EPS"):
        decode(buffer.getvalue(), "x.eps")


def test_a_decompression_bomb_is_refused():
    bomb = png(60000, 60000, 8, 0, [])
    with pytest.raises(DataError, match=r"^bomb\.png .*decompression bomb"):
        decode(bomb, "bomb.png")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File Read")
@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(data):
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"P6 "):
        try:
            to_rgb(decode(start + data, "x"))
        except DataError as error:
            assert "\n" not in str(error)


def test_square_of_that_size_is_not_touched():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))
    assert square(image, 8).tobytes() == image.tobytes()


@pytest.mark.parametrize("size", [5, 10, 40])
@pytest.mark.parametrize("wide", [True, False])
def test_square_is_the_centre_of_the_resized_picture(wide, size):
    values = np.random.default_rng(0).integers(0, 256, (10, 30, 3), np.uint8)
    image = Image.fromarray(values if wide else values.swapaxes(0, 1))
    resized = image.resize((3 * size, size) if wide else (size, 3 * size), Image.Resampling.LANCZOS)
    expected = np.asarray(resized)[:, size : 2 * size] if wide else np.asarray(resized)[size : 2 * size]
    assert np.abs(np.asarray(square(image, size), int) - expected).max() <= 1


def test_square_is_antialiased():
    checkers = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    small = np.asarray(square(Image.fromarray(checkers), 8), int)
    assert np.abs(small - 127.5).max() < 8


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24), st.sampled_from(["L", "P", "RGBA", "I;16"]))
def test_square_has_the_size_that_was_asked_for(width, height, size, mode):
    result = square(Image.new(mode, (width, height)), size)
    assert (result.mode, result.size) == ("RGB", (size, size))


def test_square_of_a_very_long_picture():
    assert square(Image.new("L", (100_000, 1)), 512).size == (512, 512)
