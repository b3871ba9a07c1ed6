"""Eq. 1 to 4 on numbers that can be checked by hand, and against diffusers' noise schedule."""

import diffusers
import numpy as np
import pytest
import torch

from mvc_hf.training.objective import (
    Batch,
    denoising_loss,
    drop_conditions,
    noisy_latents,
    snr_weights,
    training_target,
)

ALPHAS = torch.tensor([1.0, 0.64, 0.36, 0.0])  # √ᾱ = 1, 0.8, 0.6, 0 and √(1 − ᾱ) = 0, 0.6, 0.8, 1


def images(*values):
    """Latents of one channel and one pixel."""
    return torch.tensor(values)[:, None, None, None]


def random_batch(size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z0, noise, e_i = torch.randn(3, size, 4, 2, 2, generator=generator)
    t = torch.randint(0, 1000, (size,), generator=generator)
    return Batch(z0, noise, t, e_i, torch.randn(size, 6, 8, generator=generator))


def test_eq_1():
    z_t = noisy_latents(ALPHAS, images(10.0, 10.0, 10.0, 10.0), images(1.0, 2.0, 3.0, 4.0), torch.arange(4))
    torch.testing.assert_close(z_t, images(10.0, 8.0 + 1.2, 6.0 + 2.4, 4.0))


def test_the_target_is_the_noise_where_the_base_predicts_it():
    noise = images(1.0, 2.0)
    assert training_target("epsilon", ALPHAS, images(10.0, 10.0), noise, torch.tensor([1, 2])) is noise


def test_the_target_is_v_where_the_base_predicts_that():
    v = training_target("v_prediction", ALPHAS, images(10.0, 10.0), images(1.0, 2.0), torch.tensor([1, 2]))
    torch.testing.assert_close(v, images(0.8 * 1 - 0.6 * 10, 0.6 * 2 - 0.8 * 10))


@pytest.mark.parametrize("zero_snr", [False, True])
def test_the_same_as_diffusers_to_the_last_bit(zero_snr):
    scheduler = diffusers.DDPMScheduler(beta_schedule="scaled_linear", rescale_betas_zero_snr=zero_snr)
    batch = random_batch()
    terms = batch.latents, batch.noise, batch.timesteps
    assert torch.equal(noisy_latents(scheduler.alphas_cumprod, *terms), scheduler.add_noise(*terms))
    v = training_target("v_prediction", scheduler.alphas_cumprod, *terms)
    assert torch.equal(v, scheduler.get_velocity(*terms))


@pytest.mark.parametrize(
    ("kind", "loss"), [("epsilon", (3.0**2 + 1.0**2) / 2), ("v_prediction", (9.2**2 + 10.2**2) / 2)]
)
def test_eq_4_is_the_mean_squared_error_of_the_prediction(kind, loss):
    """A U-Net that always predicts 4, where ε is 1 and 3, and v is −5.2 and −6.2."""
    batch = Batch(images(10.0, 10.0), images(1.0, 3.0), torch.tensor([1, 2]), images(0.0, 0.0), torch.zeros(2, 1, 1))
    four = lambda latents, *_, **__: (torch.full_like(latents[:, :1], 4.0),)  # noqa: E731
    torch.testing.assert_close(denoising_loss(four, ALPHAS, kind, batch), torch.tensor(loss))


def test_the_unet_sees_noisy_latents_beside_those_of_the_condition_and_the_text():
    batch, seen = random_batch(), []
    alphas = torch.linspace(0.99, 0.01, 1000)

    def unet(latents, timesteps, *, encoder_hidden_states, return_dict):
        seen.append((latents, timesteps, encoder_hidden_states))
        return (latents[:, :4],)

    denoising_loss(unet, alphas, "epsilon", batch)
    ((latents, timesteps, text),) = seen
    assert torch.equal(latents[:, :4], noisy_latents(alphas, batch.latents, batch.noise, batch.timesteps))
    assert torch.equal(latents[:, 4:], batch.image_latents)  # as they are: neither noisy nor scaled
    assert torch.equal(timesteps, batch.timesteps) and torch.equal(text, batch.prompt_embeds)


def test_gradients_reach_the_unet_and_nothing_else():
    weight = torch.ones(4, requires_grad=True)
    loss = denoising_loss(
        lambda latents, *_, **__: (latents[:, :4] * weight[:, None, None],),
        torch.linspace(0.99, 0.01, 1000), "epsilon", random_batch(),
    )  # fmt: skip
    loss.backward()
    assert (weight.grad != 0).all()


def test_text_both_and_image_are_dropped_in_thirds():
    batch = Batch(*(torch.ones(7, 1, 1, 1) for _ in range(4)), prompt_embeds=torch.ones(7, 2, 3))
    chance = torch.tensor([0.0, 0.09, 0.1, 0.19, 0.2, 0.29, 0.31])
    dropped = drop_conditions(batch, torch.full((2, 3), -1.0), chance, 0.1)
    assert (dropped.prompt_embeds[:, 0, 0] == -1).tolist() == [True, True, True, True, False, False, False]
    assert (dropped.image_latents.flatten() == 0).tolist() == [False, False, True, True, True, True, False]
    assert dropped.latents is batch.latents and dropped.noise is batch.noise and dropped.timesteps is batch.timesteps


def test_nothing_is_dropped_where_the_probability_is_zero():
    batch = random_batch()
    same = drop_conditions(batch, torch.zeros(6, 8), torch.zeros(6), 0.0)
    assert torch.equal(same.prompt_embeds, batch.prompt_embeds)
    assert torch.equal(same.image_latents, batch.image_latents)


def test_conditions_are_dropped_as_often_as_asked():
    batch = Batch(*(torch.ones(6000, 1, 1, 1) for _ in range(4)), prompt_embeds=torch.ones(6000, 1, 1))
    chance = torch.from_numpy(np.random.default_rng(0).random(6000))
    dropped = drop_conditions(batch, torch.zeros(1, 1), chance, 0.1)
    no_text, no_image = dropped.prompt_embeds.flatten() == 0, dropped.image_latents.flatten() == 0
    for share in (no_text & ~no_image, no_text & no_image, ~no_text & no_image):
        assert share.float().mean() == pytest.approx(0.1, abs=0.015)


def test_a_batch_splits_into_its_samples_in_order():
    batch = random_batch(5)
    pieces = list(batch.split(2))
    assert list(map(len, pieces)) == [2, 2, 1] and len(batch) == 5
    for name, value in vars(batch).items():
        assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), value)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_weights_are_those_of_the_training_scripts_of_diffusers(kind):
    from diffusers import DDPMScheduler
    from diffusers.training_utils import compute_snr

    scheduler, timesteps = DDPMScheduler(), torch.tensor([0, 1, 400, 999])
    snr = compute_snr(scheduler, timesteps)
    theirs = torch.stack([snr, 5.0 * torch.ones(4)], dim=1).min(dim=1)[0] / (snr + (kind == "v_prediction"))
    found = snr_weights(kind, scheduler.alphas_cumprod, timesteps, 5.0)
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-6)


def test_a_large_gamma_weighs_nothing_and_a_small_one_the_clean_samples_least():
    alphas = torch.tensor([0.99, 0.5, 0.01])
    parts = {name: torch.zeros(3, 4, 2, 2) for name in ("latents", "image_latents")}
    batch = Batch(**parts, noise=torch.ones(3, 4, 2, 2), timesteps=torch.arange(3), prompt_embeds=torch.zeros(3, 1, 1))
    unet = lambda z, *_, **__: (torch.zeros_like(z[:, :4]),)  # noqa: E731
    plain = denoising_loss(unet, alphas, "epsilon", batch)
    torch.testing.assert_close(denoising_loss(unet, alphas, "epsilon", batch, 1e6), plain)
    torch.testing.assert_close(denoising_loss(unet, alphas, "epsilon", batch, 1.0), (1 / 99 + 1 + 1) / 3 * plain)
