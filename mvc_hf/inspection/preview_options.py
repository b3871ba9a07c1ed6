"""What a preview shows: classes by number or name, and pairs of P and Q."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..config.recipe import Recipe
from ..errors import RecipeError
from ..utils.text import normal, some

MAX_SETTINGS = 8
AROUND = ((0, 0), None, (8, 8), (2, 32))  # None: the recipe's own
PAIR = re.compile(r"(\d+),(\d+)")


def choose_settings(recipe: Recipe, text: str | None) -> tuple[tuple[int, int], ...]:
    """The pairs (P, Q) of a text such as "0,0 2,8", each once, in their order.

    Raises:
        RecipeError: a pair is none, or a number is over its limit.
    """
    own = (recipe.coarse, recipe.fine)
    if text is None:
        return tuple(dict.fromkeys(pair or own for pair in AROUND))
    pairs = []
    for part in re.sub(r"\s*,\s*", ",", text).replace(";", " ").split():
        match = PAIR.fullmatch(part)
        if not match:
            raise RecipeError(f"--settings has {part!r}: write pairs P,Q of whole numbers, such as '0,0 2,8 8,8'")
        p, q = (int(digits) for digits in match.groups())
        replace(recipe, coarse=p, fine=q)  # knows the limits
        pairs.append((p, q))
    pairs = list(dict.fromkeys(pairs))
    if not 1 <= len(pairs) <= MAX_SETTINGS:
        raise RecipeError(f"--settings has {len(pairs)} pairs: a sheet has 1 to {MAX_SETTINGS}, such as '0,0 2,8'")
    return tuple(pairs)


def choose_classes(wanted: Sequence[str], names: Sequence[str], used: np.ndarray | None = None) -> np.ndarray:
    """Labels of the wanted classes, each once, in the order they were asked for.

    Args:
        wanted: names, several in one text with commas between them; or one whole number: that many classes, evenly
            spread over the list. Where a class is named by a number, "7," is the class.
        used: (classes,) bool: those that have images; the others cannot be looked at.

    Raises:
        RecipeError: no such class; the message has the nearest one. Or none at all.
    """
    if len(wanted) == 1 and wanted[0].strip().isdecimal():
        there = np.arange(len(names)) if used is None else np.flatnonzero(used)
        count = min(int(wanted[0]), len(there))
        if not count:
            raise RecipeError("--classes is 0; it must be at least 1, or the names of classes")
        return there[np.linspace(0, len(there) - 1, count).round().astype(np.int64)]
    labels = {normal(name): label for label, name in enumerate(names)}
    found = []
    for text in map(normal, wanted):
        parts = [text] if text in labels else [part.strip() for part in text.split(",") if part.strip()]
        for name in parts:
            if name not in labels:
                raise RecipeError(f"no class {name!r}{_nearest(name, names)}")
            if used is not None and not used[labels[name]]:
                raise RecipeError(f"the class {name!r} has no images, so there is nothing to look at: name others")
            found.append(labels[name])
    if not found:
        raise RecipeError(f"--classes names none: give a number, or names of {some(names)}")
    return np.array(list(dict.fromkeys(found)))


def _nearest(name: str, names: Sequence[str]) -> str:
    folded = {normal(known).casefold(): known for known in names}
    near = difflib.get_close_matches(name.casefold(), folded, 1)
    return f"; did you mean {folded[near[0]]!r}?" if near else f"; the checkpoint has {some(names)}"
