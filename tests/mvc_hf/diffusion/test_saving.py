"""What is saved is a pipeline of plain diffusers, and says nothing of the machine."""

import json
import shutil

import diffusers
import pytest
import tiny
import torch
from peers import assert_same, ours, theirs

from mvc_hf.diffusion.model import load_base
from mvc_hf.diffusion.sampling import Guidance, make_scheduler, sample
from mvc_hf.diffusion.saving import save_pipeline
from mvc_hf.diffusion.unet import widen_unet


def test_saved_pipeline_is_loaded_by_plain_diffusers_and_makes_the_same_image(tiny_base, tmp_path):
    base = load_base(str(tiny_base))
    torch.manual_seed(0)
    widen_unet(base.unet)
    torch.nn.init.normal_(base.unet.conv_in.weight)
    save_pipeline(base, base.unet, tmp_path / "saved")
    scheduler = lambda: make_scheduler("DPMSolverMultistepScheduler", base.scheduler.config)  # noqa: E731
    assert_same(ours(base, scheduler(), Guidance(7.5, 1.5)), theirs(tmp_path / "saved", scheduler(), 7.5, 1.5))


@pytest.mark.parametrize(("channels", "widened"), [(12, 24), (24, 24)])
def test_latents_of_any_number_of_channels(tmp_path, channels, widened):
    """Nothing but the autoencoder says how many: from the latents of an image to a pipeline of plain diffusers."""
    folder = tiny.tiny_base(tmp_path / "base", in_channels=channels, latent_channels=12)
    base = load_base(str(folder))
    save_pipeline(base, widen_unet(base.unet), tmp_path / "saved")
    saved = load_base(str(tmp_path / "saved"))
    assert saved.unet.config.in_channels == widened
    mean, _ = saved.encode_images(torch.zeros(1, 3, 16, 16))
    assert mean.shape == (1, 12, 8, 8)
    text = torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(0))
    latents = torch.randn(1, 12, 8, 8, generator=torch.Generator().manual_seed(1))
    scheduler = make_scheduler("DDIMScheduler", saved.scheduler.config)
    found = sample(saved.unet, scheduler, latents, text, text[0], mean, Guidance(1.0), num_inference_steps=2)
    pipeline = diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained(tmp_path / "saved")
    pipeline.scheduler = make_scheduler("DDIMScheduler", saved.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        image=torch.full((1, 3, 16, 16), 0.5), latents=latents, prompt_embeds=text, num_inference_steps=2,
        guidance_scale=1.0, image_guidance_scale=1.0, output_type="latent",
    ).images  # fmt: skip
    assert torch.allclose(found, theirs, atol=1e-4)


def test_saved_pipeline_has_no_pickle_and_no_local_path(tiny_base, tmp_path):
    base = load_base(str(tiny_base))
    save_pipeline(base, widen_unet(base.unet), tmp_path / "saved")
    files = [p for p in (tmp_path / "saved").rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".json", ".safetensors"}
    for path in files:
        assert str(tiny_base.parent).encode() not in path.read_bytes(), path
    index = json.loads((tmp_path / "saved" / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionInstructPix2PixPipeline"
    assert index["scheduler"][1] == "PNDMScheduler"  # the base's own


def test_a_base_whose_scheduler_cannot_be_made_here_is_saved_with_another(tiny_base, tmp_path, monkeypatch):
    """LMS without scipy: found after all training, once."""
    from diffusers.utils.dummy_torch_and_scipy_objects import LMSDiscreteScheduler as stand_in

    folder = shutil.copytree(tiny_base, tmp_path / "base")
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"_class_name": "LMSDiscreteScheduler"}))
    monkeypatch.setattr(diffusers, "LMSDiscreteScheduler", stand_in)
    base = load_base(str(folder))
    save_pipeline(base, widen_unet(base.unet), tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "model_index.json").read_text())["scheduler"][1] == "DDIMScheduler"


def test_what_was_done_with_the_model_before_leaves_no_trace(tiny_base, tmp_path):
    """Fast tokenizers keep how their last call padded and cut, and save it: equal models make equal files."""
    fresh, used = load_base(str(tiny_base)), load_base(str(tiny_base))
    used.tokenizer(["a", "a longer one"], padding="max_length", max_length=9, truncation=True)
    for base, name in ((fresh, "fresh"), (used, "used")):
        save_pipeline(base, base.unet, tmp_path / name)
    files = [path.relative_to(tmp_path / "fresh") for path in (tmp_path / "fresh").rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        assert (tmp_path / "fresh" / path).read_bytes() == (tmp_path / "used" / path).read_bytes(), path
