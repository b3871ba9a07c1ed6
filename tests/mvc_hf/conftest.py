"""What tests of the Hub, and of what is published there, share."""

from __future__ import annotations

import pushable
import pytest
from hub_server import connect


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A data set as generate leaves it, in three shards. Not to be written to."""
    return pushable.data_set(tmp_path_factory.mktemp("made") / "synthetic")


@pytest.fixture(scope="session")
def model_files(tmp_path_factory):
    """A checkpoint in name: every file that finetune leaves, without a model in it, and some that have no business on
    the Hub. Not to be written to.
    """
    folder = tmp_path_factory.mktemp("made") / "checkpoint"
    return pushable.pushable_checkpoint(folder, pushable.NOT_PUBLISHED)


@pytest.fixture
def remote(local_hub, tmp_path, monkeypatch):
    """The Hub, with this process connected to it; `waited` are the seconds that nobody had to wait."""
    local_hub.waited = connect(local_hub, tmp_path / "home", monkeypatch)
    monkeypatch.setattr("mvc_hf.publish.push.pictures", lambda found: {})  # drawing takes longer than all the rest
    monkeypatch.setattr("mvc_hf.publish.contents.card", pushable.plain_card)
    return local_hub
