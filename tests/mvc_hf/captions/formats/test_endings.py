"""The ending of a captions file says its format, and nothing else is taken for one."""

from pathlib import Path

import pytest

from mvc_hf.captions.formats.endings import ending_of, is_captions_file, text_of
from mvc_hf.errors import DataError, OutputError


def test_what_names_a_file():
    assert [is_captions_file(s) for s in ("a.parquet", "x/b.CSV", "~/c.jsonl")] == [True] * 3
    for other in ("template", "template:{}.csv", "column:my.csv", "blip2", "a.txt", "csv", ""):
        assert not is_captions_file(other)


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a.xlsx", "a", "a.csv.gz"])
def test_other_endings_are_refused(name):
    with pytest.raises(OutputError, match=r"let the name of a captions file end in \.parquet, \.csv, \.jsonl"):
        ending_of(Path(name))
    assert ending_of(Path("A.CSV")) == ".csv"


def test_text_is_utf8_with_or_without_the_mark(tmp_path):
    (tmp_path / "a.csv").write_bytes("café".encode("utf-8-sig"))
    assert text_of(tmp_path / "a.csv") == "café"
    (tmp_path / "a.csv").write_bytes("café".encode("latin-1"))
    with pytest.raises(DataError, match="CSV UTF-8"):
        text_of(tmp_path / "a.csv")
    with pytest.raises(DataError, match="no such captions file"):
        text_of(tmp_path / "b.csv")
