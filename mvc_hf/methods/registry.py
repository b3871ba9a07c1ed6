"""Which methods there are: a name, its settings, its class; in the manner of peft's registry.

    register_method("img2img", Img2ImgConfig, Img2Img)

makes the name known to recipes. The settings are a dataclass, built from a recipe by the names of its fields; those
that no recipe has keep their defaults, and are part of what a data set is. Nothing heavy is imported here.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from ..config.recipe import Recipe
from ..config.stages.generating import BUILT_IN, METHOD_NAMES
from ..errors import RecipeError

if TYPE_CHECKING:
    from .base import Method

RECIPE_FIELDS = frozenset(field.name for field in fields(Recipe))
MIXING = ("coarse", "fine")  # settings that rest, at 0, where the method does not mix


@dataclass(frozen=True)
class RegisteredMethod:
    """What a name stands for."""

    name: str
    config: type
    cls: type[Method]

    @property
    def settings(self) -> frozenset[str]:
        """The names of its settings."""
        return frozenset(field.name for field in fields(self.config))

    @property
    def mixes(self) -> bool:
        """Whether P and Q are among its settings."""
        return self.settings.issuperset(MIXING)

    def config_of(self, recipe: Recipe) -> Any:
        """Its settings, from those of a recipe."""
        return self.config(**{name: getattr(recipe, name) for name in self.settings & RECIPE_FIELDS})

    def own_settings(self, recipe: Recipe) -> dict[str, Any]:
        """Those of its settings that no recipe has."""
        config = self.config_of(recipe)
        return {name: getattr(config, name) for name in sorted(self.settings - RECIPE_FIELDS)}


_METHODS: dict[str, RegisteredMethod] = {}


def register_method(name: str, config: type, cls: type[Method]) -> None:
    """Make a method known under a name.

    Args:
        config: a dataclass; fields that `Recipe` lacks need defaults.
        cls: with the members of `methods.base.Method`.

    Raises:
        RecipeError: another one has the name, or the class lacks something.
    """
    if name in _METHODS and _METHODS[name].cls is not cls:
        raise RecipeError(f"the method {name!r} is registered already, as {_METHODS[name].cls.__qualname__}")
    if not is_dataclass(config):
        raise RecipeError(f"the settings of the method {name!r} must be a dataclass, not {config!r}")
    lacking = [part for part in _MEMBERS if not hasattr(cls, part)]
    if lacking:
        raise RecipeError(f"the method {name!r} lacks {lacking[0]!r}: see Method in mvc_hf/methods/base.py")
    if cls.name != name:
        raise RecipeError(f"the method {name!r} calls itself {cls.name!r}: register it under that name")
    _METHODS[name] = RegisteredMethod(name, config, cls)
    if name not in METHOD_NAMES:
        METHOD_NAMES.append(name)


_MEMBERS = ("name", "description", "needs_images", "needs_checkpoint", "inputs")


def get_method(name: str) -> RegisteredMethod:
    """What a name stands for. Raises RecipeError where it stands for nothing."""
    if name in BUILT_IN:
        importlib.import_module(f".{name}", __package__)
    if name not in _METHODS:
        raise RecipeError(f"there is no method {name!r}; known are {', '.join(METHOD_NAMES)}")
    return _METHODS[name]
