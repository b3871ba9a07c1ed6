import json
import os

import pytest

from mvc_hf.errors import ModelError, OutputError
from mvc_hf.storage.notes import atomic_write, read_json, write_json

VALUES = {"name": "café", "rows": 3, "parts": [1, 2.5, None], "by": {"a": True}}
DEEP = "[" * 100_000


@pytest.fixture
def note(tmp_path):
    write_json(tmp_path / "note.json", VALUES)
    return tmp_path / "note.json"


def test_what_is_written_comes_back(note):
    assert read_json(note, "") == VALUES
    assert json.loads(note.read_text())["name"] == "café"  # plain JSON, for everybody


def test_notes_of_older_versions_and_other_hands_have_no_seal(note):
    note.write_text(json.dumps(VALUES))
    assert read_json(note, "") == VALUES


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b'{"rows": 3', "is not valid JSON"),
        (b"\x00\xff\xfe\x80", "is not valid JSON"),
        (b'{"rows": ' + b"9" * 5000 + b"}", "is not valid JSON"),
        (DEEP.encode(), "is not valid JSON"),
        (b"[]", "holds no settings by name"),
        (b"null", "holds no settings by name"),
        (b"{}", "has no 'rows'"),
        (b'{"rows": "3"}', "has an unusable 'rows'"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_what_cannot_be_read_is_one_line_with_the_way_out(note, content, says):
    note.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_json(note, "make it again", {"rows": int}, ModelError)
    assert str(caught.value) == f"{note} {says}: make it again"


def test_every_single_damaged_byte_is_noticed(note):
    """A changed space between two values is the only one that means nothing."""
    whole = note.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x04
        note.write_bytes(damaged)
        try:
            assert {k: v for k, v in read_json(note, "").items() if k in VALUES} == VALUES
        except OutputError as error:
            assert "\n" not in str(error)


def test_no_file_is_for_the_caller_to_judge(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "note.json", "")


def test_folder_in_the_place_of_a_note(tmp_path):
    with pytest.raises(OutputError, match="cannot be read"):
        read_json(tmp_path, "move it away")


def test_a_write_that_fails_leaves_what_was_there(note):
    with pytest.raises(MemoryError), atomic_write(note) as temporary:
        temporary.write_text("half")
        raise MemoryError
    assert read_json(note, "") == VALUES and os.listdir(note.parent) == ["note.json"]


def test_what_a_killed_write_left_is_written_over(note):
    note.with_name(".note.json.tmp").write_text("half of it, and longer than the whole " * 99)
    write_json(note, {"rows": 4})
    assert read_json(note, "") == {"rows": 4} and os.listdir(note.parent) == ["note.json"]
