"""Pictures that are decoded once."""

from PIL import Image

from mvc_hf.augment.picture_memory import PictureMemory


class Reader:
    """Makes a picture for each key, and counts."""

    def __init__(self):
        self.read = []

    def __call__(self, key):
        self.read.append(key)
        return Image.new("RGB", (4, 4), (key, key, key))


def test_a_picture_is_read_once():
    memory, reader = PictureMemory(), Reader()
    seen = [memory.get(key, reader) for key in (1, 2, 1, 2, 1)]
    assert reader.read == [1, 2]
    assert [image.getpixel((0, 0))[0] for image in seen] == [1, 2, 1, 2, 1]


def test_what_is_drawn_into_a_picture_is_not_remembered():
    memory, reader = PictureMemory(), Reader()
    for _ in range(3):
        image = memory.get(7, reader)
        assert image.getpixel((0, 0)) == (7, 7, 7)
        image.putpixel((0, 0), (99, 99, 99))


def test_no_more_is_kept_than_there_is_room_for():
    memory, reader = PictureMemory(limit=2 * 48), Reader()
    for key in (1, 2, 3, 1, 2, 3):
        memory.get(key, reader)
    assert reader.read == [1, 2, 3, 3]
