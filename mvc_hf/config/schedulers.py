"""The schedulers of diffusers that sample from a Stable Diffusion base, one that predicts ε or v.

diffusers has many more, for flow matching, consistency models, video, discrete tokens, inversion. Those fail or give
noise: they do not know the noise schedule that such a base was trained on. A test asks every scheduler of the
installed diffusers to find a picture that it is told the way to, and compares this list with those that do.
"""

from __future__ import annotations

import difflib

from ..errors import RecipeError

SCHEDULERS = (
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "SASolverScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)


def check_scheduler(name: str) -> None:
    """Whether a scheduler is one of those, without loading diffusers. Raises RecipeError with the nearest, or all."""
    if name in SCHEDULERS:
        return
    near = difflib.get_close_matches(name, SCHEDULERS, 1, 0.9)
    hint = f"did you mean {near[0]}?" if near else f"take one of {', '.join(SCHEDULERS)}"
    raise RecipeError(f"--scheduler {name!r} is none that samples from a base which predicts ε or v; {hint}")
