"""Names of branches, tags and pull requests, and those that a repository has."""

import pytest
from pushable import (
    refused,
)

from mvc_hf import cli
from mvc_hf.hub.upload.refs import branch_of
from mvc_hf.publish.push import push

BAD = [
    "", " ", "a b", "a..b", "../x", "/a", "a/", "a//b", ".a", "a/.b", "-x", "a.lock", "a.lock/b", "a~1", "main^",
    "a:b", "a?b", "a*", "a[b", "a\\b", "@", "a@{1}", "a\nb", "a\0b", "\u202ea", "x" * 300, "end.", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_names_that_git_does_not_take_are_refused(remote, made, name):
    assert "is no name for a branch" in refused(None, made, "ann/set", revision=name)
    assert "is no name for a tag" in refused(None, made, "ann/set", tag=name)
    assert "is no name for a tag" in refused(None, made, "ann/set", tag="refs/tags/v1")
    assert not remote.requests


@pytest.mark.parametrize(
    "name", ["refs/pr/0", "refs/pr/x", "refs/pr/", "refs/tags/v1", "refs/convert/parquet", "refs/", "refs/pr/1/x"]
)
def test_references_other_than_pull_requests_are_refused(remote, made, name):
    assert "is neither a branch nor a pull request: name a branch, or refs/pr/N" in refused(
        None, made, "ann/set", revision=name
    )
    assert not remote.requests


def test_a_branch_may_be_named_in_full():
    assert branch_of("refs/heads/try/one") == "try/one" and branch_of(None) is None
    assert branch_of("main") == "main" and branch_of("refs/pr/12") == "refs/pr/12"


def test_a_pull_request_takes_a_push(remote, made):
    repo = remote.repo("ann/set")
    repo.pulls["refs/pr/1"] = main = repo.head().oid
    found = push(made, "ann/set", revision="refs/pr/1")
    assert found.changed and found.commit == repo.pulls["refs/pr/1"] != main
    assert repo.head().oid == main and list(repo.branches) == ["main"]
    assert not push(made, "ann/set", revision="refs/pr/1").changed


def test_a_missing_pull_request_is_refused(remote, made, capsys):
    assert "there is no data set ann/new, and so no pull request refs/pr/1" in refused(
        None, made, "ann/new", revision="refs/pr/1"
    )
    remote.repo("ann/set").pulls["refs/pr/2"] = remote.repo("ann/set").head().oid
    assert "ann/set has no pull request refs/pr/1: open it on the Hub first" in refused(
        None, made, "ann/set", revision="refs/pr/1"
    )
    assert list(remote.repos) == [("datasets", "ann/set")] and not remote.calls("upload")
    assert cli.run(["push", str(made), "ann/set", "--revision", "refs/pr/1"]) == 1
    assert "404" not in capsys.readouterr().err
