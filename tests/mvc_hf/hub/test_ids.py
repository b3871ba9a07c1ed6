"""What names something on the Hub."""

import pytest

from mvc_hf.hub.ids import hub_id, is_hub_id, word


@pytest.mark.parametrize("name", ["org/name", "org/name@v1", "org/name@refs/pr/1"])
def test_names_of_the_form_org_name_are_of_the_hub(name):
    assert is_hub_id(name)


@pytest.mark.parametrize("name", ["name", "a/b/c", "./name", "../name", "~/name", "/name", "org/", ""])
def test_other_names_are_not(name):
    assert not is_hub_id(name)


def test_what_lies_on_the_disk_goes_before_the_hub(tmp_path, monkeypatch):
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_hub_id("org/name")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("org/name", "org/name"), ("org/name:small", "org/name"), ("org/name@v1", "org/name"),
        ("org/name:small@v1", "org/name"), ("org/name@v1:small", "org/name"), ("org/na--me", None),
        ("photos", None), ("a/b/c", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_the_id_in_a_recorded_name(name, found):
    assert hub_id(name) == found


def test_kinds_in_words():
    assert (word("model"), word("dataset"), word("space"), word(None)) == ("model", "data set", "space", "None")
