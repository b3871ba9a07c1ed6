"""The card of a checkpoint."""

import re
import tempfile
from pathlib import Path

import pytest
from cards import (
    check_body,
    checkpoint,
    class_names,
    metadata,
)
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from mvc_hf.errors import RecipeError
from mvc_hf.publish.model_card import model_card
from mvc_hf.publish.provenance import LICENSES


@settings(max_examples=60, deadline=None)
@given(class_names, st.text(), st.text())
def test_words_from_outside_break_no_line_or_table(names, word, key):
    with tempfile.TemporaryDirectory() as folder:
        made = checkpoint(
            Path(folder) / "out",
            names,
            recipe={"captions": f"template:{word}", key or "x": word, "coarse": 2, "fine": 8},
            source={"name": word or "x", "revision": None, "fingerprint": word, "license": word},
            training={key: word},
        )
        card = model_card(made)
    check_body(card, len(names))
    values = metadata(card)
    assert values == ModelCard(card).data.to_dict() and values["license"] in LICENSES
    prompt = re.search(r"^prompt = (.*)$", card, re.MULTILINE)[1]
    assert eval(prompt).startswith("This is an image of")


@pytest.mark.parametrize(
    "repo_id", ["name", "a/b/c", "org/name@main", "org/na me", "org/--", "org/name.git", "", "../x"]
)
def test_an_id_that_is_none_is_refused(tmp_path, repo_id):
    with pytest.raises(RecipeError, match="is not a Hub id: give it as org/name"):
        model_card(checkpoint(tmp_path / "model"), repo_id)
