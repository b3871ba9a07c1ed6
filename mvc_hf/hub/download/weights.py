"""Which files of a repository are a model's weights: the one place that the fetch, the check and the loading ask.

diffusers and transformers name them STEM[.VARIANT].safetensors, or in pieces STEM[.VARIANT]-00001-of-00002.safetensors
with the variant in one of two places. A variant is another precision (fp16) or another kind (non_ema). Pickles are no
weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ...errors import ModelError
from ...utils.text import some

STEMS = {"text_encoder": "model", "vae": "diffusion_pytorch_model", "unet": "diffusion_pytorch_model"}
_PIECE = r"(?:-\d{5}-of-\d{5})?"


def variant_of(name: str, stem: str) -> str | None:
    """The variant of a file of weights: "" for none; None where the file is none of these weights."""
    found = re.fullmatch(rf"{re.escape(stem)}(\.[^./]+?)?{_PIECE}(\.[^./]+)?\.safetensors", name)
    if found is None or (found[1] and found[2]):
        return None
    return (found[1] or found[2] or ".")[1:]


def variants_of(names: Iterable[str], model: str, asked: str | None = None) -> dict[str, str | None]:
    """The variant to load of each part of a Stable Diffusion model; None for weights that have none.

    A part that lacks the variant asked for gives its plain weights, as in diffusers.

    Args:
        names: of the files of a repository or folder, as "unet/diffusion_pytorch_model.safetensors".
        asked: --variant.

    Raises:
        ModelError: a part has no weights, or several variants of which none was asked for; or no part has the one
            that was.
    """
    names = list(names)
    found = {
        part: choose([n.removeprefix(f"{part}/") for n in names if n.startswith(f"{part}/")], stem, model, part, asked)
        for part, stem in STEMS.items()
    }
    if asked and asked not in found.values():
        raise ModelError(f"{model} has no weights of --variant {asked}: leave it out, to take those that are there")
    return found


def choose(names: Iterable[str], stem: str, model: str, part: str = "", asked: str | None = None) -> str | None:
    """As `variants_of`, for the files of one part."""
    names, where = list(names), f" in {part}/" if part else ""
    there = {v for v in (variant_of(name, stem) for name in names) if v is not None}
    if asked in there:
        return asked
    if "" in there:
        return None
    if not there:
        others = [name for name in names if name.endswith(".safetensors")]
        if others:
            raise ModelError(f"{model} has {some(others, 2)}{where}, but no {stem}.safetensors, which is looked for")
        raise ModelError(f"{model} has no safetensors{where}; pickle files are not loaded")
    known = ", ".join(sorted(there))
    if asked:
        raise ModelError(f"{model} has no weights of --variant {asked}{where}; it has {known}")
    if len(there) > 1:
        raise ModelError(f"{model} has weights of several variants{where} ({known}): choose one with --variant")
    return there.pop()


def patterns(stem: str, variant: str | None) -> list[str]:
    """What the names of the weights of a variant look like, for the Hub's client."""
    if variant is None:
        return [f"{stem}.safetensors", f"{stem}-?????-of-?????.safetensors"]
    return [
        f"{stem}.{variant}.safetensors",
        f"{stem}.{variant}-?????-of-?????.safetensors",
        f"{stem}-?????-of-?????.{variant}.safetensors",
    ]


def listing(folder: Path) -> list[str]:
    """The names of the files of a model's parts, as `variants_of` takes them."""
    return [f"{part}/{path.name}" for part in STEMS if (folder / part).is_dir() for path in (folder / part).iterdir()]
