"""Captioning models: fetched from the Hub as every other model is, and how their words are drawn."""

import numpy as np
import pytest
import torch
from pushable import fake_model
from tiny_blip import tiny_captioner

from mvc_hf.captions import image_to_text
from mvc_hf.captions.image_to_text import NucleusAt, Weights, draws_of
from mvc_hf.errors import ModelError


@pytest.fixture(scope="module")
def blip2(tmp_path_factory):
    folder = tiny_captioner(tmp_path_factory.mktemp("captioners") / "tiny-blip2")
    for name in ("pytorch_model.bin", "modeling.py", "onnx/model.safetensors"):  # what is never fetched
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def same(found, blip2):
    names = {path.relative_to(found.folder).as_posix() for path in found.folder.rglob("*") if path.is_file()}
    there = {path.name for path in blip2.iterdir() if path.suffix in (".json", ".safetensors", ".jinja", ".txt")}
    return names == there and all((found.folder / n).read_bytes() == (blip2 / n).read_bytes() for n in names)


def test_a_model_of_the_hub_is_known_by_its_commit(remote, blip2):
    repo = fake_model(remote, blip2, "ann/blip")
    repo.tags["v1"] = first = repo.head().oid
    repo.commit("main", "without weights", {"model.safetensors": None})
    found = Weights.locate("ann/blip@v1")
    assert (found.name, found.revision) == ("ann/blip", first) and same(found, blip2)
    assert found.identity == {"model": "ann/blip", "revision": first, "content": None}


@pytest.mark.parametrize("call", ["info", "tree", "resolve", "download"])
@pytest.mark.parametrize("kind", [500, 503, 429, "reset", "cut"])
def test_every_request_is_tried_again(remote, blip2, call, kind):
    fake_model(remote, blip2, "ann/blip")
    remote.fail(call, kind, times=2)
    assert same(Weights.locate("ann/blip"), blip2)


def test_retry_after_of_429_is_waited_for(remote, blip2):
    fake_model(remote, blip2, "ann/blip")
    remote.fail("info", 429, Retry_After="7")
    remote.fail("download", 429, Retry_After="11")
    Weights.locate("ann/blip")
    assert sum(remote.waited) >= 18


def test_a_download_given_again_fetches_what_is_missing(remote, blip2, monkeypatch):
    fake_model(remote, blip2, "ann/blip")
    remote.fail("download", "reset", times=10_000)
    with pytest.raises(
        ModelError, match=r"cannot get the captioning model ann/blip from the Hub.*the connection broke"
    ):
        Weights.locate("ann/blip")
    remote.faults.clear()
    remote.requests.clear()
    assert same(Weights.locate("ann/blip"), blip2)
    fetched = [request.path for request in remote.calls("resolve") if request.method == "GET"]
    assert len(remote.calls("download")) == 1 and not [path for path in fetched if path.endswith(".json")]


def test_a_large_file_that_is_cut_off_is_resumed_where_it_stopped(remote, blip2, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)  # what is kept is whole pieces of it
    fake_model(remote, blip2, "ann/blip")
    remote.fail("download", "cut")
    assert same(Weights.locate("ann/blip"), blip2)
    ranges = [request.headers.get("range", "") for request in remote.calls("download")]
    half = (blip2 / "model.safetensors").stat().st_size // 2
    assert ranges == ["", f"bytes={half // 1000 * 1000}-"]


def test_offline_and_without_a_network_the_cache_is_used(remote, blip2, monkeypatch, capsys):
    fake_model(remote, blip2, "ann/blip")
    found = Weights.locate("ann/blip")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert Weights.locate("ann/blip") == found and not remote.waited
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert Weights.locate(f"ann/blip@{found.revision}") == found
    assert f"using the local cache, commit {found.revision}" in capsys.readouterr().err
    with pytest.raises(ModelError, match="cannot get the captioning model ann/none from the Hub, which cannot be rea"):
        Weights.locate("ann/none")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model.safetensors": None}, "ann/blip has no safetensors; pickle files are not loaded"),
        ({"config.json": None}, "ann/blip is not a model of transformers: it has no config.json"),
    ],
)
def test_a_model_of_no_use_is_refused_before_it_is_fetched(remote, blip2, changes, match):
    fake_model(remote, blip2, "ann/blip").commit("main", "less", changes)
    with pytest.raises(ModelError, match=match):
        Weights.locate("ann/blip")
    assert not remote.calls("resolve") and not remote.calls("download")


def test_a_gated_model_is_told(remote, blip2, monkeypatch):
    fake_model(remote, blip2, "bob/blip", gated=True)
    with pytest.raises(ModelError, match=r"the model bob/blip is gated: ask for access at http.*, then run `hf auth"):
        Weights.locate("bob/blip")


CPU = torch.device("cpu")


def test_half_precision_on_an_accelerator():
    class Config:
        dtype = torch.float32

    assert image_to_text.precision_on(CPU, Config) == torch.float32
    assert image_to_text.precision_on(torch.device("cuda"), Config) == torch.float16
    Config.dtype = torch.bfloat16
    assert image_to_text.precision_on(torch.device("cuda"), Config) == torch.bfloat16


def test_the_nucleus_is_sampled_as_it_should_be():
    scores = torch.log(torch.tensor([0.05, 0.5, 0.3, 0.15]))
    draws = (np.arange(1000)[:, None] + 0.5) / 1000
    picked = NucleusAt(draws)(None, scores.expand(1000, 4)).argmax(-1)
    share = np.bincount(picked, minlength=4) / 1000  # 0.5 and 0.3 do not make up 0.9, with 0.15 they do
    assert share == pytest.approx([0, 0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95], abs=1e-3)
    ends = NucleusAt(np.array([[0.0], [1 - 2**-53]]))(None, scores.expand(2, 4)).argmax(-1)
    assert ends.tolist() == [1, 3]
    alone = NucleusAt(np.array([[0.999]]))(None, torch.tensor([[9.0, 0.0, 0.0]])).argmax(-1)
    assert alone.tolist() == [0]


def test_draws_belong_to_the_row_and_the_number():
    rows, numbers = np.array([5, 5, 6]), np.array([0, 1, 1])
    draws = draws_of(3, rows, numbers, 6)
    assert draws.shape == (3, 6) and not draws[0].any()
    assert ((draws >= 0) & (draws < 1)).all() and (draws[1] != draws[2]).all()
    assert (draws_of(3, rows[1:2], numbers[1:2], 6)[0] == draws[1]).all()
    assert (draws_of(3, rows, numbers, 4) == draws[:, :4]).all()
    assert (draws_of(4, rows, numbers, 6)[1] != draws[1]).all()
