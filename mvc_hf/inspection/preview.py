"""A look before a long run: a few rows that `generate` would make, at several strengths of mixing.

All images of a row share its address, and so the base caption, the condition image and the starting noise: from column
to column only the mix differs. A method that does not mix has one column. They are made by the methods and the
generator of `generate`; only the banks are others, which encode no more than what is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..config.recipe import Recipe
from ..data.decoding import to_rgb
from ..diffusion.banks.on_demand import OnDemandLatentBank, OnDemandTextBank
from ..diffusion.model import precision
from ..errors import ModelError, MvcError, RecipeError
from ..generation.generator import Generator
from ..generation.inputs import base_of, used_classes
from ..generation.opening import Resolved, assemble, encode, load, resolve
from ..hub.download.models import locate
from ..methods.base import SamplingInputs
from ..methods.registry import RegisteredMethod, get_method
from ..mixing import MixPlans
from ..utils.distributed import Alone
from ..utils.progress import bar, say
from .mix_summary import Mixture, mixtures
from .preview_options import choose_classes, choose_settings

MAX_ROWS = 50
UNTOUCHED = "pretrained"  # the method of the last column
UNMIXED = Mixture(0.0, ())


@dataclass(frozen=True)
class Row:
    """One address, looked at from all sides.

    Attributes:
        condition: x′, as it lies in the data set; None where the method looks at none.
        mixtures: what each setting mixes into the base caption.
        images: the result of each setting.
        pretrained: what the untouched base makes of the caption; None where that column is left out.
    """

    class_name: str
    label: int
    index: int
    caption: str
    condition: Image.Image | None
    mixtures: tuple[Mixture, ...]
    images: tuple[Image.Image, ...]
    pretrained: Image.Image | None


@dataclass(frozen=True)
class Preview:
    """Rows for a contact sheet.

    Attributes:
        settings: (P, Q) of each column; a single one where the method does not mix.
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

    @property
    def mixes(self) -> bool:
        """Whether the method mixes captions, so that P and Q mean something."""
        return get_method(self.recipe.method).mixes


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
    precision(recipe.mixed_precision)
    method = get_method(recipe.method)
    columns = _columns(recipe, method, settings)
    found = resolve(recipe, model)
    metadata = found.metadata
    chosen = choose_classes(classes, metadata.class_names, used_classes(metadata))
    if rows < 1 or rows * len(chosen) > MAX_ROWS:
        raise RecipeError(
            f"{rows} rows of each of {len(chosen)} classes: a sheet has 1 to {MAX_ROWS} rows; "
            "change --classes or --rows"
        )
    base = _base(found) if pretrained and method.name != UNTOUCHED else None

    labels, index = np.repeat(chosen, rows), np.tile(np.arange(rows), len(chosen))
    device = Alone().device
    loaded = load(found, device)
    banks = encode(found, loaded, OnDemandTextBank, OnDemandLatentBank)
    if banks.images is not None:
        banks.images.look_at(chosen)
    # Captions and images are encoded in full precision, as for the banks, and only then the model gets its own.
    generators = [
        assemble(replace(found, recipe=replace(found.recipe, coarse=p, fine=q)), loaded, banks) for p, q in columns
    ]
    inputs = [generator.method.inputs(labels, index) for generator in generators]
    loaded.model.to(device, precision(recipe.mixed_precision))

    with bar(len(labels) * (len(columns) + bool(base)), "previewing", " images") as shown:
        results = _images(generators[0], inputs, labels, index, shown)
        for bank in (banks.text, banks.images):
            if bank is not None:
                bank.let_go()
        del loaded, generators  # and with them the model: two do not fit into every memory
        plain = _by_base(found, base, labels, index, shown) if base else None

    text, source = banks.text, found.source
    mixed = [_mixtures(each, text) if method.mixes else [UNMIXED] * len(labels) for each in inputs]
    conditions = inputs[0].provenance["condition"]
    made = [
        Row(
            class_name=metadata.class_names[label],
            label=int(label),
            index=int(index[i]),
            caption=inputs[0].provenance["prompt"][i],
            condition=None if source is None or conditions[i] is None else to_rgb(source.image(conditions[i])),
            mixtures=tuple(each[i] for each in mixed),
            images=tuple(column[i] for column in results),
            pretrained=plain[i] if plain else None,
        )
        for i, label in enumerate(labels)
    ]
    name = found.name or Path(model).name
    dataset = metadata.source["name"] if source is None else source.name
    return Preview(tuple(made), columns, found.recipe, name, dataset, text.tokens, text.width)


def _columns(recipe: Recipe, method: RegisteredMethod, settings: str | None) -> tuple[tuple[int, int], ...]:
    """P and Q of each column."""
    if method.mixes:
        return choose_settings(recipe, settings)
    if settings is not None:
        raise RecipeError(f"--settings {settings!r}: the method {method.name} does not mix, and has no P and Q")
    return ((0, 0),)


def _mixtures(inputs: SamplingInputs, text: OnDemandTextBank) -> list[Mixture]:
    """What each row mixes into its base caption."""
    found = mixtures(MixPlans.from_records(inputs.provenance["mix"]), text.tokens, text.width)
    return [mixture.named(text.table.captions) for mixture in found]


def _images(
    generator: Generator, inputs: list[SamplingInputs], labels: np.ndarray, index: np.ndarray, shown: Any
) -> list[list[Image.Image]]:
    """The images of some inputs for the same addresses, a list for each; batches reach over all of them."""
    joined, times = SamplingInputs.joined(inputs), len(inputs)
    labels, index = np.tile(labels, times), np.tile(index, times)
    images: list[Image.Image] = []
    for first in range(0, len(labels), generator.recipe.batch_size):
        part = slice(first, first + generator.recipe.batch_size)
        batch = generator.images_of(joined[part], labels[part], index[part])
        images += batch
        shown.update(len(batch))
    each = len(images) // times
    return [images[i : i + each] for i in range(0, len(images), each)]


def _by_base(
    found: Resolved, base: str, labels: np.ndarray, index: np.ndarray, shown: Any
) -> list[Image.Image] | None:
    """What the untouched base makes of the captions; None, and a line, where it is no model."""
    try:
        plain = resolve(replace(found.recipe, method=UNTOUCHED, base=base), found.folder)
        loaded = load(plain, Alone().device)
        generator = assemble(plain, loaded, encode(plain, loaded, OnDemandTextBank))
    except ModelError as error:  # the other columns are made by now, and are not to be lost
        _left_out(error)
        return None
    inputs = generator.method.inputs(labels, index)
    loaded.model.to(loaded.model.unet.device, precision(found.recipe.mixed_precision))
    return _images(generator, [inputs], labels, index, shown)[0]


def _base(found: Resolved) -> str | None:
    """The untouched base; None, and a line, where nobody said where it is."""
    recipe = found.recipe
    try:
        name = base_of(recipe, found.metadata)
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
