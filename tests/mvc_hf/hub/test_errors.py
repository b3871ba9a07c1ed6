"""How long a Hub asks to wait, in whatever words, and what is made of answers that nobody can read."""

import email.utils
import errno
import time
from types import SimpleNamespace

import pytest
from hub_server import ANN
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from pushable import (
    refused,
)

from mvc_hf.errors import MvcError
from mvc_hf.hub.download.models import pull_model
from mvc_hf.hub.errors import (
    LONGEST_ASKED,
    UnexpectedAnswer,
    asked_to_wait,
    is_passing,
    is_unreachable,
    plain,
    short,
    statuses,
    understood,
)
from mvc_hf.publish.push import push


def busy(**headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return HfHubHTTPError("busy", response=SimpleNamespace(headers=headers, request=None))


ODD = [
    "soon", "", " ", "-5", "+5", "1.5", "1e3", "0x10", "NaN", "inf", "²", "٣", "1 2", "12:99", ":::", "\x00",
    "a" * 10_000, "Wed, 99 Oct 2015 07:28:00 GMT", "21 Oct 99999 07:28:00 GMT",
]  # fmt: skip


@pytest.mark.parametrize("asked", ODD, ids=ascii)
def test_a_retry_after_that_is_neither_seconds_nor_a_date_is_ignored(asked):
    assert asked_to_wait(busy(Retry_After=asked)) is None


@pytest.mark.parametrize("asked", ["9" * 5, "9" * 30, "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_is_at_most_a_day(asked):
    assert asked_to_wait(busy(Retry_After=asked)) == LONGEST_ASKED
    assert asked_to_wait(busy(RateLimit=f'"api";r=0;t={"9" * 400}')) == LONGEST_ASKED


def test_a_retry_after_in_the_past_is_no_wait():
    past = email.utils.formatdate(time.time() - 100, usegmt=True)
    assert asked_to_wait(busy(Retry_After=past)) == 0 and asked_to_wait(busy(Retry_After="0")) == 0


def test_retry_after_and_ratelimit_header_formats():
    """`Retry-After` may be a date, and the Hub's own limits come in another header."""
    from types import SimpleNamespace

    from mvc_hf.hub.errors import asked_to_wait

    def error(**headers):
        caught = RuntimeError()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        caught.__cause__ = HfHubHTTPError("busy", response=SimpleNamespace(headers=headers, request=None))
        return caught

    later = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 90 < asked_to_wait(error(Retry_After=later)) < 101
    assert asked_to_wait(error(Retry_After="12")) == 12
    assert asked_to_wait(error(RateLimit='"api";r=0;t=55')) == 56
    assert asked_to_wait(error(RateLimit='"api";r=3;t=55')) is None
    assert asked_to_wait(error(Retry_After="soon")) is None and asked_to_wait(error()) is None


def test_an_answer_that_cannot_be_read_is_told_from_a_bug():
    with pytest.raises(UnexpectedAnswer, match=r"KeyError: 'sha'.*HF_ENDPOINT"):
        understood(lambda: {}["sha"])
    with pytest.raises(ValueError, match="of another kind"):
        understood(lambda: exec("raise ValueError('of another kind')"))


def hidden(error, raised):
    """`raised`, as `datasets` raises it in place of what went wrong: from None, while it looks into its cache."""
    try:
        try:
            raise error
        except Exception:
            try:
                raise FileNotFoundError("not in the cache")
            except Exception:
                raise raised from None
    except Exception as caught:
        return caught


def answer(status):
    return HfHubHTTPError("so it goes", response=SimpleNamespace(status_code=status, headers={}, request=None))


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_an_answer_hidden_behind_another_error_is_found(status):
    error = hidden(answer(status), FileNotFoundError("no data files"))
    assert is_passing(error) and not is_unreachable(error) and statuses(error) == status
    assert f"the Hub answers {status}" in short(error)


def test_a_refusal_hidden_behind_another_error_is_final():
    error = hidden(answer(404), FileNotFoundError("no data files"))
    assert not is_passing(error) and statuses(error) == 404


def test_the_nearest_cause_counts():
    """`datasets` looks for files while it handles a 404."""
    assert is_passing(hidden(answer(404), ConnectionError("reset"))) and is_unreachable(
        hidden(answer(404), ConnectionError("reset"))
    )
    assert not is_passing(hidden(answer(503), answer(404)))


def test_offline_is_not_waited_for_whatever_wraps_it():
    error = hidden(OfflineModeIsEnabled("offline"), ConnectionError("Couldn't reach the Hub"))
    assert not is_passing(error) and is_unreachable(error)


def test_a_full_disk_is_not_waited_for():
    error = hidden(answer(503), OSError(errno.ENOSPC, "No space left on device"))
    assert not is_passing(error)


def test_no_token_is_shown_with_the_words_of_a_client():
    said = plain(ValueError("Illegal header value b'Bearer hf_x\\x01y' and hf_" + "a" * 30))
    assert "hf_" not in said and said.count("(a token)") == 2


CALLS = ["whoami", "info", "tree", "preupload", "batch", "create", "refs", "commit", "commits", "branch", "tag"]


ODD_ANSWERS = [
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
@pytest.mark.parametrize("body", ODD_ANSWERS, ids=bytes.decode)
def test_a_push_with_an_unreadable_answer_ends_in_one_line(remote, made, call, body):
    """Or does not matter; what is published is whole, or nothing is."""
    remote.fail(call, body, times=1000)
    try:
        push(made, "ann/set", revision="dev", tag="v1")
    except MvcError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000 and ANN not in str(error)
    else:
        assert call not in ("whoami", "info") and len(remote.repos["datasets", "ann/set"].commits) == 2
    repo = remote.repos.get(("datasets", "ann/set"))
    kept = [p for p in repo.resolve("dev").tree if p.endswith(".parquet")] if repo and repo.resolve("dev") else []
    assert len(kept) in (0, 3)
    assert len(remote.waited) < 20


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"", b"{", b"\xff\xfe"], ids=ascii)
@pytest.mark.parametrize("call", ["whoami", "info", "create"])
def test_a_page_in_place_of_an_answer_is_told(remote, made, call, body):
    remote.fail(call, body, times=1000)
    said = refused(None, made, "ann/set")
    assert "is no JSON, maybe the page of a proxy" in said or "the answer is none of a Hub" in said
    assert remote.url in said


@pytest.mark.parametrize("body", [*ODD_ANSWERS, b"<html>", b""], ids=ascii)
def test_a_commit_with_an_unreadable_reply_is_looked_for(remote, made, body):
    remote.fail("commit", body, times=1000)
    found = push(made, "ann/set")
    assert found.changed and len(remote.calls("commit")) == 1
    assert found.commit == remote.repos["datasets", "ann/set"].head().oid


@pytest.mark.parametrize("body", [*ODD_ANSWERS, b"<html>", b"", b'{"sha": "../../x", "id": "ann/x"}'], ids=ascii)
def test_a_fetch_with_an_unreadable_answer_ends_in_one_line(remote, body):
    from mvc_hf.data.loading import open_dataset

    remote.repo("ann/model", "models"), remote.repo("ann/set")
    remote.fail("info", body, times=1000)
    for ask in (lambda: pull_model("ann/model"), lambda: open_dataset("ann/set")):
        with pytest.raises(MvcError) as caught:
            ask()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
