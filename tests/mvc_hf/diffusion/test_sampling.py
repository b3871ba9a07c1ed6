"""The sampler: the same pictures as diffusers' own pipeline, from any step of a schedule on."""

import diffusers
import pytest
import torch
from peers import assert_same, inputs, ours, theirs

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


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "EulerDiscreteScheduler", "DDIMScheduler"])
@pytest.mark.parametrize("scales", [(7.5, None), (7.5, 7.5), (7.5, 1.5), (3.0, 2.0), (1.0, 1.0), (1.0, None)])
def test_same_image_as_the_diffusers_pipeline(pix2pix, name, scales):
    folder, base = pix2pix
    text, image = scales
    scheduler = lambda: make_scheduler(name, base.scheduler.config)  # noqa: E731
    assert_same(
        ours(base, scheduler(), Guidance(text, image)),
        theirs(folder, scheduler(), text, image if image is not None else text),
    )


def test_guidance_takes_no_more_passes_than_the_scales_need():
    assert len(Guidance(7.5).passes) == 2
    assert len(Guidance(7.5, 1.5).passes) == 3
    assert len(Guidance(7.5, 7.5).passes) == 2  # the three-way rule with equal scales is Eq. 6
    assert len(Guidance(1.0).passes) == len(Guidance(1.0, 1.0).passes) == 1


def test_three_way_rule_with_equal_scales_is_eq_6():
    u, i, c = torch.randn(3, 2, 4, 8, 8, dtype=torch.float64)
    w = 7.5
    three_way = u + w * (i - u) + w * (c - i)
    torch.testing.assert_close(Guidance(w).combine((u, c)), three_way)
    torch.testing.assert_close(Guidance(w, 1.5).combine((u, i, c)), u + 1.5 * (i - u) + w * (c - i))


def test_rows_of_a_batch_do_not_see_each_other(pix2pix):
    _, base = pix2pix
    scheduler = make_scheduler("DPMSolverMultistepScheduler", base.scheduler.config)
    latents, text, null, image = inputs()
    run = lambda rows: sample(  # noqa: E731
        base.unet, scheduler, latents[rows], text[rows], null, image[rows], Guidance(3.0), num_inference_steps=4
    )
    torch.testing.assert_close(run([0, 1, 2])[1:2], run([1]), atol=1e-4, rtol=1e-4)


def test_schedulers_that_add_noise_take_a_generator_for_each_row(pix2pix):
    _, base = pix2pix
    scheduler = make_scheduler("EulerAncestralDiscreteScheduler", base.scheduler.config)
    seeds = lambda: [torch.Generator().manual_seed(i) for i in range(3)]  # noqa: E731
    first, second = (ours(base, scheduler, Guidance(2.0), generators=seeds()) for _ in range(2))
    assert (first == second).all()


def test_latents_are_never_clipped():
    config = diffusers.DDIMScheduler(clip_sample=True).config
    assert not make_scheduler("DDIMScheduler", config).config.clip_sample


def test_unknown_scheduler():
    with pytest.raises(RecipeError, match="'Sampler9000'"):
        make_scheduler("Sampler9000", {})


class Alternating:
    """A U-Net whose prediction depends on what it is told; notes how many rows it is asked for in each step."""

    dtype = torch.float32

    def __init__(self):
        self.rows = []

    def __call__(self, z, t, encoder_hidden_states, **_):
        self.rows.append(len(z))
        latents, image = z.chunk(2, dim=1)
        return (0.1 * latents + 0.2 * image + encoder_hidden_states.mean(dim=(1, 2))[:, None, None, None],)


def guided(guidance, name="DDIMScheduler", steps=10, **options):
    unet = Alternating()
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    text, null = torch.full((2, 3, 5), 0.3), torch.full((3, 5), -0.1)
    found = sample(
        unet, make_scheduler(name, CONFIG), NOISE, text, null, PICTURE, guidance,
        num_inference_steps=steps, generators=generators, **options,
    )  # fmt: skip
    return found, [rows // 2 for rows in unet.rows]


@pytest.mark.parametrize(
    ("start", "stop", "passes"),
    [
        (0.0, 1.0, [2] * 10),
        (0.2, 0.8, [1] * 2 + [2] * 6 + [1] * 2),
        (0.0, 0.55, [2] * 5 + [1] * 5),
        (0.99, 1.0, [1] * 9 + [2]),
        (0.0, 0.05, [1] * 10),
    ],
)
def test_outside_its_interval_guidance_takes_one_pass(start, stop, passes):
    guidance = Guidance(7.5, None, start, stop)
    found, seen = guided(guidance)
    assert seen == passes and sum(seen) == guidance.passes_in(0, 10)
    whole, none = guided(Guidance(7.5))[0], guided(Guidance(1.0))[0]
    assert torch.equal(found, whole) == (passes == [2] * 10)
    assert torch.equal(found, none) == (passes == [1] * 10)


def test_the_interval_is_counted_as_the_guiders_of_diffusers_count_it():
    from diffusers.guiders import ClassifierFreeGuidance

    for start, stop, steps in [(0.2, 0.8, 10), (0.15, 0.9, 25), (0.29, 0.57, 100), (0.0, 1.0, 7)]:
        theirs, ours = ClassifierFreeGuidance(7.5, start=start, stop=stop), Guidance(7.5, None, start, stop)
        for step in range(steps):
            theirs.set_state(step, steps, torch.tensor(0))
            assert ours.acts_on(step, steps) == (theirs.num_conditions == 2), (start, stop, step)


def test_three_ways_outside_the_interval_are_one_pass_too():
    _, seen = guided(Guidance(7.5, 1.5, 0.5, 1.0))
    assert seen == [1] * 5 + [3] * 5


def test_the_interval_is_of_the_whole_schedule_where_it_is_begun_later():
    _, seen = guided(Guidance(7.5, None, 0.0, 0.5), start_step=4)
    assert seen == [2, 1, 1, 1, 1, 1] and Guidance(7.5, None, 0.0, 0.5).passes_in(4, 10) == sum(seen)


@pytest.mark.parametrize(
    "name", ["HeunDiscreteScheduler", "DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler"]
)
def test_every_kind_of_scheduler_bears_it(name):
    found, seen = guided(Guidance(3.0, None, 0.25, 0.75), name)
    assert found.isfinite().all() and set(seen) == {1, 2}
