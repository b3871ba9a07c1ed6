"""Names of branches, tags and pull requests; tokens and addresses that cannot be."""

import pytest
from local_hub import ANN, connect
from pushable import pushable_data_set

from mvc_hf import cli
from mvc_hf.errors import MvcError
from mvc_hf.hub.access import branch_of
from mvc_hf.publish import push as hub


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return pushable_data_set(tmp_path_factory.mktemp("made") / "synthetic")


@pytest.fixture
def remote(local_hub, tmp_path, monkeypatch):
    local_hub.waited = connect(local_hub, tmp_path / "home", monkeypatch)
    return local_hub


def refused(made, repo_id="ann/set", **options):
    with pytest.raises(MvcError) as caught:
        hub.push_folder(made, repo_id, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


BAD = [
    "", " ", "a b", "a..b", "../x", "/a", "a/", "a//b", ".a", "a/.b", "-x", "a.lock", "a.lock/b", "a~1", "main^",
    "a:b", "a?b", "a*", "a[b", "a\\b", "@", "a@{1}", "a\nb", "a\0b", "\u202ea", "x" * 300, "end.", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_names_that_git_does_not_take(remote, made, name):
    assert "is no name for a branch" in refused(made, revision=name)
    assert "is no name for a tag" in refused(made, tag=name)
    assert "is no name for a tag" in refused(made, tag="refs/tags/v1")
    assert not remote.requests


@pytest.mark.parametrize(
    "name", ["refs/pr/0", "refs/pr/x", "refs/pr/", "refs/tags/v1", "refs/convert/parquet", "refs/", "refs/pr/1/x"]
)
def test_references_that_are_not_pushed_to(remote, made, name):
    assert "is neither a branch nor a pull request: name a branch, or refs/pr/N" in refused(made, revision=name)
    assert not remote.requests


def test_a_branch_may_be_named_in_full():
    assert branch_of("refs/heads/try/one") == "try/one" and branch_of(None) is None
    assert branch_of("main") == "main" and branch_of("refs/pr/12") == "refs/pr/12"


def test_a_pull_request_takes_a_push(remote, made):
    repo = remote.repo("ann/set")
    repo.pulls["refs/pr/1"] = main = repo.head().oid
    found = hub.push_folder(made, "ann/set", revision="refs/pr/1")
    assert found.changed and found.commit == repo.pulls["refs/pr/1"] != main
    assert repo.head().oid == main and list(repo.branches) == ["main"]
    assert not hub.push_folder(made, "ann/set", revision="refs/pr/1").changed


def test_a_pull_request_that_is_not_there(remote, made, capsys):
    assert "there is no data set ann/new, and so no pull request refs/pr/1" in refused(
        made, "ann/new", revision="refs/pr/1"
    )
    remote.repo("ann/set").pulls["refs/pr/2"] = remote.repo("ann/set").head().oid
    assert "ann/set has no pull request refs/pr/1: open it on the Hub first" in refused(made, revision="refs/pr/1")
    assert list(remote.repos) == [("datasets", "ann/set")] and not remote.calls("upload")
    assert cli.run(["push", str(made), "ann/set", "--revision", "refs/pr/1"]) == 1
    assert "404" not in capsys.readouterr().err


@pytest.mark.parametrize("token", ["hf_with space", "hf_é", "hf_\x01", "🐱"])
def test_tokens_that_cannot_be(remote, made, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    said = refused(made)
    assert "holds characters that no token has" in said and token not in said
    assert not remote.requests


@pytest.mark.parametrize(
    "address",
    ["", "huggingface.co", "localhost:8080", "ftp://x", "http://", "https://a b", "http://x:99999", "http://x:port",
     "http://x:0", "http://x?y", "http://x#y", "http://ann:secret@[", "//x", "http://\u202ex"],
)  # fmt: skip
@pytest.mark.parametrize("what", ["push", "model", "data set", "command"])
def test_addresses_of_hubs_that_are_none(local_hub, made, tmp_path, monkeypatch, capsys, address, what):
    from mvc_hf.data.loading import open_dataset

    waited = connect(local_hub, tmp_path / "home", monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    if what == "command":
        assert cli.run(["push", str(made), "ann/set"]) == 1
        said = capsys.readouterr().err.strip()
    else:
        ask = {"push": lambda: hub.push_folder(made, "ann/set"), "model": lambda: hub.pull_model("ann/x"),
               "data set": lambda: open_dataset("ann/x")}[what]  # fmt: skip
        with pytest.raises(MvcError) as caught:
            ask()
        said = str(caught.value)
    assert "which is no address of a Hub: give it as https://host[:port], or unset it" in said
    assert "\n" not in said and "secret" not in said and "HF_ENDPOINT" in said and not waited


# Answers that are JSON, but not those of a Hub

CALLS = ["whoami", "info", "tree", "preupload", "batch", "create", "refs", "commit", "commits", "branch", "tag"]
ODD = [
    b"[]",
    b"{}",
    b"null",
    b"5",
    b'"x"',
    b"[null]",
    b"[[1]]",
    b'{"name": 5}',
    b'{"name": "ann", "orgs": 7}',
    b'[{"a": 1}]',
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("body", ODD, ids=bytes.decode)
def test_an_answer_that_nobody_can_read_is_one_line(remote, made, call, body):
    """Or does not matter; what is published is whole, or nothing is."""
    remote.fail(call, body, times=1000)
    try:
        hub.push_folder(made, "ann/set", revision="dev", tag="v1")
    except MvcError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000 and ANN not in str(error)
    else:
        assert call not in ("whoami", "info") and len(remote.repos["datasets", "ann/set"].commits) == 2
    repo = remote.repos.get(("datasets", "ann/set"))
    kept = [p for p in repo.resolve("dev").tree if p.endswith(".parquet")] if repo and repo.resolve("dev") else []
    assert len(kept) in (0, 2)
    assert len(remote.waited) < 20


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"", b"{", b"\xff\xfe"], ids=ascii)
@pytest.mark.parametrize("call", ["whoami", "info", "create"])
def test_a_page_in_place_of_an_answer_is_one_line(remote, made, call, body):
    remote.fail(call, body, times=1000)
    said = refused(made)
    assert "is no JSON, maybe the page of a proxy" in said or "the answer is none of a Hub" in said
    assert remote.url in said


@pytest.mark.parametrize("body", [*ODD, b"<html>", b""], ids=ascii)
def test_a_commit_with_an_odd_reply_is_looked_for(remote, made, body):
    remote.fail("commit", body, times=1000)
    found = hub.push_folder(made, "ann/set")
    assert found.changed and len(remote.calls("commit")) == 1
    assert found.commit == remote.repos["datasets", "ann/set"].head().oid


@pytest.mark.parametrize("body", [*ODD, b"<html>", b"", b'{"sha": "../../x", "id": "ann/x"}'], ids=ascii)
def test_pulls_with_odd_answers(remote, body):
    from mvc_hf.data.loading import open_dataset

    remote.repo("ann/model", "models"), remote.repo("ann/set")
    remote.fail("info", body, times=1000)
    for ask in (lambda: hub.pull_model("ann/model"), lambda: open_dataset("ann/set")):
        with pytest.raises(MvcError) as caught:
            ask()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
