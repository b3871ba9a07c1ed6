"""The cells of a sweep: every combination of settings, each a synthetic set of its own and some uses of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

from ..config.recipe import Recipe
from ..config.stages.comparing import SweepSettings

MADE_BY = ("coarse", "fine", "guidance_scale", "num_inference_steps")  # settings that other images come of
SHORT = {"coarse": "P", "fine": "Q", "guidance_scale": "w", "num_inference_steps": "steps", "aug_ratio": "ratio"}


@dataclass(frozen=True)
class Cell:
    """Settings of generating, and how many of the images are used.

    Attributes:
        coarse, fine: P and Q of Algorithm 1.
        aug_ratio: at most so many synthetic images for each real one; None for all.
    """

    coarse: int
    fine: int
    guidance_scale: float
    num_inference_steps: int
    aug_ratio: float | None = None

    @property
    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SHORT}

    @property
    def images(self) -> Cell:
        """The cell whose images it takes: cells that differ in the ratio alone share them."""
        return replace(self, aug_ratio=None)

    @property
    def name(self) -> str:
        """ "P=2 Q=8 w=1.5 steps=25 ratio=4", as a table and a sheet have it."""
        values = [(SHORT[name], value) for name, value in self.settings.items() if value is not None]
        return " ".join(f"{short}={value:g}" for short, value in values)

    @property
    def file(self) -> str:
        """The same as a name of a file."""
        return self.name.replace("=", "-").replace(" ", "_")

    def recipe(self, recipe: Recipe) -> Recipe:
        """A recipe with what makes the images of this cell."""
        return replace(recipe, **{name: getattr(self, name) for name in MADE_BY})


def cells_of(settings: SweepSettings, recipe: Recipe) -> list[Cell]:
    """All combinations, the last axis first; what has no list has the recipe's value.

    Raises:
        RecipeError: a value is out of the limits of its setting.
    """
    axes = [settings.axis(name) or (getattr(recipe, name),) for name in MADE_BY]
    ratios = settings.axis("aug_ratio") or (None,)
    found = [Cell(*values) for values in itertools.product(*axes, ratios)]
    for cell in found:
        cell.recipe(recipe)  # checks
    return found
