import os

import numpy as np
import pytest

from mvc_hf.diffusion.banks.array_cache import CHUNK, encoded_once
from mvc_hf.storage import integrity
from mvc_hf.storage.files import cache_root

ROWS = 3 * CHUNK + 5
FILES = ("array.npy", "state.json", "digests.xxh3")


class Seen:
    """Counts rows, once each."""

    def __init__(self):
        self.rows = set()

    def notes(self):
        return {"rows": sorted(self.rows)}

    def restore(self, notes):
        self.rows = set(notes["rows"])


@pytest.fixture
def encode():
    """A small array of the cache; `encode.chunks` are those that were encoded by the last call."""

    def encode():
        seen, encode.chunks = Seen(), []

        def fill(first, out):
            encode.chunks.append(first // CHUNK)
            out[:] = np.arange(first, first + len(out))[:, None] + np.array([0, 0.5])
            seen.rows |= set(range(first, first + len(out)))
            if len(encode.chunks) == encode.dies_at:
                raise KeyboardInterrupt

        array, notes = encoded_once("numbers", {"seed": 0}, (ROWS, 2), fill, seen)
        assert (array[:, 1] == np.arange(ROWS) + 0.5).all()
        assert notes["rows"] == list(range(ROWS))
        return encode.chunks

    encode.dies_at = 0
    return encode


def file(name):
    (found,) = cache_root().glob(f"numbers-*/{name}")
    return found


def test_the_second_call_encodes_nothing(encode, capsys):
    assert encode() == [0, 1, 2, 3]
    assert encode() == [] and "damaged" not in capsys.readouterr().err


def test_only_the_damaged_part_is_encoded_again(encode, capsys):
    encode()
    with file("array.npy").open("r+b") as array:
        array.seek(-1, os.SEEK_END)
        array.write(b"\x77")
    assert encode() == [3]
    assert "in the cache is damaged: 1 of 4 parts are encoded again" in capsys.readouterr().err
    assert encode() == []


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "garbage", "gone", "wrong type"])
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("dies_at", [0, 3])
def test_whatever_is_damaged_is_made_again(encode, name, damage, dies_at):
    """Of a finished array, and of one whose encoding was killed."""
    if dies_at:
        encode.dies_at = dies_at
        with pytest.raises(KeyboardInterrupt):
            encode()
        encode.dies_at = 0
    else:
        encode()
    path = file(name)
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 4] ^= 1  # of the array, in the first half
    after = {"empty": b"", "cut": content[: len(content) // 2], "flipped": flipped, "garbage": os.urandom(99)}
    after["wrong type"] = b"[]"
    path.unlink() if damage == "gone" else path.write_bytes(after[damage])
    assert encode()  # and is right
    assert encode() == []


def test_an_array_that_somebody_has_mapped_is_not_written_over(encode):
    encode()
    mapped = np.load(file("array.npy"), mmap_mode="r")
    file("state.json").write_bytes(b"")
    assert encode() == [0, 1, 2, 3]
    assert (mapped[:, 1] == np.arange(ROWS) + 0.5).all()


def test_large_arrays_are_not_read_again_to_know_that_they_are_sound(encode, monkeypatch):
    monkeypatch.setattr(integrity, "WORTH_REMEMBERING", 0)
    monkeypatch.setattr(integrity, "SAME_MOMENT", 0)
    encode()
    encode()  # looks, and remembers

    def looks(*_):
        raise AssertionError("read again")

    monkeypatch.setattr("mvc_hf.diffusion.banks.array_cache._Entry._damaged", looks)
    assert encode() == []
