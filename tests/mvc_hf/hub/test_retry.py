"""Calls are tried again, each of them, as long as it makes sense."""

import time

import pytest
from hub_server import connect
from pushable import (
    SHARDS,
    pushable_data_set,
    sent,
    shards,
    titles,
)

from mvc_hf.errors import OutputError
from mvc_hf.hub.errors import UnexpectedAnswer, understood
from mvc_hf.hub.retry import answered, retry, unchanged
from mvc_hf.publish.push import push


@pytest.mark.parametrize(
    "call", ["whoami", "info", "create", "tree", "refs", "branch", "tag", "preupload", "batch", "upload", "commit",
             "validate-yaml"],
)  # fmt: skip
@pytest.mark.parametrize("kind", [500, 503, "reset"])
def test_every_call_of_a_push_is_tried_again(remote, made, capsys, call, kind):
    remote.fail(call, kind, times=2)
    push(made, "ann/set", revision="dev", tag="v1")
    assert shards(remote, revision="dev") == SHARDS and len(titles(remote, branch="dev")) == 2
    assert remote.repos["datasets", "ann/set"].tags
    assert len(remote.waited) >= 2
    err = capsys.readouterr().err
    assert "trying again in 1 s" in err or call in (
        "tree",
        "preupload",
        "batch",
        "upload",
    )  # of those the client tells


@pytest.mark.parametrize("call", ["whoami", "info", "create", "commit", "tag", "preupload"])
def test_retry_after_of_429_is_waited_for(remote, made, call):
    remote.fail(call, 429, Retry_After="7")
    push(made, "ann/set", tag="v1")
    assert sum(remote.waited) >= 7 and shards(remote) == SHARDS


def test_a_wait_beyond_our_patience_is_refused(remote, made):
    remote.fail("commit", 429, Retry_After="3600")
    with pytest.raises(OutputError) as caught:
        push(made, "ann/set")
    text = str(caught.value)
    assert "too many requests" in text and "asks to wait 3600 s" in text and "\n" not in text
    assert "nothing is published" in text and f"`mvc-hf push {made} ann/set` goes on" in text
    assert shards(remote) == [] and not remote.waited
    push(made, "ann/set")
    assert sent(remote) == 3  # what was sent the first time was kept


@pytest.mark.parametrize("call", ["whoami", "create", "upload", "commit"])
def test_a_push_to_a_hub_that_stays_broken_ends_in_one_line(remote, made, call):
    remote.fail(call, 500, times=1000)
    with pytest.raises(OutputError, match="cannot push to ann/set: the Hub answers 500") as caught:
        push(made, "ann/set")
    assert "\n" not in str(caught.value)
    assert 60 < sum(remote.waited) < 4000  # the client's own retries among them
    assert remote.repos.get(("datasets", "ann/set")) is None or shards(remote) == []


def test_a_slow_hub_is_waited_for(remote, made):
    for call in ("commit", "upload"):
        remote.fail(call, "slow", seconds=0.5)
    push(made, "ann/set")
    assert shards(remote) == SHARDS


def test_a_hub_that_never_answers_is_asked_again(remote, made, monkeypatch, capsys):
    """What was asked first may still take effect later: it must not count twice."""
    monkeypatch.setattr("mvc_hf.hub.retry.ANSWER", 0.5)
    remote.fail("info", "slow", seconds=1.5)
    remote.fail("commit", "slow", seconds=1.5)
    push(made, "ann/set")
    time.sleep(1.5)
    assert len(remote.calls("commit")) == 2 and len(titles(remote)) == 2 and shards(remote) == SHARDS
    assert "no answer in 0 s" in capsys.readouterr().err


@pytest.mark.parametrize("asked", ["soon", "-5", "12:99", "Wed, 99 Oct 2015 07:28:00 GMT"])
def test_an_unreadable_retry_after_leaves_the_usual_wait(local_hub, tmp_path, monkeypatch, asked):
    waited = connect(local_hub, tmp_path / "home", monkeypatch)
    for call in ("whoami", "create", "commit"):
        local_hub.fail(call, 429, Retry_After=asked)
    assert push(pushable_data_set(tmp_path / "made"), "ann/set").changed
    assert waited == [1.0, 1.0, 1.0]


# The mechanism alone


@pytest.fixture
def waited(monkeypatch):
    seconds = []
    monkeypatch.setattr("mvc_hf.hub.retry.sleep", seconds.append)
    return seconds


def failing(times, error=ConnectionError):
    """A call that fails so many times, and works then."""
    left = [error("no")] * times

    def call():
        if left:
            raise left.pop()
        return "done"

    return call


def test_waits_double_up_to_a_minute(waited, capsys):
    assert retry("asking", failing(8), run=unchanged) == "done"
    assert waited == [1, 2, 4, 8, 16, 32, 60, 60]
    assert "asking: the connection broke (no); trying again in 32 s\n" in capsys.readouterr().err


@pytest.mark.parametrize("run", [answered, understood, unchanged])
def test_what_waiting_does_not_mend_is_raised_at_once(waited, run):
    with pytest.raises(ValueError, match="no"):
        retry("asking", failing(1, ValueError), run=run)
    assert not waited


def test_no_longer_than_the_patience_is_waited(waited):
    with pytest.raises(ConnectionError):
        retry("asking", failing(100), patience=10)
    assert waited == [1, 2, 4]


def test_where_there_is_another_way_nothing_is_waited_for(waited):
    with pytest.raises(ConnectionError):
        retry("asking", failing(1), unless=lambda error: str(error) == "no")
    assert not waited


def test_errors_of_other_libraries_are_left_as_they_are(waited):
    with pytest.raises(KeyError):
        retry("loading", failing(1, KeyError), run=unchanged)
    with pytest.raises(UnexpectedAnswer):
        retry("asking", failing(1, KeyError))
