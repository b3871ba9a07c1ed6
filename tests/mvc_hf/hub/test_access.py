"""Who may push where, asked before anything is spent."""

import pytest
from hub_server import READER
from pushable import (
    data_set,
    refused,
    sent,
)

from mvc_hf.publish.push import push


@pytest.mark.parametrize(
    "repo_id, match",
    [
        ("a/b/c", "'a/b/c' is no id for a repository"),
        ("ann/my set", "is no id for a repository"),
        ("ann/set@main", "is no id for a repository"),
        ("../x", "is no id for a repository"),
        ("", "is no id for a repository"),
        ("nobody/set", "cannot push to nobody/set: the token of ann cannot write to 'nobody'; it can to ann, lab"),
        ("bob/theirs", "cannot push to bob/theirs: the token of ann cannot write to 'bob'"),
    ],
)
def test_ids_that_cannot_be_pushed_to_are_refused(remote, made, repo_id, match):
    remote.repo("bob/theirs")
    refused(match, made, repo_id)
    assert not remote.calls("create") and not sent(remote)


def test_the_default_id_is_the_user_s_name_and_the_folder_s(remote, made, tmp_path):
    odd = data_set(tmp_path / "my -- data.. set.git", rows=3)
    assert push(odd, None).repo_id == "ann/my-data.-set"
    assert push(odd, "set").repo_id == "ann/set"


def test_without_a_token_nothing_is_asked(remote, made, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    refused("no token for the Hub: run `hf auth login`, or set HF_TOKEN", made, "ann/set")
    assert not remote.requests


@pytest.mark.parametrize(
    "token, match", [(READER, "the token may only read"), ("hf_wrong", "does not accept the token")]
)
def test_tokens_without_permission_are_refused(remote, made, monkeypatch, token, match):
    remote.repo("ann/set")
    monkeypatch.setenv("HF_TOKEN", token)
    assert token not in refused(match, made, "ann/set")
    assert not sent(remote) and not remote.calls("create")


def test_a_fine_grained_token_needs_a_write_permission():
    from mvc_hf.hub.access import _refusal

    def user(*permissions):
        scoped = [{"entity": {"name": "ann"}, "permissions": list(permissions)}]
        return {"name": "ann", "auth": {"accessToken": {"role": "fineGrained", "fineGrained": {"scoped": scoped}}}}

    assert "no write permission" in _refusal(user("repo.content.read"), "ann/set")
    assert not _refusal(user("repo.content.read", "repo.write"), "ann/set")
    assert "cannot write to 'bob'" in _refusal(user("repo.write"), "bob/set")


def test_a_push_while_offline_is_refused(remote, made, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused("HF_HUB_OFFLINE is set", made, "ann/set")


def test_the_visibility_of_a_repository_is_not_changed(remote, made, capsys):
    remote.repo("ann/public")
    refused("is there already and public, and --private was asked for", made, "ann/public", private=True)
    assert not sent(remote) and not remote.repos["datasets", "ann/public"].private
    remote.repo("ann/hidden", private=True)
    push(made, "ann/hidden")
    assert remote.repos["datasets", "ann/hidden"].private
    assert "ann/hidden is private, and stays so" in capsys.readouterr().err


@pytest.mark.parametrize("token", ["hf_with space", "hf_é", "hf_\x01", "🐱"])
def test_tokens_of_odd_characters_are_refused(remote, made, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    said = refused(None, made, "ann/set")
    assert "holds characters that no token has" in said and token not in said
    assert not remote.requests
