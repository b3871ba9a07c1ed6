"""Any picture file that people have becomes a well-defined RGB image.

`decode` reads the file in the mode it was stored in, `to_rgb` fixes what each mode means, `square` gives it the shape
that a model takes. All three are pure and safe to call from several threads.
"""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageOps

from ..errors import DataError

GREY_MODES = {"1", "L", "LA", "La", "I", "F"}
HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
HEIF_CURE = "HEIC is read with pip install 'mvc_hf[heic]'"
ORIENTATION = 0x0112  # EXIF tag: 1 is upright


def decode(data: bytes, name: str) -> Image.Image:
    """The first frame of a picture file, fully read, in its own mode.

    Args:
        data: the bytes of the file.
        name: what to call it in an error.

    Raises:
        DataError: not a picture, cut off, or so large that Pillow takes it for a decompression bomb.
    """
    if _is_heif(data) and not reads_heif():
        raise DataError(f"{name} is HEIC: {HEIF_CURE}, or save it as JPEG or PNG")
    try:
        image = Image.open(io.BytesIO(data))
        if image.format == "EPS":  # Pillow would run Ghostscript on a file that may come from anybody
            raise DataError("EPS is not read; save it as PNG")
        image.load()
    except Image.UnidentifiedImageError as error:
        what = "is empty" if not data else "is not a picture of a format that Pillow reads"
        raise DataError(f"{name} {what}: replace or remove it") from error
    except Exception as error:  # what Pillow raises on a damaged file is an open set: SyntaxError, struct.error, …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name} cannot be read ({reason}): replace or remove it") from error
    return image


@functools.cache
def reads_heif() -> bool:
    """Whether HEIC and HEIF are read: where pillow-heif is installed. Pillow learns it at the first call."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _is_heif(data: bytes) -> bool:
    """By its first box, which names its brands. AVIF is of the same family, and Pillow reads it by itself."""
    brands = {data[i : i + 4] for i in range(8, min(int.from_bytes(data[:4], "big"), 256), 4)}
    return data[4:8] == b"ftyp" and bool(brands & HEIF_BRANDS) and not brands & {b"avif", b"avis"}


def is_grey(image: Image.Image) -> bool:
    """Whether the picture has a single channel (transparency aside). A palette of greys counts as colour."""
    return image.mode in GREY_MODES or image.mode.startswith("I;16")


def is_deep(image: Image.Image) -> bool:
    """Whether it is grey with more than 8 bits: what a window is for."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture upright, in mode RGB.

    Conventions: EXIF orientation is applied. A single channel is replicated. Transparency is composited on white.
    16-bit grey (modes I and I;16) is scaled linearly, 0..65535 to 0..255 (v / 257, rounded); floats in [0, 1] are
    multiplied by 255; for other ranges there is `windows.Window`. The other colour spaces are converted as Pillow
    does; embedded ICC profiles are not applied. An upright RGB image is returned as it is.

    Raises:
        DataError: integers outside 0..65535, floats outside [0, 1], or a mode that Pillow cannot convert.
    """
    image = upright(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image)
    if image.mode == "F":
        return _from_float(image)
    try:
        if image.mode in ("La", "LAB"):
            return _from_la(image) if image.mode == "La" else _from_lab(image)
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
        return image if image.mode == "RGB" else image.convert("RGB")
    except (ValueError, OSError, ImportError) as error:
        raise DataError(f"a picture of mode {image.mode} cannot be converted ({error}): save it as RGB") from error


def square(image: Image.Image, size: int, fit: str = "crop") -> Image.Image:
    """The picture as a model takes it, size × size, in RGB. A picture that has this size already is not resampled.

    Args:
        fit: "crop": the shorter side becomes `size` (Lanczos, antialiased), then the centre is cut out; both in one
            step, so that a very long picture makes no very large one. "pad": the longer side becomes `size`, and
            black bars make up the rest. "stretch": both sides become `size`.
    """
    image = to_rgb(image)
    if image.size == (size, size):
        return image
    if fit == "stretch":
        return image.resize((size, size), Image.Resampling.LANCZOS)
    if fit == "pad":
        left, top, right, bottom = content_box(image.size, size)
        padded = Image.new("RGB", (size, size))
        padded.paste(image.resize((right - left, bottom - top), Image.Resampling.LANCZOS), (left, top))
        return padded
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.crop(box) if side == size else image.resize((size, size), Image.Resampling.LANCZOS, box=box)


def unsquare(image: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    """A square picture in the proportions that `square` took away: without the bars, or stretched back.

    Args:
        size: (width, height) that comes out, in the proportions of what went in.
    """
    if fit == "pad":  # cut, not resized from a box: that would look beyond its edges, at the bars
        image = image.crop(content_box(size, image.width))
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def content_box(size: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    """Where a picture of a size (width, height) lies between its bars in a square: left, top, right, bottom."""
    longer = max(size)
    width, height = (max(1, round(length * side / longer)) for length in size)
    left, top = (side - width) // 2, (side - height) // 2
    return left, top, left + width, top + height


def upright(image: Image.Image) -> Image.Image:
    """The picture as its EXIF orientation says it is to be looked at."""
    try:
        turned = image.getexif().get(ORIENTATION, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except Exception:  # EXIF that cannot be parsed is no reason to refuse a picture whose pixels can
        return image


def _from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise DataError(
            f"a picture of mode {image.mode} has values {values.min()}..{values.max()}, outside 0..65535: "
            "give --window LOW,HIGH, or save it as 8 or 16 bit"
        )
    grey = Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.paste("white", mask=Image.fromarray(values == transparent))
    return grey


def _from_float(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if not ((values >= 0) & (values <= 1)).all():
        raise DataError(
            f"a picture of mode F has values {values.min():g}..{values.max():g}, outside 0..1: give "
            "--window LOW,HIGH, or save it as 8 or 16 bit"
        )
    return Image.fromarray(np.rint(values * 255).astype(np.uint8)).convert("RGB")


def _from_la(image: Image.Image) -> Image.Image:
    return to_rgb(image.convert("LA"))


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    seen = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert seen is not None  # as it would be if the picture itself were changed
    return seen
