"""A look before a long run: a few rows that `generate` would make, at several strengths of mixing.

All images of a row share its address, and so the base caption, the condition image and the starting noise: from column
to column only the mix differs. They are made by the methods and the generator of `generate`; only the banks are
others, which encode no more than the captions and images that are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..artifacts.checkpoint import CheckpointMetadata
from ..config.recipe import Recipe
from ..data.decoding import to_rgb
from ..diffusion.model import StableDiffusion, precision
from ..diffusion.on_demand_banks import OnDemandLatentBank, OnDemandTextBank
from ..errors import ModelError, MvcError, RecipeError
from ..generation.generator import Generator
from ..generation.inputs import base_of, used_classes
from ..hub.download import locate
from ..methods.base import SamplingInputs
from ..methods.mvc import Mvc
from ..mixing import MixPlans
from ..storage.layout import NOTES
from ..utils.distributed import Alone
from ..utils.progress import bar, say
from .mix_summary import Mixture, mixtures
from .preview_options import choose_classes, choose_settings

MAX_ROWS = 50


@dataclass(frozen=True)
class Row:
    """One address, looked at from all sides.

    Attributes:
        condition: x′, as it lies in the data set.
        mixtures: what each setting mixes into the base caption.
        images: the result of each setting.
        pretrained: what the untouched base makes of the caption; None where that column is left out.
    """

    class_name: str
    label: int
    k: int
    caption: str
    condition: Image.Image
    mixtures: tuple[Mixture, ...]
    images: tuple[Image.Image, ...]
    pretrained: Image.Image | None


@dataclass(frozen=True)
class Preview:
    """Rows for a contact sheet.

    Attributes:
        settings: (P, Q) of each column.
        model, dataset: names, without paths.
        tokens, width: m and d of an embedding.
    """

    rows: tuple[Row, ...]
    settings: tuple[tuple[int, int], ...]
    recipe: Recipe
    model: str
    dataset: str
    tokens: int
    width: int

    @property
    def own(self) -> int | None:
        """The column of the recipe's own P and Q, what `generate` would make; None where it is not among them."""
        mine = (self.recipe.coarse, self.recipe.fine)
        return self.settings.index(mine) if mine in self.settings else None


def preview(
    recipe: Recipe,
    model: str | Path,
    *,
    classes: Sequence[str] = ("3",),
    rows: int = 2,
    settings: str | None = None,
    pretrained: bool = True,
) -> Preview:
    """Make a few rows as `generate` would, at several P and Q.

    Args:
        recipe: the settings of the run that is planned.
        model: a checkpoint, as for `generate`.
        classes: names, or one number: that many, evenly spread over the list of classes.
        rows: of each class, the first ones.
        settings: "P,Q P,Q …"; by default no mixing, the recipe's own, and stronger ones.
        pretrained: whether to ask the untouched base, too; where it cannot be found, a line says so.

    Raises:
        MvcError: for anything that the user can mend.
    """
    dtype = precision(recipe.mixed_precision)
    columns = choose_settings(recipe, settings)
    folder, name = _checkpoint(model)
    notes = CheckpointMetadata.load(folder)
    chosen = choose_classes(classes, notes.class_names, used_classes(notes))
    if rows < 1 or rows * len(chosen) > MAX_ROWS:
        raise RecipeError(
            f"{rows} rows of each of {len(chosen)} classes: a sheet has 1 to {MAX_ROWS} rows; "
            "change --classes or --rows"
        )
    base = _base(recipe, notes) if pretrained else None

    labels, k = np.repeat(chosen, rows), np.tile(np.arange(rows), len(chosen))
    # Captions and images are encoded in full precision, as for the banks, and only then the model gets its own.
    opened = Generator.open(
        replace(recipe, method="mvc", mixed_precision="no"), folder, Alone(), OnDemandTextBank, OnDemandLatentBank
    )
    text, images = opened.method.text, opened.method.images
    images.look_at(chosen)
    methods = [Mvc(replace(recipe, coarse=p, fine=q), opened.method.model, text, images) for p, q in columns]
    found = [method.conditions(labels, k) for method in methods]
    opened.method.model.to(opened.method.model.unet.device, dtype)

    with bar(len(labels) * (len(columns) + bool(base)), "previewing", " images") as shown:
        results = _painted(opened, found, labels, k, shown)
        for bank in (text, images):
            bank.let_go()
        del opened, methods  # and with them the model: two do not fit into every memory
        plain = _by_base(replace(recipe, base=base), folder, dtype, labels, k, shown) if base else None

    mixed = [mixtures(MixPlans.from_records(each.mixes), text.tokens, text.width) for each in found]
    made = []
    for i, label in enumerate(labels):
        made.append(
            Row(
                class_name=notes.class_names[label],
                label=int(label),
                k=int(k[i]),
                caption=found[0].prompts[i],
                condition=to_rgb(images.source.image(found[0].conditions[i])),
                mixtures=tuple(each[i].named(text.table.captions) for each in mixed),
                images=tuple(column[i] for column in results),
                pretrained=plain[i] if plain else None,
            )
        )
    return Preview(tuple(made), columns, recipe, name, images.source.name, text.tokens, text.width)


