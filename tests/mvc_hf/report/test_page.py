import base64
import io
import re

import pytest
from PIL import Image

from mvc_hf.report.page import CELL, picture, shown


def decoded(element):
    kind, data = re.search(r'src="data:image/(\w+);base64,([^"]+)"', str(element)).groups()
    return kind, Image.open(io.BytesIO(base64.b64decode(data)))


def test_small_pictures_keep_their_pixels():
    image = Image.new("L", (28, 28), 77)
    kind, back = decoded(picture(image, "row 1"))
    assert kind == "png" and back.size == (28, 28) and back.getpixel((3, 3)) == (77, 77, 77)
    assert 'class="pixels"' in picture(image, "x")


def test_large_ones_are_reduced():
    image = Image.new("RGB", (800, 400), "red")
    kind, back = decoded(picture(image, "x"))
    assert kind == "jpeg" and back.size == (CELL, CELL // 2) and image.size == (800, 400)
    assert 'class="smooth"' in picture(image, "x")


def test_descriptions_are_escaped():
    element = picture(Image.new("L", (2, 2)), '"><script>\n\u202e')
    assert "<script>" not in element and "\u202e" not in element and r"\u202e" in element
    assert element.count("<") == 1


@pytest.mark.parametrize(("text", "seen"), [("a\nb", r"a\nb"), ("x" * 300, None), (5, "5")])
def test_words_from_outside(text, seen):
    assert len(shown(text)) <= 201
    assert seen is None or shown(text) == seen
