"""Sampling (Eq. 5) with guidance (Eq. 6).

Notation of the paper: z_t noisy latents, e_T text (prompt) embeddings, e_I latents of the condition image, ∅ the null
text and zero image latents, w the guidance scale.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..config.schedulers import check_scheduler
from ..errors import DivergedError, RecipeError
from ..utils.text import reason
from .finite import all_finite


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def make_scheduler(name: str, config: dict[str, Any], num_inference_steps: int | None = None) -> Any:
    """A diffusers scheduler by class name, for a base's noise schedule.

    With a number of steps it is led through all of them, with a stand-in for the model, so that what it does not take
    is heard before anything is spent.

    Raises:
        RecipeError: it is none for such a base, is not in the installed diffusers or lacks what it is made with, does
            not take the number of steps, or divides by zero on the base's noise schedule.
    """
    import diffusers

    check_scheduler(name)
    cls = getattr(diffusers, name, None)
    if missing := [package for package in getattr(cls, "_backends", ()) if package != "torch"]:
        raise RecipeError(  # in its place diffusers has put a class that cannot be made
            f"--scheduler {name} needs {' and '.join(missing)}, which is not installed: pip install "
            f"{' '.join(missing)}, or take EulerDiscreteScheduler"
        )
    if cls is None:
        raise RecipeError(
            f"--scheduler {name!r} is not in diffusers {diffusers.__version__}; try EulerDiscreteScheduler"
        )
    options = {}
    if "clip_sample" in inspect.signature(cls.__init__).parameters:
        options["clip_sample"] = False  # latents are not pixels: clipping them to [-1, 1] destroys them
    try:
        scheduler = cls.from_config(config, **options)
        if num_inference_steps is not None:
            _walk_through(scheduler, num_inference_steps)
    except RecipeError:
        raise
    except Exception as error:  # each scheduler has its own way of saying no
        steps = f"{num_inference_steps} steps on " if num_inference_steps is not None else ""
        raise RecipeError(
            f"--scheduler {name} does not take {steps}the base's noise schedule ({reason(error)}): take another "
            "--scheduler or --num-inference-steps"
        ) from error
    return scheduler


class _Echo:
    """In the place of a U-Net: what it is given is its prediction."""

    dtype = torch.float32

    def __call__(self, unet_input: torch.Tensor, timestep: Any, **_: Any) -> tuple[torch.Tensor]:
        return (unet_input,)


def _walk_through(scheduler: Any, steps: int) -> None:
    """All steps, with one number for latents and a model that gives it back. Raises RecipeError where that breaks."""

    one = torch.ones(1, 1, 1, 1)
    try:
        sample(
            _Echo(), scheduler, one, torch.zeros(1, 1, 1), torch.zeros(1, 1), None, Guidance(1.0),
            num_inference_steps=steps, generators=[torch.Generator().manual_seed(0)],
        )  # fmt: skip
    except DivergedError as error:
        raise RecipeError(str(error)) from error
    scheduler.set_timesteps(steps)


CONDITIONAL = ((True, True),)  # the pass that is left where guidance does not act


@dataclass
class Guidance:
    """Which passes of the U-Net a step takes, and how their predictions become one.

    With no scale of its own for the image it is Eq. 6, ε = ε(∅, ∅) + w (ε(e_I, e_T) − ε(∅, ∅)); with one it is
    InstructPix2Pix's Eq. 3. Where the two scales are equal the two rules are the same, and where both are 1 only the
    conditional pass is left: it takes as few passes as the scales allow.

    Of a schedule's steps it acts on those from the share `start` on, up to the share `stop`, as the guiders of
    diffusers count them; on the others the conditional prediction stands alone, and takes one pass.
    """

    text: float
    image: float | None = None
    start: float = 0.0
    stop: float = 1.0

    @property
    def passes(self) -> tuple[tuple[bool, bool], ...]:
        """(with image, with text) of each pass."""
        if self.image is None or self.image == self.text:
            return CONDITIONAL if self.text == 1 else ((False, False), (True, True))
        return ((False, False), (True, False), (True, True))

    def acts_on(self, step: int, steps: int) -> bool:
        """Whether it acts on a step, counted from 0, of so many."""
        return int(self.start * steps) <= step < int(self.stop * steps)

    def passes_in(self, first: int, steps: int) -> int:
        """Passes of the U-Net from a step on to the last of so many."""
        return sum(len(self.passes) if self.acts_on(step, steps) else 1 for step in range(first, steps))

    def combine(self, predictions: tuple[torch.Tensor, ...]) -> torch.Tensor:
        if len(predictions) == 1:
            return predictions[0]
        if len(predictions) == 2:
            unconditional, conditional = predictions
            return unconditional + self.text * (conditional - unconditional)
        unconditional, image, conditional = predictions
        return unconditional + self.image * (image - unconditional) + self.text * (conditional - image)


@torch.inference_mode()
def sample(
    unet: Any,
    scheduler: Any,
    latents: torch.Tensor,
    prompt_embeds: torch.Tensor,
    null_embeds: torch.Tensor,
    image_latents: torch.Tensor | None,
    guidance: Guidance,
    *,
    num_inference_steps: int,
    start_step: int = 0,
    generators: list[torch.Generator] | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> torch.Tensor:
    """Denoise a batch (Eq. 5) under guidance (Eq. 6). Rows do not see each other, so a batch may mix classes.

    Args:
        latents: z_T, standard normal, (B, C, h, w); for a later `start_step`, as `noised` gives them.
        prompt_embeds: e_T, (B, m, d).
        null_embeds: CLIP(""), (m, d).
        image_latents: e_I, unscaled, (B, C, h, w), for a widened U-Net; None for one that is not.
        start_step: of the `num_inference_steps` of the schedule, the one to begin with.
        generators: one for each row, for schedulers that add noise; others ignore them.

    Returns:
        Scaled latents z_0, (B, C, h, w).

    Raises:
        RecipeError: the schedule cannot begin with that step.
        DivergedError: they are not finite; the step from which on is named. It is found after the last step, as to
            look at each would mean to wait for the device.
    """
    guided = _Conditions.of(guidance.passes, prompt_embeds, null_embeds, image_latents, unet.dtype)
    alone = _Conditions.of(CONDITIONAL, prompt_embeds, null_embeds, image_latents, unet.dtype)
    timesteps = _begin(scheduler, num_inference_steps, start_step, latents.device)
    options = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
    if start_step == 0:
        latents = latents * scheduler.init_noise_sigma
    sound = torch.zeros((), dtype=torch.int64, device=latents.device)  # steps with finite latents
    steps = len(scheduler.timesteps)
    for step, t in enumerate(timesteps, steps - len(timesteps)):
        given = guided if guidance.acts_on(step, steps) else alone
        inputs = scheduler.scale_model_input(torch.cat([latents] * given.passes), t)
        if given.image is not None:
            inputs = torch.cat([inputs, given.image], dim=1)
        predicted = unet(inputs.to(unet.dtype), t, encoder_hidden_states=given.text, return_dict=False)[0]
        predictions = predicted.to(latents.dtype).chunk(given.passes)  # the scheduler's sums stay in full precision
        latents = scheduler.step(guidance.combine(predictions), t, latents, return_dict=False, **options)[0]
        sound += all_finite([latents])
        on_step()
    if (fine := sound.item()) < len(timesteps):
        first = steps - len(timesteps)
        raise DivergedError(_diverged(scheduler, first + fine + 1, guidance, unet.dtype))
    return latents


@dataclass(frozen=True)
class _Conditions:
    """What the U-Net is told in the passes of a step: text, (passes · B, m, d), and image, (passes · B, C, h, w)."""

    passes: int
    text: torch.Tensor
    image: torch.Tensor | None

    @classmethod
    def of(
        cls, passes: tuple[tuple[bool, bool], ...], prompt: torch.Tensor, null: torch.Tensor,
        image: torch.Tensor | None, dtype: torch.dtype,
    ) -> _Conditions:  # fmt: skip
        text = torch.cat([prompt if t else null.expand_as(prompt) for _, t in passes]).to(dtype)
        if image is not None:
            image = torch.cat([image if i else torch.zeros_like(image) for i, _ in passes])
        return cls(len(passes), text, image)


def noised(
    scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, start_step: int, num_inference_steps: int
) -> torch.Tensor:
    """z_t (Eq. 1) of some scaled latents z_0, at the noise with which a step of the schedule begins.

    What `sample` takes for a `start_step` above 0. Both tensors are (B, C, h, w).

    Raises:
        RecipeError: the schedule has no such step, or cannot begin with it.
    """
    timesteps = _begin(scheduler, num_inference_steps, start_step, latents.device)
    return scheduler.add_noise(latents, noise, timesteps[:1].repeat(len(latents)))


def steps_from(scheduler: Any, start_step: int) -> int:
    """How often the U-Net is asked from a step of a schedule that is set on: some schedulers ask twice in a step."""
    return len(scheduler.timesteps) - start_step * scheduler.order


def _begin(scheduler: Any, num_inference_steps: int, start_step: int, device: torch.device) -> torch.Tensor:
    """Set the schedule; gives its timesteps from one of the steps on."""
    if not 0 <= start_step < num_inference_steps:
        raise RecipeError(
            f"the method begins at step {start_step} of a schedule of {num_inference_steps} steps: take more "
            "--num-inference-steps"
        )
    scheduler.set_timesteps(num_inference_steps, device=device)
    if start_step and len(getattr(scheduler, "prk_timesteps", ())):
        raise RecipeError(
            f"--scheduler {type(scheduler).__name__} starts with Runge-Kutta steps on this base and cannot begin at "
            f"step {start_step}, as the method does: take another --scheduler"
        )
    first = start_step * scheduler.order
    if first and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    return scheduler.timesteps[first:]


def _diverged(scheduler: Any, step: int, guidance: Guidance, dtype: torch.dtype) -> str:
    """What to change, the likeliest first."""
    name, config = type(scheduler).__name__, scheduler.config
    help = [f"--scheduler {name}"]
    if getattr(config, "rescale_betas_zero_snr", False) and config.prediction_type == "epsilon":
        help[0] += " (a schedule that ends without signal divides by zero where ε is predicted)"
    if dtype == torch.float16:
        help.append("--mixed-precision fp16")
    if max(guidance.text, guidance.image or 0) > 1:
        help.append(f"--guidance-scale {guidance.text:g}")
    return (
        f"the latents are not finite from denoising step {step} of {len(scheduler.timesteps)} on, so no such row is "
        f"written: change {' or '.join(help)}"
    )
