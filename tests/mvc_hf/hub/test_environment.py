"""Variables that would break the import of a library, or name no Hub."""

import subprocess
import sys

import pytest
from hub_server import connect

from mvc_hf import cli
from mvc_hf.errors import MvcError, RecipeError
from mvc_hf.hub.download.models import pull_model
from mvc_hf.hub.environment import check_environment
from mvc_hf.publish.push import push


@pytest.mark.parametrize(
    ("name", "value"),
    [("HF_HUB_ETAG_TIMEOUT", "soon"), ("HF_HUB_DOWNLOAD_TIMEOUT", "1.5"), ("WORLD_SIZE", "two"), ("RANK", "\x1b"),
     ("HF_DATASETS_IN_MEMORY_MAX_SIZE", "1GB"), ("HF_ENDPOINT", "http://[::1"), ("HF_ENDPOINT", "http://ann:pw@[")],
)  # fmt: skip
def test_a_bad_variable_is_named(name, value):
    with pytest.raises(RecipeError) as caught:
        check_environment({name: value})
    assert name in str(caught.value) and "pw" not in str(caught.value) and str(caught.value).isprintable()


def test_good_variables_are_taken():
    check_environment({"RANK": "0", "WORLD_SIZE": "", "HF_ENDPOINT": "https://x", "HF_HUB_ETAG_TIMEOUT": " 10 "})


def test_the_command_names_a_bad_variable_in_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "mvc_hf.cli", "push", "x"],
        env={"HF_ENDPOINT": "http://[::1", "PATH": ""}, capture_output=True, text=True, cwd="/",
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("Error: HF_ENDPOINT is 'http://[::1', which is no address")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "address",
    ["", "huggingface.co", "localhost:8080", "ftp://x", "http://", "https://a b", "http://x:99999", "http://x:port",
     "http://x:0", "http://x?y", "http://x#y", "http://ann:secret@[", "//x", "http://\u202ex"],
)  # fmt: skip
@pytest.mark.parametrize("what", ["push", "model", "data set", "command"])
def test_an_endpoint_that_is_no_address_is_refused(local_hub, made, tmp_path, monkeypatch, capsys, address, what):
    from mvc_hf.data.loading import open_dataset

    waited = connect(local_hub, tmp_path / "home", monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    if what == "command":
        assert cli.run(["push", str(made), "ann/set"]) == 1
        said = capsys.readouterr().err.strip()
    else:
        ask = {"push": lambda: push(made, "ann/set"), "model": lambda: pull_model("ann/x"),
               "data set": lambda: open_dataset("ann/x")}[what]  # fmt: skip
        with pytest.raises(MvcError) as caught:
            ask()
        said = str(caught.value)
    assert "which is no address of a Hub: give it as https://host[:port], or unset it" in said
    assert "\n" not in said and "secret" not in said and "HF_ENDPOINT" in said and not waited
