"""What the environment tells the libraries below, looked at before they fail at it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from ..errors import RecipeError
from ..utils.text import brief

WHOLE = ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
NUMBERS = ("HF_DATASETS_IN_MEMORY_MAX_SIZE",)


def check_environment(variables: Mapping[str, str] = os.environ) -> None:
    """Raises RecipeError for what would break the very import of a library."""
    for names, kind, what in ((WHOLE, int, "a whole number"), (NUMBERS, float, "a number")):
        for name in names:
            try:
                kind(variables.get(name) or 0)
            except ValueError:
                raise RecipeError(f"{name} is {brief(variables[name])}; it must be {what}, or not be set") from None
    try:
        urlsplit(variables.get("HF_ENDPOINT", ""))
    except ValueError:
        raise _no_endpoint(variables["HF_ENDPOINT"]) from None


def endpoint() -> str:
    """The address of the Hub, from HF_ENDPOINT where it is set.

    Raises:
        RecipeError: it is no address, and the Hub is to be asked.
    """
    from huggingface_hub import constants, is_offline_mode

    url = constants.ENDPOINT
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and not (parts.query or parts.fragment)
        fine = plain and re.fullmatch(r"[!-~]+", url) and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none
        fine = False
    if not fine and not is_offline_mode():
        raise _no_endpoint(url)
    return url


def _no_endpoint(url: str) -> RecipeError:
    hidden = re.sub(r"//[^/@]*@", "//…@", url)  # a user's name and password
    return RecipeError(
        f"HF_ENDPOINT is {brief(hidden)}, which is no address of a Hub: give it as https://host[:port], or unset it"
    )
