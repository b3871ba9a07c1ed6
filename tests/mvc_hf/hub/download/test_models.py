"""Models are fetched at one commit, whole, or taken from the cache."""

import errno
import shutil

import pytest
from hub_server import File
from pushable import (
    fake_model,
    pulled_files,
    with_variants,
)

from mvc_hf.errors import MvcError
from mvc_hf.hub.download.models import pull_model
from mvc_hf.hub.download.weights import STEMS, listing, variants_of


def test_safetensors_alone_are_fetched(remote, model_files):
    repo = fake_model(remote, model_files)
    found = pull_model("ann/model")
    assert (found.name, found.commit) == ("ann/model", repo.head().oid)
    assert "unet/diffusion_pytorch_model.safetensors" in pulled_files(found)
    assert {"mvc.json", "captions.parquet", "model_index.json", "tokenizer/vocab.json"} <= pulled_files(found)
    assert not [
        path for path in pulled_files(found) if path.endswith((".bin", ".tmp", ".csv")) or "checkpoints" in path
    ]
    remote.requests.clear()
    assert pull_model("ann/model") == found
    assert {request.call for request in remote.requests} == {"info"}


def test_a_revision_is_fetched_at_its_commit(remote, model_files):
    repo = fake_model(remote, model_files)
    old = repo.head().oid
    repo.tags["v1"], repo.branches["dev/x"] = old, old
    repo.commit("main", "newer", {"mvc.json": File.of(b"{}")})
    for revision in ("v1", "dev/x", old):
        found = pull_model(f"ann/model@{revision}")
        assert found.commit == old and (found.folder / "mvc.json").read_bytes() != b"{}"
    assert pull_model("ann/model").commit == repo.head().oid


def test_of_a_branch_that_moves_the_commit_asked_first_is_fetched(remote, model_files, monkeypatch):
    """What is recorded is what was fetched."""
    from mvc_hf.hub.download import models as download

    repo, ask = fake_model(remote, model_files), download.ask
    old = repo.head().oid

    def and_then(*args):
        found = ask(*args)
        repo.commit("main", "newer", {"mvc.json": File.of(b"{}")})
        return found

    monkeypatch.setattr(download, "ask", and_then)
    found = pull_model("ann/model")
    assert found.commit == found.folder.name == old
    assert (found.folder / "mvc.json").read_bytes() == (model_files / "mvc.json").read_bytes()


@pytest.mark.parametrize("call", ["info", "tree", "resolve", "download"])
@pytest.mark.parametrize("kind", [500, "reset", "cut"])
def test_every_request_of_a_fetch_is_tried_again(remote, model_files, call, kind):
    fake_model(remote, model_files)
    remote.fail(call, kind, times=2)
    found = pull_model("ann/model")
    for path in ("unet/diffusion_pytorch_model.safetensors", "vae/config.json", "mvc.json"):
        assert (found.folder / path).read_bytes() == (model_files / path).read_bytes()


def test_offline_the_cache_is_used(remote, model_files, monkeypatch, capsys):
    fake_model(remote, model_files)
    found = pull_model("ann/model")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert pull_model("ann/model") == found
    assert pull_model(f"ann/model@{found.commit}") == found
    assert f"using the local cache, commit {found.commit}" in capsys.readouterr().err
    with pytest.raises(
        MvcError, match=r"cannot get ann/other from the Hub, which cannot be reached \(.*offline mode"
    ) as caught:
        pull_model("ann/other")
    assert "\n" not in str(caught.value)


def test_without_a_network_the_cache_is_used_at_once(remote, model_files, monkeypatch, capsys):
    fake_model(remote, model_files)
    found = pull_model("ann/model")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert pull_model("ann/model") == found
    assert "the connection broke" in capsys.readouterr().err and not remote.waited
    with pytest.raises(MvcError, match="cannot get ann/other from the Hub, which cannot be reached"):
        pull_model("ann/other")


