"""Recipes with a section for what is done with the run: `compare:` and `sweep:`.

dataset: photos/
base: stable-diffusion-v1-5/stable-diffusion-v1-5
output: flowers
compare:
  classifier: resnet18
  synthetic: {mvc: flowers/synthetic}
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..errors import RecipeError
from ..utils.text import brief, unreadable
from .fields import Settings, aliases, check_known, flag
from .files import read_settings
from .run_recipe import SECTIONS, RunRecipe

SYNTHETIC_SETS = "synthetic"  # of a section: {name: data set}, as --synthetic NAME=DATASET
NAME = re.compile(r"[\w][\w .+-]{0,39}")

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Section(Generic[S]):
    """A run's recipe, and a section of it.

    Attributes:
        run: the rest of the file.
        settings: of the section, with what the command line has over them.
        synthetic: data sets of synthetic images by the names that they have in tables; empty where the run makes them.
    """

    run: RunRecipe
    settings: S
    synthetic: dict[str, str]


def load_section(
    path: str | Path,
    name: str,
    kind: type[S],
    *,
    output: str | None = None,
    given: Mapping[str, Any] | None = None,
    synthetic: Sequence[str] = (),
) -> Section[S]:
    """Read a recipe with a section; the file need not have it.

    Args:
        path: YAML, or JSON where the name ends in .json.
        name: of the section, one of `SECTIONS`.
        kind: its settings.
        output: over the recipe's.
        given: settings over the section's.
        synthetic: "NAME=DATASET" each, in place of the section's `synthetic`.

    Raises:
        RecipeError: it cannot be read, has a key that is not known (the nearest one is named), or a bad value.
    """
    values = read_settings(path)
    run = RunRecipe.from_dict(values)
    found = _own(values.get(name), name, kind)
    sets = found.pop(SYNTHETIC_SETS, None)
    settings = kind(**found | dict(given or {}))
    if output is not None:
        run = dataclasses.replace(run, output=output)
    return Section(run, settings, _from_flags(synthetic) if synthetic else _named_sets(sets))


def _own(section: Any, name: str, kind: type[S]) -> dict[str, Any]:
    """The settings of a section by the names of their fields, lists as the text that a flag would have."""
    if section is None:
        return {}
    other_names = aliases(kind)
    found: dict[str, Any] = {}
    for key, value in section.items():
        plain = str(key).replace("-", "_")
        plain = other_names.get(plain, plain)
        if plain in found:
            raise RecipeError(f"{name} gives {plain} twice, the second time as {brief(key)}: keep one of them")
        found[plain] = value if plain == SYNTHETIC_SETS else _as_text(value, kind, plain)
    check_known(found, [f.name for f in dataclasses.fields(kind)] + [SYNTHETIC_SETS])
    return found


def _as_text(value: Any, kind: type[S], name: str) -> Any:
    """A list of plain values, or a single number, where a flag takes a list."""
    declared = next((f.type for f in dataclasses.fields(kind) if f.name == name), None)
    if declared != "str" or isinstance(value, str | bool | None):
        return value
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, str | int | float) and not isinstance(part, bool) for part in parts):
        raise RecipeError(f"{flag(name)} is {brief(value)}; give one value, or a list of them")
    return ",".join(map(str, parts))


def _from_flags(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, place = text.partition("=")
        if not equals or not name or not place:
            raise RecipeError(f"--synthetic is {brief(text)}; give NAME=DATASET, such as mvc=flowers/synthetic")
        if name in found:
            raise RecipeError(f"--synthetic names {brief(name)} twice: give each set a name of its own")
        found[name] = place
    return _named_sets(found)


def _named_sets(sets: Any) -> dict[str, str]:
    """Raises RecipeError where they are no data sets by name."""
    if sets is None:
        return {}
    if not isinstance(sets, dict):
        raise RecipeError(
            f"synthetic is {brief(sets)}; write a name and a data set for each, such as mvc: my/synthetic"
        )
    for name, place in sets.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise RecipeError(
                f"synthetic names {brief(name)}: a name in the table has up to 40 letters, digits, spaces and _ . + -"
            )
        if not isinstance(place, str) or not place or unreadable(place):
            raise RecipeError(f"synthetic {brief(name)} is {brief(place)}; give a folder, Parquet or Hub id")
    return dict(sets)


__all__ = ["SECTIONS", "Section", "load_section"]
