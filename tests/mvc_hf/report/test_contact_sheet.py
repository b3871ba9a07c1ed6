from PIL import Image

from mvc_hf.report.contact_sheet import contact_sheet


def test_every_image_lies_in_the_row_of_its_class_and_the_block_of_its_kind():
    colours = {(kind, label): (50 * kind + 40, 60 * label + 30, 99) for kind in range(2) for label in range(3)}
    columns = {
        title: [[Image.new("RGB", (8, 8), colours[kind, label])] * count for label in range(3)]
        for kind, (title, count) in enumerate({"real": 2, "MVC": 3}.items())
    }
    sheet = contact_sheet(columns, ["apple", "pear", "plum"], cell=20)
    found = {}
    for x in range(sheet.width):
        for y in range(sheet.height):
            found.setdefault(sheet.getpixel((x, y)), set()).add((x, y))
    for (kind, _), colour in colours.items():
        assert len(found[colour]) == 20 * 20 * (2, 3)[kind]
    left, top = (lambda c: min(x for x, _ in found[c])), (lambda c: min(y for _, y in found[c]))
    assert top(colours[0, 0]) == top(colours[1, 0]) < top(colours[0, 1]) < top(colours[0, 2])
    assert left(colours[0, 0]) == left(colours[0, 2]) < left(colours[1, 0])


def test_images_of_any_mode_and_size_fit():
    images = [Image.new("L", (300, 200)), Image.new("RGB", (28, 28)), Image.new("1", (5, 9))]
    sheet = contact_sheet({"real": [images]}, ["a class with a rather long name: 🙂"], cell=40)
    assert sheet.mode == "RGB" and sheet.height < 120