@pytest.mark.parametrize("client", ["of today", "that keeps no list of files"])
def test_a_model_fetched_in_part_is_not_taken_for_a_whole_one(remote, model_files, tmp_path, monkeypatch, client):
    monkeypatch.setattr("mvc_hf.hub.retry.PATIENCE", 0)
    fake_model(remote, model_files)
    remote.fail("download", "reset", times=1000, after=1)
    with pytest.raises(MvcError, match="cannot get ann/model from the Hub"):
        pull_model("ann/model")
    assert list((tmp_path / "home").rglob("*.safetensors"))
    if "no list" in client:
        older = shutil.ignore_patterns("trees")
        shutil.copytree(tmp_path / "home" / "hub", tmp_path / "older", symlinks=True, ignore=older)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "older"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MvcError, match="nor is it a folder here or in the cache"):
        pull_model("ann/model")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    remote.faults.clear()
    assert "unet/diffusion_pytorch_model.safetensors" in pulled_files(pull_model("ann/model"))


@pytest.mark.parametrize(
    "gone, match",
    [
        ("model_index.json", "ann/model has no model_index.json: it is not a model in diffusers' layout"),
        ("mvc.json", "ann/model has no mvc.json: it is not a checkpoint of mvc-hf finetune"),
        ("unet/diffusion_pytorch_model.safetensors", "ann/model has no safetensors in unet/; pickle files are not"),
    ],
)
def test_a_model_of_no_use_is_refused_before_it_is_fetched(remote, model_files, gone, match):
    fake_model(remote, model_files).commit("main", "less", {gone: None})
    with pytest.raises(MvcError, match=match):
        pull_model("ann/model", "mvc.json")
    assert not remote.calls("resolve") and not remote.calls("download")


@pytest.mark.parametrize(
    ("variants", "asked", "taken"),
    [
        ({"": ["fp16"]}, None, {"fp16"}),
        ({"": ["fp16"]}, "fp16", {"fp16"}),
        ({"": ["", "fp16"]}, None, {""}),
        ({"": ["", "fp16"]}, "fp16", {"fp16"}),
        ({"": [""], "unet": ["", "non_ema"]}, "non_ema", {"", "non_ema"}),
        ({"": [""], "unet": ["fp16"]}, None, {"", "fp16"}),
    ],
)
def test_weights_of_one_variant_are_fetched(remote, model_files, monkeypatch, variants, asked, taken):
    """What the check counts as weights, the fetch brings, the cache finds and the loader takes."""
    with_variants(remote, model_files, variants)
    found = pull_model("ann/model", variant=asked)
    files = {path for path in pulled_files(found) if path.endswith(".safetensors")}
    assert len(files) == len(STEMS)
    chosen = variants_of(listing(found.folder), "ann/model", asked)
    assert {variant or "" for variant in chosen.values()} == taken
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert pull_model("ann/model", variant=asked) == found


@pytest.mark.parametrize(
    ("variants", "asked", "match"),
    [
        ({"": [""]}, "fp16", "ann/model has no weights of --variant fp16"),
        ({"": ["fp16"]}, "bf16", "no weights of --variant bf16 in text_encoder/; it has fp16"),
        ({"": ["bf16", "fp16"]}, None, "several variants in text_encoder/ .*: choose one with --variant"),
    ],
)
def test_missing_variants_are_refused_before_anything_is_fetched(remote, model_files, variants, asked, match):
    with_variants(remote, model_files, variants)
    with pytest.raises(MvcError, match=match):
        pull_model("ann/model", variant=asked)
    assert not remote.calls("resolve") and not remote.calls("download")


def test_a_variant_from_the_hub_is_loaded(remote, tiny_base):
    """The whole way, with real weights."""
    from mvc_hf.diffusion.model import load_base

    repo = fake_model(remote, tiny_base, "ann/tiny")
    changes = {}
    for part, stem in STEMS.items():
        plain = f"{part}/{stem}.safetensors"
        changes |= {f"{part}/{stem}.fp16.safetensors": repo.head().tree[plain], plain: None}
    repo.commit("main", "half", changes)
    base = load_base("ann/tiny")
    assert (base.name, base.variants) == ("ann/tiny", dict.fromkeys(STEMS, "fp16"))


def test_a_private_model_is_pulled_with_its_token(remote, model_files):
    fake_model(remote, model_files, "ann/hidden", private=True)
    assert "mvc.json" in pulled_files(pull_model("ann/hidden"))


def test_a_full_disk_is_no_fault_of_the_hub(remote, model_files, monkeypatch):

    fake_model(remote, model_files)

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download._chmod_and_move", full)
    with pytest.raises(OSError) as caught:
        pull_model("ann/model")
    assert caught.value.errno == errno.ENOSPC  # the command line knows what to say
    assert not remote.waited
