"""What cannot be fetched is told in one line that says what to do."""

import pytest
from hub_server import ANN, BOB, EVE
from pushable import (
    fake_model,
)

from mvc_hf.errors import MvcError
from mvc_hf.hub.download.models import pull_model


@pytest.mark.parametrize(
    "model, token, match",
    [
        ("ann/none", ANN, "no model on the Hub is called 'ann/none'.*hf auth login"),
        ("ann/hidden", BOB, "no model on the Hub is called 'ann/hidden'"),
        ("ann/hidden", None, "no model on the Hub is called 'ann/hidden'.*hf auth login"),
        ("ann/gated", EVE, "the model ann/gated is gated: ask for access at http"),
        ("ann/open@v9", None, "the model ann/open has no revision 'v9'"),
        ("ann/set", ANN, "ann/set is a data set on the Hub, not a model"),
        ("ann/a--b", ANN, "'ann/a--b' is not a valid Hub id"),
    ],
)
def test_models_that_cannot_be_fetched_are_refused_in_one_line(remote, model_files, monkeypatch, model, token, match):
    fake_model(remote, model_files, "ann/hidden", private=True)
    fake_model(remote, model_files, "ann/gated", gated=True)
    fake_model(remote, model_files, "ann/open")
    remote.repo("ann/set", "datasets")
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(MvcError, match=match) as caught:
        pull_model(model)
    assert "\n" not in str(caught.value) and not remote.waited
