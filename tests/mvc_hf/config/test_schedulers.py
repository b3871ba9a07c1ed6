"""The list of schedulers against all that diffusers has, each asked to find a picture that it is told the way to."""

import inspect

import diffusers
import pytest
import torch
from diffusers.utils import logging

from mvc_hf.config.recipe import Recipe
from mvc_hf.config.schedulers import SCHEDULERS, check_scheduler
from mvc_hf.diffusion.sampling import make_scheduler
from mvc_hf.errors import RecipeError

KNOWN = sorted(
    name for name in dir(diffusers) if name.endswith("Scheduler") and inspect.isclass(getattr(diffusers, name))
)
PICTURE = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))


def config(prediction_type, **more):
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    return diffusers.DDPMScheduler(**schedule | more, prediction_type=prediction_type).config


def distance(name, prediction_type, steps=20):
    """How far from the picture a scheduler ends under a model that knows it; a message where it cannot even try."""
    alphas = diffusers.DDPMScheduler.from_config(config(prediction_type)).alphas_cumprod.log()

    def predicted(z, t):
        at = torch.as_tensor(t, dtype=torch.float32).clamp(0, 999)
        low = at.floor().long()
        a = torch.lerp(alphas[low], alphas[(low + 1).clamp(max=999)], at - low).exp()
        noise = (z - a.sqrt() * PICTURE) / (1 - a).sqrt()
        return noise if prediction_type == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * PICTURE

    cls = getattr(diffusers, name)
    options = {"clip_sample": False} if "clip_sample" in inspect.signature(cls.__init__).parameters else {}
    scheduler = cls.from_config(config(prediction_type), **options)
    scheduler.set_timesteps(steps)
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    options = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
    z = torch.randn(PICTURE.shape, generator=generators[0]) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        z = scheduler.step(predicted(scheduler.scale_model_input(z, t), t), t, z, return_dict=False, **options)[0]
    return (z - PICTURE).abs().mean().item()


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_those_of_the_list_find_the_picture_and_the_others_do_not(prediction_type):
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    found = {}
    for name in KNOWN:
        try:
            found[name] = distance(name, prediction_type)
        except Exception:  # what a scheduler for something else makes of it is an open set
            found[name] = torch.inf
    logging.set_verbosity(level)
    here = [name for name in SCHEDULERS if not getattr(getattr(diffusers, name, None), "_backends", [])[1:]]
    assert {name: found[name] for name in here if not found[name] < 0.05} == {}
    # CogVideoX's comes near, on another noise schedule than the base's; DPMSolverSDE draws noise for a whole batch.
    apart = ("CogVideoXDDIMScheduler", "DPMSolverSDEScheduler")
    assert [name for name in KNOWN if found[name] < 0.05 and name not in (*SCHEDULERS, *apart)] == []


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_one_is_made_for_few_steps_or_says_why_not(name, steps):
    if hasattr(getattr(diffusers, name), "_backends"):
        pytest.skip("lacks a package here")
    try:
        scheduler = make_scheduler(name, config("v_prediction"), steps)
    except RecipeError as error:
        assert f"--scheduler {name} does not take {steps} steps" in str(error) and "\n" not in str(error)
    else:
        assert len(scheduler.timesteps) >= steps


@pytest.mark.parametrize("name", [name for name in KNOWN if name not in SCHEDULERS] + ["Sampler9000", "", "DDIM"])
def test_others_are_refused_by_name_before_anything_is_loaded(name):
    with pytest.raises(RecipeError, match="none that samples from a base which predicts ε or v"):
        Recipe(scheduler=name)


def test_the_nearest_is_named():
    with pytest.raises(RecipeError, match="did you mean DPMSolverMultistepScheduler"):
        check_scheduler("DPMSolverMultiStepScheduler")
    with pytest.raises(RecipeError, match="take one of DDIMParallelScheduler, DDIMScheduler"):
        check_scheduler("FlowMatchEulerDiscreteScheduler")


def test_a_package_that_is_missing_is_named(monkeypatch):
    """Without scipy, diffusers has a class of that name that cannot be made."""
    from diffusers.utils.dummy_torch_and_scipy_objects import LMSDiscreteScheduler as stand_in

    monkeypatch.setattr(diffusers, "LMSDiscreteScheduler", stand_in)
    with pytest.raises(
        RecipeError, match="LMSDiscreteScheduler needs scipy, which is not installed: pip install scipy"
    ):
        make_scheduler("LMSDiscreteScheduler", config("epsilon"), 5)


def test_a_scheduler_that_the_installed_diffusers_lacks(monkeypatch):
    monkeypatch.setattr(diffusers, "TCDScheduler", None)
    with pytest.raises(RecipeError, match="'TCDScheduler' is not in diffusers"):
        make_scheduler("TCDScheduler", config("epsilon"))


def test_too_many_steps():
    with pytest.raises(RecipeError, match="DDIMScheduler does not take 1000 steps on the base's noise schedule"):
        make_scheduler("DDIMScheduler", config("epsilon", num_train_timesteps=100), 1000)


def test_a_division_by_zero_is_found_before_anything_is_spent():
    """ε at a timestep without signal says nothing of the picture: public reports have black images from it."""
    without_signal = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    with pytest.raises(RecipeError, match=r"not finite from denoising step 1 of 5 on.*--scheduler DDIMScheduler"):
        make_scheduler("DDIMScheduler", config("epsilon", **without_signal), 5)
    make_scheduler("DDIMScheduler", config("v_prediction", **without_signal), 5)
