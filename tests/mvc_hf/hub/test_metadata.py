"""What the local cache knows of a card on the Hub."""

import pytest

from mvc_hf.hub.metadata import cached_metadata, licence_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def card(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    path = tmp_path / "models--org--base" / "snapshots" / COMMIT / "README.md"
    path.parent.mkdir(parents=True)
    path.write_text("---\nlicense: other\nlicense_name: x\nlicense_link: https://x.org\ntags: [a]\n---\n# A base\n")
    return path


def test_a_licence_is_read_from_the_cached_card_of_that_commit(card):
    known = {"license": "other", "license_name": "x", "license_link": "https://x.org"}
    assert licence_of("org/base", COMMIT, "model") == licence_of("org/base@main", COMMIT, "model") == known
    assert cached_metadata("org/base", COMMIT, "model")["tags"] == ["a"]


def test_nothing_is_known_of_others(card):
    assert licence_of("org/base", "f" * 40, "model") == licence_of("org/base", COMMIT, "dataset") == {}
    assert licence_of("photos", None, "dataset") == licence_of(None, COMMIT, "model") == {}


@pytest.mark.parametrize("content", ["---\n- a\n---\n", "---\n{\n---\n", "no metadata", ""])
def test_a_broken_card_is_as_good_as_none(card, content):
    card.write_text(content)
    assert licence_of("org/base", COMMIT, "model") == {}
