"""A setting, declared once: its default, its help, its limits and the stages that take it.

A stage's settings are a frozen dataclass of such fields that inherits from `Settings`, which checks them.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import RecipeError
from ..utils.text import brief, unreadable

CAPTION, FINETUNE, GENERATE = "caption", "finetune", "generate"
BOTH = (FINETUNE, GENERATE)
CAPTIONED = (CAPTION, FINETUNE)
ALL = (CAPTION, FINETUNE, GENERATE)
MOST_AT_A_TIME = 8192  # images of a batch
UNLESS_DEFAULT = "unless default"  # an identity: see `setting`
LARGEST = 10**9  # of whole numbers without a limit of their own: their products fit into 64 bits


def setting(
    default: Any,
    help: str,
    *,
    on: tuple[str, ...],
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] | None = None,
    identity: bool | str = True,
    alias: str | None = None,
) -> Any:
    """One setting.

    Numbers are finite, and whole ones that have no `maximum` at most `LARGEST`.

    Args:
        on: the stages that take it.
        identity: whether it changes what comes out, or only how fast and where it is computed. `UNLESS_DEFAULT` is
            for settings that came later: at their default, what was made before them is still the same.
        alias: another flag for it on the command line.
    """
    limits = {"minimum": minimum, "above": above, "maximum": maximum, "choices": choices}
    metadata = {"help": help, "on": on, "identity": identity, "alias": alias, **limits}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """What the settings of every stage have in common: they are within their limits, or they are not built.

    Raises:
        RecipeError: a value is of another type or out of its limits; the message names it, the limit and the flag.
    """

    def __post_init__(self) -> None:
        kinds = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = converted(field.name, getattr(self, field.name), kinds[field.name])
            object.__setattr__(self, field.name, value)
            if value is not None:
                check_limits(field.name, value, field.metadata)


def check_known(names: Iterable[Any], known: Sequence[str]) -> None:
    """Raises RecipeError for the first name that is not known, with the nearest one that is."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
            raise RecipeError(f"unknown setting {brief(name)}{hint}")


def aliases(kind: type) -> dict[str, str]:
    """The other names that the fields of a class of settings have on the command line, with underscores."""
    fields = dataclasses.fields(kind)
    return {f.metadata["alias"][2:].replace("-", "_"): f.name for f in fields if f.metadata["alias"]}


def flag(name: str) -> str:
    """The command-line flag of a setting."""
    return "--" + name.replace("_", "-")


_YAML_TEXT = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?[0-9]*\.[0-9]*[eE][0-9]+")  # 5e-5: YAML 1.1 reads text


def converted(name: str, value: Any, kind: Any) -> Any:
    """The value as the declared type; a number in a string is not a number."""
    kinds = typing.get_args(kind) or (kind,)
    if value is None and type(None) in kinds:
        return None
    wanted = next(k for k in kinds if k is not type(None))
    if isinstance(value, str) and (why := unreadable(value)):
        raise RecipeError(f"{flag(name)} is {brief(value)}: {why}")
    number = isinstance(value, int) and not isinstance(value, bool)
    text = wanted is float and isinstance(value, str) and _YAML_TEXT.fullmatch(value)
    if wanted is float and (number or text):
        try:
            return float(value)
        except OverflowError:
            raise RecipeError(f"{flag(name)} is {brief(value)}; it must be a finite number") from None
    if isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
        return value
    raise RecipeError(f"{flag(name)} takes a value of type {wanted.__name__}, not {brief(value)}")


def check_limits(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    if limits["choices"] and value not in limits["choices"]:
        raise RecipeError(f"{flag(name)} is {brief(value)}; choose one of {', '.join(limits['choices'])}")
    if isinstance(value, float) and value != value:
        raise RecipeError(f"{flag(name)} is not a number")
    maximum = limits["maximum"]
    if maximum is None and isinstance(value, int):
        maximum = LARGEST
    if limits["minimum"] is not None and value < limits["minimum"]:
        raise RecipeError(f"{flag(name)} is {brief(value)}; it must be at least {limits['minimum']:g}")
    if limits["above"] is not None and value <= limits["above"]:
        raise RecipeError(f"{flag(name)} is {brief(value)}; it must be greater than {limits['above']:g}")
    if maximum is not None and value > maximum:
        raise RecipeError(f"{flag(name)} is {brief(value)}; it must be at most {_plain(maximum)}")
    if isinstance(value, float) and math.isinf(value):
        raise RecipeError(f"{flag(name)} is {value}; it must be a finite number")


def _plain(limit: float) -> str:
    """A limit as a person writes it."""
    return f"{limit:,}" if isinstance(limit, int) and limit < 2**53 else f"{limit:g}"
