"""Pictures that are not square: how they become squares, and their proportions again."""

import json

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mvc_hf.config.recipe import Recipe
from mvc_hf.data.decoding import content_box, square, unsquare
from mvc_hf.data.loading import open_dataset
from mvc_hf.data.view import ViewConfig
from mvc_hf.diffusion.banks.latents import LatentBank
from mvc_hf.diffusion.model import load_base
from mvc_hf.generation.generate import generate
from mvc_hf.training.finetune import finetune


def wide_folder(folder, size=(32, 16), count=12):
    """Red on the left, blue on the right, green between them."""
    width, height = size
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = Image.new("RGB", size, (0, 255 - i, 0))
            image.paste((255 - i, 0, 0), (0, 0, width // 4, height))
            image.paste((0, 0, 255 - i), (width - width // 4, 0, width, height))
            image.save(folder / name / f"{i:02d}.png")
    return folder


@pytest.fixture
def wide():
    image = Image.new("RGB", (32, 16), "lime")
    image.paste("red", (0, 0, 8, 16))
    image.paste("blue", (24, 0, 32, 16))
    return image


def test_crop_takes_the_middle(wide):
    assert np.asarray(square(wide, 16)).reshape(-1, 3).tolist() == [[0, 255, 0]] * 256


def test_pad_keeps_all_of_it_between_bars(wide):
    found = np.asarray(square(wide, 32, "pad"))
    assert (found[:8] == 0).all() and (found[24:] == 0).all()
    assert (found[8:24] == np.asarray(wide)).all()


def test_stretch_keeps_all_of_it_without_bars(wide):
    found = np.asarray(square(wide, 32, "stretch"))
    assert found[:, 2].tolist() == [[255, 0, 0]] * 32 and found[:, 29].tolist() == [[0, 0, 255]] * 32


@pytest.mark.parametrize("fit", ["pad", "stretch"])
@pytest.mark.parametrize("size", [(40, 20), (20, 40), (30, 30), (64, 48), (48, 64)])
def test_back_and_forth(fit, size):
    """Smooth pictures come back, up to what resampling takes."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    picture = np.stack([255 * x / size[0], 255 * y / size[1], 0 * x + 100], -1).astype(np.uint8)
    again = unsquare(square(Image.fromarray(picture), 64, fit), size, fit)
    assert again.size == size
    assert np.abs(np.asarray(again).astype(int) - picture)[2:-2, 2:-2].max() <= 8


@pytest.mark.parametrize("size", [(64, 32), (32, 64), (64, 64)])
def test_what_has_the_size_already_comes_back_bit_for_bit(size):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    assert unsquare(square(image, 64, "pad"), size, "pad").tobytes() == image.tobytes()


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(8, 512))
def test_the_content_lies_in_the_middle_of_the_square(width, height, side):
    left, top, right, bottom = content_box((width, height), side)
    assert 0 <= left < right <= side and 0 <= top < bottom <= side
    assert max(right - left, bottom - top) == side
    assert abs((side - right) - left) <= 1 and abs((side - bottom) - top) <= 1


def test_latents_of_each_fit_are_kept_apart(tiny_base, tmp_path):
    folder, base = wide_folder(tmp_path / "wide", count=2), load_base(str(tiny_base))
    banks = {}
    for fit in ("crop", "pad", "stretch"):
        source = open_dataset(str(folder), view=ViewConfig(fit=fit))
        banks[fit] = LatentBank.build(source, base, resolution=16, max_broken=0)
        pixels = np.asarray(square(source.image(3), 16, fit), np.float32) / 127.5 - 1
        mean, _ = base.encode_images(torch.from_numpy(pixels).permute(2, 0, 1)[None])
        torch.testing.assert_close(banks[fit].mode(np.array([3])), mean, atol=2e-3, rtol=2e-3)
    assert not torch.equal(banks["pad"].moments, banks["stretch"].moments)
    plain = LatentBank.build(open_dataset(str(folder)), base, resolution=16, max_broken=0)
    assert torch.equal(plain.moments, banks["crop"].moments)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_the_proportions_come_back(tiny_base, tmp_path, fit):
    folder = wide_folder(tmp_path / "wide", size=(40, 20))
    settings = {"train_batch_size": 4, "max_train_steps": 1, "fit": fit}
    finetune(Recipe(dataset=str(folder), base=str(tiny_base), **settings), tmp_path / "checkpoint")
    recipe = {"dataset": str(folder), "images_per_class": 1, "num_inference_steps": 1}
    generate(Recipe(**recipe), tmp_path / "checkpoint", tmp_path / "out")
    generate(Recipe(**recipe, image_size=24), tmp_path / "checkpoint", tmp_path / "small")
    sizes = [
        {i.size for i in datasets.load_dataset(str(tmp_path / n), split="train")["image"]} for n in ("out", "small")
    ]
    assert sizes == [{(40, 20)}, {(24, 24)} if fit == "crop" else {(24, 12)}]
    made_from = json.loads((tmp_path / "out" / "manifest.json").read_text())["made_from"]
    assert made_from.get("fit", "crop") == fit
    assert json.loads((tmp_path / "checkpoint" / "mvc.json").read_text())["recipe"]["fit"] == fit


def test_bars_do_not_come_out(tiny_base, tmp_path, monkeypatch):
    """What the model paints between the bars fills the picture."""
    folder = wide_folder(tmp_path / "wide", size=(40, 20))
    settings = {"train_batch_size": 4, "max_train_steps": 1, "fit": "pad"}
    finetune(Recipe(dataset=str(folder), base=str(tiny_base), **settings), tmp_path / "checkpoint")
    from mvc_hf.diffusion.model import StableDiffusion

    def painted(self, latents):
        side = latents.shape[-1] * self.vae_factor
        square_ = torch.zeros(len(latents), side, side, 3, dtype=torch.uint8)
        square_[:, side // 4 : side - side // 4] = 200
        return square_

    monkeypatch.setattr(StableDiffusion, "decode_latents", painted)
    recipe = Recipe(dataset=str(folder), images_per_class=1, num_inference_steps=1)
    generate(recipe, tmp_path / "checkpoint", tmp_path / "out")
    for image in datasets.load_dataset(str(tmp_path / "out"), split="train")["image"]:
        assert image.size == (40, 20) and set(np.asarray(image).ravel().tolist()) == {200}
