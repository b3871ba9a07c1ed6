"""Captions as JSON Lines."""

import json

import pytest

from mvc_hf.captions.formats.json_lines import read, written
from mvc_hf.errors import DataError


def test_a_line_each(tmp_path):
    data = written([(0, "a\ncat", 3), (1, "ein Hündchen", None)], ["cat", '"dog"'])
    lines = data.decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"label": "cat", "caption": "a\ncat", "row": 3}, {"label": '"dog"', "caption": "ein Hündchen", "row": None},
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_bytes(data + b"\n\n")
    assert read(tmp_path / "a.jsonl") == {
        "label": ["cat", '"dog"'], "caption": ["a\ncat", "ein Hündchen"], "row": [3, None]
    }  # fmt: skip


def test_columns_that_some_lines_lack(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"label": 0, "caption": "a"}\n{"caption": "b", "row": 1, "other": 5}\n')
    assert read(tmp_path / "a.jsonl") == {"label": [0, None], "caption": ["a", "b"], "row": [None, 1]}


@pytest.mark.parametrize(
    ("text", "match"),
    [("{", "line 1 of a.jsonl is not JSON"), ("\n[1]", "line 2 of a.jsonl is no object"), ("[" * 9999, "line 1")],
)
def test_the_line_that_is_wrong_is_named(tmp_path, text, match):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=match):
        read(tmp_path / "a.jsonl")
