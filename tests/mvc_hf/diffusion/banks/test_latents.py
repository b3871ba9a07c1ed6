"""Latent moments of images: what the VAE says, encoded once, without what cannot be read."""

import json

import numpy as np
import pytest
import tiny
import torch

from mvc_hf.captions.loading import caption_source
from mvc_hf.data.decoding import square, to_rgb
from mvc_hf.data.loading import open_dataset
from mvc_hf.diffusion.banks.array_cache import CHUNK
from mvc_hf.diffusion.banks.latents import LatentBank
from mvc_hf.diffusion.banks.text import TextBank
from mvc_hf.diffusion.model import load_base
from mvc_hf.errors import DataError
from mvc_hf.storage.files import cache_root


def latents(source, base, max_broken=10):
    return LatentBank.build(source, base, resolution=16, max_broken=max_broken)


def test_latents_are_what_the_vae_says(photos, base):
    source = open_dataset(str(photos))
    found = latents(source, base)
    picture = np.asarray(square(to_rgb(source.image(20)), 16), np.float32) / 127.5 - 1
    mean, std = base.encode_images(torch.from_numpy(picture).permute(2, 0, 1)[None])
    torch.testing.assert_close(found.mode(np.array([20])), mean, atol=2e-3, rtol=2e-3)
    noise = torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(found.sample(np.array([20]), noise), mean + std * noise, atol=4e-3, rtol=4e-3)
    assert [len(rows) for rows in found.members] == [12, 12, 3]
    assert found.native_size == (16, 16) and not found.grey


def test_second_run_encodes_nothing(photos, base, monkeypatch):
    source = open_dataset(str(photos))
    table = caption_source("template").table(source)
    first = latents(source, base), TextBank.build(table, base)
    monkeypatch.setattr(type(base), "encode_text", None)
    monkeypatch.setattr(type(base), "encode_images", None)
    second = latents(source, base), TextBank.build(table, base)
    assert torch.equal(first[0].moments, second[0].moments) and torch.equal(first[1].embeddings, second[1].embeddings)


def test_killed_run_goes_on_where_it_was(tmp_path, base, monkeypatch):
    """With broken files on both sides of the break, and sizes that are learnt on both."""
    folder = tiny.image_folder(tmp_path / "p", {"a": 80, "b": 80})
    for name in ("a/003.png", "b/070.png"):
        (folder / name).write_bytes(b"not a picture")
    source = open_dataset(str(folder))
    whole = latents(source, base)

    monkeypatch.setenv("MVC_HF_CACHE", str(tmp_path / "other"))
    encode, calls = type(base).encode_images, []

    def dies_later(self, pixels):
        calls.append(len(pixels))
        if sum(calls) > 100:
            raise KeyboardInterrupt
        return encode(self, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(type(base), "encode_images", dies_later)
        with pytest.raises(KeyboardInterrupt):
            latents(source, base)
    counted = []
    monkeypatch.setattr(type(base), "encode_images", lambda s, p: counted.append(len(p)) or encode(s, p))
    resumed = latents(source, base)
    assert sum(counted) == 160 - CHUNK - 1  # the first chunk is kept; of the rest one image is broken
    assert torch.equal(resumed.moments, whole.moments)
    assert (resumed.labels == whole.labels).all() and (resumed.labels == -1).sum() == 2


def test_other_data_model_or_resolution_has_another_cache(photos, base, tmp_path, tiny_base):
    found = latents(open_dataset(str(photos)), base)
    other = load_base(str(tiny.tiny_base(tmp_path / "other", seed=5)))
    assert not torch.equal(latents(open_dataset(str(photos)), other).moments, found.moments)
    smaller = LatentBank.build(open_dataset(str(photos)), base, resolution=8, max_broken=0)
    assert smaller.moments.shape[-1] == 4


def test_broken_images_are_named_counted_and_skipped_up_to_a_limit(tmp_path, base, capsys):
    folder = tiny.image_folder(tmp_path / "p", {"a": 6, "b": 6})
    for i in range(3):
        (folder / "a" / f"{i:03d}.png").write_bytes(b"\x89PNG broken")
    source = open_dataset(str(folder))
    found = latents(source, base, max_broken=3)
    assert len(found.members[0]) == 3
    assert "skipped 3 of 12 images" in capsys.readouterr().err
    with pytest.raises(
        DataError, match=r"3 images cannot be read, over the limit of --max-broken 2; the first: .*000"
    ):
        latents(source, base, max_broken=2)


def test_class_whose_images_are_all_broken(tmp_path, base):
    folder = tiny.image_folder(tmp_path / "p", {"a": 4, "b": 2})
    for path in (folder / "b").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no image can be read of the class 'b'"):
        latents(open_dataset(str(folder)), base)


def test_grey_and_sizes_are_noticed(tmp_path, base):
    grey = tiny.image_folder(tmp_path / "grey", {"a": 3, "b": 3}, size=20, grey=True)
    found = latents(open_dataset(str(grey)), base)
    assert found.grey and found.native_size == (20, 20)
    tiny.image_folder(grey, {"a": 1}, size=24)
    found = latents(open_dataset(str(grey)), base)
    assert not found.grey and found.native_size is None


def test_cache_names_only_fingerprints(photos, base):
    latents(open_dataset(str(photos)), base)
    for state in cache_root().rglob("state.json"):
        assert str(photos) not in state.read_text()
        assert json.loads(state.read_text())["rows"] == 27
