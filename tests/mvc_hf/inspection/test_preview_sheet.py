import numpy as np
import pytest
from PIL import Image

from mvc_hf.config.recipe import Recipe
from mvc_hf.inspection.mix_summary import Mixture, Part
from mvc_hf.inspection.preview import Preview, Row
from mvc_hf.inspection.preview_sheet import ENLARGED, MARGIN, REDUCED, draw

SETTINGS = ((0, 0), (2, 8))
MIX = Mixture(0.4, tuple(Part(f"This is an image of pear. caption {i}", 3 - i, 5) for i in range(4)))


def picture(colour, size=(28, 28)):
    return Image.new("RGB", size, colour)


def sheet(rows=2, size=(28, 28), condition=(28, 28), settings=SETTINGS, pretrained=True, **words):
    """Every picture in a colour of its own: red the row, green the column, blue 200."""
    made = []
    for i in range(rows):
        results = tuple(picture((i + 1, j + 1, 200), size) for j in range(len(settings)))
        words = {"class_name": "pear", "caption": "This is an image of pear. a caption", **words}
        made.append(
            Row(
                label=1,
                index=i,
                condition=picture((i + 1, 90, 200), condition),
                mixtures=tuple(MIX if any(pair) else Mixture(0.0, ()) for pair in settings),
                images=results,
                pretrained=picture((i + 1, 80, 200), size) if pretrained else None,
                **words,
            )
        )
    return draw(Preview(tuple(made), settings, Recipe(), "flowers", "photos", 77, 768))


def boxes(image):
    """(left, top, right, bottom) of each picture's colour (row, column)."""
    pixels = np.asarray(image).astype(int)
    found = {}
    for row, column in np.unique(pixels[pixels[..., 2] == 200][:, :2], axis=0).tolist():
        if row <= 50 and column in (*range(1, 10), 80, 90):
            ys, xs = np.nonzero((pixels == (row, column, 200)).all(-1))
            if len(ys) > 100:  # more than the rim of a letter
                assert len(ys) == (np.ptp(ys) + 1) * (np.ptp(xs) + 1)  # a full rectangle: nothing lies over it
                found[row, column] = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    return found


def test_pictures_lie_in_the_row_of_their_address_and_the_column_of_their_setting():
    found = boxes(sheet())
    assert set(found) == {(row, column) for row in (1, 2) for column in (1, 2, 80, 90)}
    for row in (1, 2):
        lefts = [found[row, column][0] for column in (90, 1, 2, 80)]
        assert lefts == sorted(set(lefts))
        assert len({found[row, column][1] for column in (90, 1, 2, 80)}) == 1
    for column in (90, 1, 2, 80):
        assert found[1, column][0] == found[2, column][0] and found[1, column][3] < found[2, column][1]


@pytest.mark.parametrize(
    ("size", "shown"),
    [((28, 28), 168), ((32, 32), 160), ((16, 8), 160), ((100, 100), 100), ((200, 200), 200), ((1024, 512), REDUCED)],
)
def test_small_pictures_grow_in_whole_steps_and_large_ones_shrink(size, shown):
    left, top, right, bottom = boxes(sheet(size=size, condition=size))[1, 1]
    assert right - left == shown and bottom - top == shown * size[1] // size[0]
    assert shown <= max(ENLARGED, REDUCED)


def test_every_pixel_is_enlarged_as_it_is():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8))
    row = Row("a", 0, 0, "a caption", noise, (Mixture(0.0, ()),), (noise,), None)
    drawn = np.asarray(draw(Preview((row,), ((0, 0),), Recipe(), "m", "d", 77, 768)))
    wanted = np.asarray(noise).repeat(6, 0).repeat(6, 1)
    places = [(y, x) for y, x in np.argwhere((drawn == wanted[0, 0]).all(-1))]
    assert sum(np.array_equal(drawn[y : y + 168, x : x + 168], wanted) for y, x in places) == 2


def test_a_photo_of_another_shape_keeps_it_beside_small_results():
    left, top, right, bottom = boxes(sheet(size=(32, 32), condition=(600, 400)))[1, 90]
    assert (right - left, bottom - top) == (160, 107)


@pytest.mark.parametrize("text", ["word " * 300, "x" * 2000, "猫" * 500, "", "\n"], ids=range(5))
def test_no_text_leaves_the_sheet_or_covers_a_picture(text):
    image = sheet(class_name=text, caption=f"This is an image of {text} " + text)
    pixels = np.asarray(image)
    edge = MARGIN // 2
    for strip in (pixels[:edge], pixels[-edge:], pixels[:, :edge], pixels[:, -edge:]):
        assert (strip >= 230).all()
    assert len(boxes(image)) == 8
    assert image.height < 900


def test_without_the_base_there_is_no_column_for_it():
    with_base, without = sheet(), sheet(pretrained=False)
    assert without.width < with_base.width and (1, 80) not in boxes(without)


def test_nothing_mixed_at_all():
    assert set(boxes(sheet(settings=((0, 0),)))) == {(row, column) for row in (1, 2) for column in (1, 80, 90)}
