"""Variables that would break the import of a library."""

import subprocess
import sys

import pytest

from mvc_hf.errors import RecipeError
from mvc_hf.hub.environment import check_environment


@pytest.mark.parametrize(
    ("name", "value"),
    [("HF_HUB_ETAG_TIMEOUT", "soon"), ("HF_HUB_DOWNLOAD_TIMEOUT", "1.5"), ("WORLD_SIZE", "two"), ("RANK", "\x1b"),
     ("HF_DATASETS_IN_MEMORY_MAX_SIZE", "1GB"), ("HF_ENDPOINT", "http://[::1"), ("HF_ENDPOINT", "http://ann:pw@[")],
)  # fmt: skip
def test_what_is_wrong_is_named(name, value):
    with pytest.raises(RecipeError) as caught:
        check_environment({name: value})
    assert name in str(caught.value) and "pw" not in str(caught.value) and str(caught.value).isprintable()


def test_what_is_fine():
    check_environment({"RANK": "0", "WORLD_SIZE": "", "HF_ENDPOINT": "https://x", "HF_HUB_ETAG_TIMEOUT": " 10 "})


def test_the_command_says_it_in_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "mvc_hf.cli", "push", "x"],
        env={"HF_ENDPOINT": "http://[::1", "PATH": ""}, capture_output=True, text=True, cwd="/",
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("Error: HF_ENDPOINT is 'http://[::1', which is no address")
    assert done.stderr.count("\n") == 1
