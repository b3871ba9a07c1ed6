"""A picture as a file in which every trainer sees the same."""

from __future__ import annotations

import io

from ..data.base import Source
from ..data.decoding import decode, to_rgb, upright
from ..errors import DataError

ENDINGS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg"}  # what everybody reads; an MPO is a JPEG with others behind it


def picture_file(source: Source, row: int) -> tuple[bytes, str]:
    """The bytes and the ending of a picture's file.

    The file is copied where it is a PNG or JPEG that is RGB or grey with 8 bits, upright and opaque. Others have
    meanings that trainers read in different ways (orientation, transparency, palettes, 16 bits): they become RGB as
    `to_rgb` has it, in a PNG.

    Raises:
        DataError: it is broken; the message names it.
    """
    data, where = source.stored(row), source.describe_row(row)
    image = source.image(row) if data is None else decode(data, where)
    plain = image.mode in ("RGB", "L") and not image.has_transparency_data and upright(image) is image
    if data is not None and plain and image.format in ENDINGS:
        return data, ENDINGS[image.format]
    try:
        rgb = image if plain else to_rgb(image)
    except DataError as error:  # of a picture, not of a row
        raise DataError(f"{where}: {error}") from error
    buffer = io.BytesIO()
    rgb.save(buffer, "PNG")
    return buffer.getvalue(), "png"
