"""How long a Hub asks to wait, in whatever words."""

import email.utils
import time
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import HfHubHTTPError
from local_hub import connect
from pushable import pushable_data_set

from mvc_hf.hub.errors import LONGEST_ASKED, UnexpectedAnswer, asked_to_wait, plain, understood
from mvc_hf.publish import push as hub


def busy(**headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return HfHubHTTPError("busy", response=SimpleNamespace(headers=headers, request=None))


ODD = [
    "soon", "", " ", "-5", "+5", "1.5", "1e3", "0x10", "NaN", "inf", "²", "٣", "1 2", "12:99", ":::", "\x00",
    "a" * 10_000, "Wed, 99 Oct 2015 07:28:00 GMT", "21 Oct 99999 07:28:00 GMT",
]  # fmt: skip


@pytest.mark.parametrize("asked", ODD, ids=ascii)
def test_what_is_neither_seconds_nor_a_date_is_not_asked(asked):
    assert asked_to_wait(busy(Retry_After=asked)) is None


@pytest.mark.parametrize("asked", ["9" * 5, "9" * 30, "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_nobody_is_asked_to_wait_longer_than_a_day(asked):
    assert asked_to_wait(busy(Retry_After=asked)) == LONGEST_ASKED
    assert asked_to_wait(busy(RateLimit=f'"api";r=0;t={"9" * 400}')) == LONGEST_ASKED


def test_a_date_that_is_past_asks_for_nothing():
    past = email.utils.formatdate(time.time() - 100, usegmt=True)
    assert asked_to_wait(busy(Retry_After=past)) == 0 and asked_to_wait(busy(Retry_After="0")) == 0


@pytest.mark.parametrize("asked", ["soon", "-5", "12:99", "Wed, 99 Oct 2015 07:28:00 GMT"])
def test_then_the_usual_wait_will_do(local_hub, tmp_path, monkeypatch, asked):
    waited = connect(local_hub, tmp_path / "home", monkeypatch)
    for call in ("whoami", "create", "commit"):
        local_hub.fail(call, 429, Retry_After=asked)
    assert hub.push_folder(pushable_data_set(tmp_path / "made"), "ann/set").changed
    assert waited == [1.0, 1.0, 1.0]


def test_an_answer_that_cannot_be_read_is_told_from_a_bug():
    with pytest.raises(UnexpectedAnswer, match=r"KeyError: 'sha'.*HF_ENDPOINT"):
        understood(lambda: {}["sha"])
    with pytest.raises(ValueError, match="of another kind"):
        understood(lambda: exec("raise ValueError('of another kind')"))


def test_no_token_is_shown_with_the_words_of_a_client():
    said = plain(ValueError("Illegal header value b'Bearer hf_x\\x01y' and hf_" + "a" * 30))
    assert "hf_" not in said and said.count("(a token)") == 2
