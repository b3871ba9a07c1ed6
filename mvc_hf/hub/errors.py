"""What goes wrong on the way to the Hub, told in one line: what passes if one waits, and what does not.

The clients have stood on three HTTP libraries so far (requests, httpx, httpx2), so errors are told apart by the
client's own classes and by status.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..errors import MvcError, OutputError
from ..utils.disk import is_disk_full
from ..utils.text import reason
from .environment import endpoint

T = TypeVar("T")
LONGEST_ASKED = 86_400.0  # seconds: a Hub that asks to wait longer than a day has not thought of what it says
BUSY = (408, 409, 412, 429, 500, 502, 503, 504)  # passes by itself, or once the state has been looked at again
# What the clients raise over an answer that is JSON but not the expected one: a list for a dict, a missing key.
MISREAD = (TypeError, AttributeError, LookupError, AssertionError, OverflowError, UnicodeDecodeError)


class UnexpectedAnswer(Exception):
    """The Hub's answer is not what it should be; what was raised over it is the cause."""

    def __str__(self) -> str:
        cause = self.__cause__
        said = f"{type(cause).__name__}: {reason(cause)}" if cause else "no detail"
        return f"the answer is none of a Hub ({said}); look at HF_ENDPOINT, now {endpoint()}, and at proxies"


def understood(call: Callable[[], T]) -> T:
    """Call, and tell an answer that nobody can read from the other things that go wrong."""
    try:
        return call()
    except MISREAD as error:
        raise UnexpectedAnswer from error


def is_passing(error: BaseException) -> bool:
    """Whether the same call may work a little later."""
    if isinstance(error, MvcError) or _is_offline(error) or is_disk_full(error):
        return False
    cause = _decisive(error)
    if cause is None:
        return type(error) is RuntimeError  # the Xet client's, and that of an HTTP client which another thread closed
    return status(cause) in (None, *BUSY)


def is_unreachable(error: BaseException) -> bool:
    """Whether there was no answer at all: no network, or told to stay offline."""
    return _is_offline(error) or (statuses(error) is None and is_passing(error))


def status(error: BaseException) -> int | None:
    """The HTTP status of the answer that is the error."""
    return getattr(getattr(error, "response", None), "status_code", None)


def statuses(error: BaseException) -> int | None:
    """The HTTP status of an error or of what caused it; None where there was no answer."""
    cause = _decisive(error)
    return None if cause is None else status(cause)


def asked_to_wait(error: BaseException) -> float | None:
    """The seconds that the Hub asks for (`Retry-After`, or `RateLimit: "api";r=0;t=55`)."""
    for cause in _causes(error):
        headers: Any = getattr(getattr(cause, "response", None), "headers", None) or {}
        asked = (headers.get("Retry-After") or "").strip()
        if asked:
            return _seconds(asked)
        limit = re.search(r"\br\s*=\s*0\s*;\s*t\s*=\s*([0-9]+)", headers.get("RateLimit") or "")
        if limit:
            return min(float(limit[1]) + 1, LONGEST_ASKED)
    return None


def _seconds(asked: str) -> float | None:
    """A number of seconds, or a date; None for what is neither."""
    try:
        if re.fullmatch("[0-9]+", asked):
            seconds = float(asked)
        else:
            seconds = email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
    except (TypeError, ValueError, LookupError, OverflowError):
        return None
    return min(max(0.0, seconds), LONGEST_ASKED)


def short(error: BaseException) -> str:
    """A few words for a line that says why one waits."""
    cause = _decisive(error) or error
    code = status(cause)
    words = {409: "busy with another change", 412: "changed in the meantime", 429: "too many requests"}
    if code:
        return f"the Hub answers {code} ({words.get(code, 'an error of its own' if code >= 500 else 'an error')})"
    if isinstance(cause, json.JSONDecodeError):
        return f"the answer of {endpoint()} is no JSON, maybe the page of a proxy"
    return f"the connection broke ({plain(list(_causes(cause, explicit=True))[-1])})"


def translate_error(error: BaseException, what: str, keeps: str = "") -> MvcError:
    """An error of the clients as one line for the user; errors of ours and a full disk are passed on as they are.

    Args:
        what: what was tried, as "cannot push to org/name".
        keeps: what is kept and how to go on, for the case that it may work later.
    """
    if isinstance(error, MvcError):
        return error
    if is_disk_full(error):
        raise error
    code = statuses(error)
    if code == 401:
        why = "the Hub does not accept the token; run `hf auth login`, or set HF_TOKEN anew"
    elif code == 403:
        why = "the token has no permission for it (403); use one with write permission there"
    elif is_passing(error):
        asked = asked_to_wait(error)
        why = short(error) + (f" and asks to wait {asked:.0f} s" if asked else "")
    else:
        why = plain(error)
    return OutputError(f"{what}: {why}" + (f"; {keeps}" if keeps else ""))


def plain(error: BaseException) -> str:
    """What an error says, without the queries of addresses: they may be signed, which is as good as a password."""
    if type(error) is RuntimeError:  # "Error while uploading": what the Hub said is in its cause
        error = next((cause for cause in _causes(error, explicit=True) if status(cause)), error)
    return re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]*", r"\1", reason(error))


def _causes(error: BaseException | None, explicit: bool = False) -> Iterator[BaseException]:
    """An error and what it came from: the clients wrap what they pass on, and `datasets` hides it (`from None`)."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if explicit else error.__context__)


def _decisive(error: BaseException) -> BaseException | None:
    """Of an error and what it came from, the first that is an answer of the Hub, or the lack of one."""
    broken = (ConnectionError, TimeoutError, json.JSONDecodeError)  # no JSON: a proxy's page in place of an answer
    return next((c for c in _causes(error) if status(c) or _is_transport_error(c) or isinstance(c, broken)), None)


def _is_offline(error: BaseException) -> bool:
    from huggingface_hub.errors import OfflineModeIsEnabled

    return any(isinstance(cause, OfflineModeIsEnabled) for cause in _causes(error))


def _is_transport_error(error: BaseException) -> bool:
    """A connection that could not be made or that broke, in the words of whichever HTTP library the client has."""
    from huggingface_hub.errors import HfHubHTTPError

    library = HfHubHTTPError.__bases__[0]  # HTTPError of httpx2, httpx or requests
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, HfHubHTTPError) or "UnsupportedProtocol" in names:
        return False
    return isinstance(error, library) or "TransportError" in names
