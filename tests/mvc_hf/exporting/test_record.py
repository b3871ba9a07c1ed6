"""What an export says of itself."""

import pytest

from mvc_hf.errors import OutputError
from mvc_hf.exporting.record import claim, complete, refuse_foreign, refuse_strangers


def test_the_same_goes_on_and_another_is_refused(tmp_path):
    made = {"synthetic": "a", "where": None, "images": "1"}
    claim(tmp_path, made)
    refuse_foreign(tmp_path)
    claim(tmp_path, made)
    complete(tmp_path, made, {"x": 1})
    claim(tmp_path, made)
    with pytest.raises(OutputError, match=r"SYNTHETIC \('a' → 'b'\), --where \(None → 'row > 1'\); choose another"):
        claim(tmp_path, {"synthetic": "b", "where": "row > 1", "images": "2"})
    with pytest.raises(OutputError, match="the images are other ones, of the same names"):
        claim(tmp_path, {**made, "images": "2"})


def test_a_record_that_is_damaged(tmp_path):
    claim(tmp_path, {"images": "1"})
    (tmp_path / "export.json").write_text("{")
    with pytest.raises(OutputError, match=r"export.json is not valid JSON: choose another folder"):
        refuse_foreign(tmp_path)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(OutputError, match="is a file: choose a folder"):
        refuse_foreign(tmp_path / "x")


def test_strangers(tmp_path):
    refuse_strangers(tmp_path, ["a.png"], ["a.png", ".a.png.tmp"])
    with pytest.raises(OutputError, match=r"holds 'b.png', which is not of this export"):
        refuse_strangers(tmp_path, ["a.png"], ["a.png", "b.png"], "cats")