@dataclass
class _Known:
    """A method whose conditions are there already."""

    name: str
    model: StableDiffusion
    found: SamplingInputs

    def conditions(self, labels: np.ndarray, k: np.ndarray) -> SamplingInputs:
        return self.found


def _painted(
    generator: Generator, found: list[SamplingInputs], labels: np.ndarray, k: np.ndarray, shown: Any
) -> list[list[Image.Image]]:
    """The images of some conditions for the same addresses; batches reach over all of them."""
    joined, times = _joined(found), len(found)
    labels, k = np.tile(labels, times), np.tile(k, times)
    name, model, out = generator.method.name, generator.method.model, []
    for first in range(0, len(labels), generator.recipe.batch_size):
        part = slice(first, first + generator.recipe.batch_size)
        batch = replace(generator, method=_Known(name, model, _part(joined, part)))
        images, _ = batch.images(labels[part], k[part])
        out += images
        shown.update(len(images))
    each = len(out) // times
    return [out[i : i + each] for i in range(0, len(out), each)]


def _joined(found: list[SamplingInputs]) -> SamplingInputs:
    """Conditions one after the other."""

    def tensors(name: str) -> torch.Tensor | None:
        values = [getattr(each, name) for each in found]
        return None if values[0] is None else torch.cat(values)

    return SamplingInputs(
        latents=tensors("latents"),
        prompt_embeds=tensors("prompt_embeds"),
        null_embeds=found[0].null_embeds,
        image_latents=tensors("image_latents"),
        **{name: [value for each in found for value in getattr(each, name)] for name in _LISTS},
    )


_LISTS = ("prompts", "conditions", "mixes")


def _part(found: SamplingInputs, rows: slice) -> SamplingInputs:
    names = ("latents", "prompt_embeds", "image_latents", *_LISTS)
    values = {name: getattr(found, name) for name in names}
    return replace(found, **{name: None if value is None else value[rows] for name, value in values.items()})


def _by_base(
    recipe: Recipe, folder: Path, dtype: torch.dtype, labels: np.ndarray, k: np.ndarray, shown: Any
) -> list[Image.Image] | None:
    """What the untouched base makes of the captions; None, and a line, where it is no model."""
    try:
        generator = Generator.open(
            replace(recipe, method="pretrained", mixed_precision="no"), folder, Alone(), OnDemandTextBank
        )
    except ModelError as error:  # the other columns are made by now, and are not to be lost
        _left_out(error)
        return None
    found = generator.method.conditions(labels, k)
    generator.method.model.to(generator.method.model.unet.device, dtype)
    return _painted(generator, [found], labels, k, shown)[0]


def _checkpoint(model: str | Path) -> tuple[Path, str]:
    """Folder and recordable name of a checkpoint."""
    found = locate(model, NOTES)
    return found[:2] if found else (Path(model), Path(model).name)


def _base(recipe: Recipe, notes: CheckpointMetadata) -> str | None:
    """The untouched base; None, and a line, where nobody said where it is."""
    try:
        name = base_of(recipe, notes)
        if locate(name, variant=recipe.variant) is None:
            raise ModelError(f"no model at {name!r}: give --base a folder in diffusers' layout, or a Hub id")
        return name
    except MvcError as error:
        if recipe.base:
            raise
        _left_out(error)
        return None


def _left_out(error: MvcError) -> None:
    say(f"the column of the pretrained base is left out: {error}")
