"""Sampling from a later step of the schedule on (image to image)."""

import diffusers
import pytest
import torch

from mvc_hf.config.schedulers import SCHEDULERS
from mvc_hf.diffusion.sampling import Guidance, make_scheduler, noised, sample, steps_from
from mvc_hf.errors import RecipeError

PICTURE = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
NOISE = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "skip_prk_steps": True,
}
CONFIG = diffusers.PNDMScheduler(**SCHEDULE).config


class KnowsThePicture:
    """A U-Net that predicts the noise over a picture it knows; notes the timesteps."""

    dtype = torch.float32

    def __init__(self):
        self.alphas, self.seen = diffusers.DDPMScheduler.from_config(CONFIG).alphas_cumprod.log(), []

    def __call__(self, z, t, **_):
        self.seen.append(float(t))
        at = torch.as_tensor(t, dtype=torch.float32).clamp(0, 999)
        low = at.floor().long()
        a = torch.lerp(self.alphas[low], self.alphas[(low + 1).clamp(max=999)], at - low).exp()
        return ((z - a.sqrt() * PICTURE) / (1 - a).sqrt(),)


def denoised(scheduler, latents, start_step, steps=20):
    unet = KnowsThePicture()
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    found = sample(
        unet, scheduler, latents, torch.zeros(2, 1, 1), torch.zeros(1, 1), None, Guidance(1.0),
        num_inference_steps=steps, start_step=start_step, generators=generators,
    )  # fmt: skip
    return found, unet.seen


@pytest.mark.parametrize("start_step", [8, 19])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_noised_picture_is_found_again_in_the_steps_that_are_left(name, start_step):
    if hasattr(getattr(diffusers, name), "_backends"):
        pytest.skip("lacks a package here")
    scheduler = make_scheduler(name, CONFIG, 20)
    start = noised(scheduler, PICTURE, NOISE, start_step, 20)
    assert (start - PICTURE).abs().mean() > 0.005
    found, seen = denoised(scheduler, start, start_step)
    assert (found - PICTURE).abs().mean() < 0.05
    assert len(seen) == steps_from(scheduler, start_step) == len(scheduler.timesteps) - start_step * scheduler.order
    whole, from_noise = denoised(scheduler, NOISE, 0)  # the same scheduler, from its first step on again
    assert from_noise == scheduler.timesteps.tolist() and seen == from_noise[-len(seen) :]
    assert (whole - PICTURE).abs().mean() < 0.05


def test_runge_kutta_steps_come_first_or_not_at_all():
    scheduler = make_scheduler("PNDMScheduler", {**CONFIG, "skip_prk_steps": False}, 20)
    with pytest.raises(RecipeError, match=r"PNDMScheduler starts with Runge-Kutta steps .* cannot begin at step 8"):
        noised(scheduler, PICTURE, NOISE, 8, 20)


def test_a_schedule_that_is_too_short_is_one_line():
    scheduler = make_scheduler("DDIMScheduler", CONFIG, 4)
    for start_step in (4, -1):
        with pytest.raises(RecipeError, match=f"begins at step {start_step} of a schedule of 4 steps: take more"):
            noised(scheduler, PICTURE, NOISE, start_step, 4)
        with pytest.raises(RecipeError, match="--num-inference-steps"):
            denoised(scheduler, PICTURE, start_step, steps=4)
