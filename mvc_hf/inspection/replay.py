"""One row of a synthetic data set again, from its columns and the checkpoint, and whether it comes out the same.

Its prompt, mix and condition image are recorded, and follow from its address (seed, label, index), too: they must
agree to the letter. The picture is made from what is recorded. Kernels sum in another order for another batch size or
device, so pixels agree only to within rounding: see `TOLERANCE`. Only what the one row needs is encoded.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from ..artifacts.checkpoint import CheckpointMetadata
from ..artifacts.rows import Row, find_row
from ..config.fields import GENERATE
from ..config.recipe import Recipe
from ..diffusion.banks.on_demand import OnDemandLatentBank, OnDemandTextBank
from ..diffusion.model import precision
from ..errors import DataError, ModelError, RecipeError
from ..generation.generator import Generator
from ..generation.inputs import dataset_of
from ..generation.opening import Banks, Resolved, assemble, encode, load, resolve
from ..hub.download.models import locate
from ..methods.base import FromRecord, SamplingInputs
from ..storage.layout import METADATA
from ..utils.distributed import Alone
from ..utils.progress import say

if TYPE_CHECKING:
    from ..data.base import Source

# The largest difference of a channel, in levels of 255, that still counts as rounding, by the precision of the model.
# With the demo's model another batch makes 1, in bf16, too, and bf16 for full precision 5. The limits leave room
# for larger models and other devices; a picture of another row, seed or checkpoint is off by a hundred and more.
TOLERANCE = {"no": 2, "fp16": 16, "bf16": 32}
PLAN = ("label", "prompt", "condition", "mix")  # columns that follow from the address, besides the picture


@dataclass(frozen=True)
class Replayed:
    """A row that was made again.

    Attributes:
        image: as it came out now.
        plan: column → (as recorded, as it follows from the address), of those that differ.
        largest, mean: absolute difference of a channel, in levels of 255; None where the sizes differ.
        tolerance: that was allowed.
    """

    row: Row
    image: Image.Image
    plan: dict[str, tuple[Any, Any]]
    largest: int | None
    mean: float | None
    tolerance: int

    @property
    def matches(self) -> bool:
        return not self.plan and self.largest is not None and self.largest <= self.tolerance

    def __str__(self) -> str:
        """What one wants to know, a line each."""
        lines = [f"row {self.row.number}: class {self.row.class_name!r}, index {self.row['index']}, prompt"]
        lines[0] += f" {self.row['prompt']!r}"
        for name in PLAN:
            if name in self.plan:
                recorded, follows = self.plan[name]
                lines.append(f"{name}: differs; recorded is {recorded!r}, the address gives {follows!r}")
        if not self.plan:
            lines.append("plan: prompt, condition and mix are the same")
        if self.largest is None:
            lines.append("pixels: of another size")
        elif self.largest == 0:
            lines.append("pixels: the same, bit for bit")
        else:
            verdict = "rounding" if self.largest <= self.tolerance else f"over the limit of {self.tolerance}"
            lines.append(f"pixels: differ by at most {self.largest} of 255, {self.mean:.3f} on average ({verdict})")
        return "\n".join([*lines, "it matches"] if self.matches else lines)


def replay(
    dataset: str,
    number: int,
    *,
    model: str | None = None,
    condition_data: str = "",
    base: str = "",
    tolerance: int | None = None,
    follow_symlinks: bool = False,
) -> Replayed:
    """Make a row again.

    Args:
        dataset: a folder made by `generate`, or its Hub id[@revision].
        number: of the row.
        model: the checkpoint, where the data set does not say where it is.
        condition_data: the data set of the condition images, where the checkpoint does not say where it is.
        base: the untouched base of `method: pretrained`, likewise.
        tolerance: allowed difference of a channel, in levels of 255 (default: by precision).
        follow_symlinks: whether links that lead out of the folder of the condition images are followed.

    Raises:
        MvcError: the row, the checkpoint or the data are not to be had, or are others than those it was made from.
    """
    row = find_row(dataset, number)
    recipe = replace(_recipe_of(row, condition_data, base), follow_symlinks=follow_symlinks)
    folder, called = _checkpoint_of(row, model)
    found = resolve(recipe, folder)
    if found.metadata.fingerprint != row.made_from.get("checkpoint"):
        raise ModelError(f"{called} is another checkpoint than the one that the row was made from")
    recipe, allowed = _possible_here(found.recipe)
    found = _checked(replace(found, recipe=recipe), row)
    loaded = load(found, Alone().device)
    if not found.method.cls.needs_checkpoint and loaded.model.fingerprint() != row.made_from.get("base"):
        raise ModelError(f"{loaded.model.name} is another base than the one that the row was made from")
    loaded = replace(loaded, size=tuple(row.made_from["image_size"]))
    banks = encode(found, loaded, OnDemandTextBank, OnDemandLatentBank)
    generator = assemble(found, loaded, banks)
    address, inputs = _from_address(generator, banks, row, found.source)
    plan = _differing(row, inputs)
    if plan and isinstance(generator.method, FromRecord):
        _check_condition(row, found.source)
        inputs = generator.method.recorded(*address, {name: [row[name]] for name in inputs.provenance})
    loaded.model.to(Alone().device, precision(recipe.mixed_precision))
    (image,) = generator.images_of(inputs, *address)
    largest, mean = _difference(row.image(), image)
    return Replayed(row, image, plan, largest, mean, allowed if tolerance is None else tolerance)


def _checked(found: Resolved, row: Row) -> Resolved:
    """With the data set that the row was conditioned on. Raises MvcError where it, or the method, is another."""
    for name, value in found.method.own_settings(found.recipe).items():
        if row.made_from.get(name) != value:
            raise RecipeError(
                f"the method {found.method.name} has {name} = {value!r} here, and the row was made with "
                f"{row.made_from.get(name)!r}: register it with that"
            )
    if not found.method.cls.needs_images:
        return found
    found = replace(found, recipe=_with_dataset(found.recipe, found.metadata))
    source = found.source
    if source is not None and source.fingerprint != row.made_from.get("dataset"):
        raise DataError(
            f"{source.name} is not the data set whose images the row was conditioned on: give --dataset-source"
        )
    return found


def _from_address(
    generator: Generator, banks: Banks, row: Row, source: Source | None
) -> tuple[tuple[np.ndarray, np.ndarray], SamplingInputs]:
    """The row's address, and what follows from it.

    A row may have another label than its address: then it is the class of its condition image, or of its base caption.
    Images that cannot be read are never drawn, but who knows them? Where nothing agrees, those of the classes in
    question are read, and it is tried once more without the broken ones.
    """
    labels = list(dict.fromkeys([row["label"], *_other_labels(row, source, banks.text.table.labels)]))
    for look_closer in (False, True):
        if look_closer and banks.images is not None:
            banks.images.look_at([label for label in labels if len(banks.images.members[label])])
        for label in labels:
            address = np.array([label]), np.array([row["index"]])
            with contextlib.nullcontext() if look_closer else contextlib.suppress(DataError):
                inputs = generator.method.inputs(*address)
                if not _differing(row, inputs):
                    return address, inputs
    address = np.array([row["label"]]), np.array([row["index"]])
    return address, generator.method.inputs(*address)


def _other_labels(row: Row, source: Source | None, labels_of_captions: np.ndarray) -> list[int]:
    """The classes of the condition image and of the base caption, where there are such."""
    labels_of_images = np.zeros(0, np.int64) if source is None else source.labels
    named = ((row["condition"], labels_of_images), ((row["mix"] or {}).get("base"), labels_of_captions))
    found = [labels[number] for number, labels in named if number is not None and 0 <= number < len(labels)]
    return [int(label) for label in found if label >= 0]


def _differing(row: Row, inputs: SamplingInputs) -> dict[str, tuple[Any, Any]]:
    """The columns that are not what the address gives: (as recorded, as they follow)."""
    follows = {"label": int(inputs.labels[0]), **{name: values[0] for name, values in inputs.provenance.items()}}
    return {name: (row[name], follows[name]) for name in PLAN if _text(row[name]) != _text(follows[name])}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=int)  # whole numbers of numpy, too


def _check_condition(row: Row, source: Source | None) -> None:
    """Raises DataError where the row names an image that there is not."""
    if source is not None and not (row["condition"] is not None and 0 <= row["condition"] < len(source)):
        raise DataError(
            f"the row was conditioned on image {row['condition']}, it says; {source.name} has {len(source)}, counted "
            "from 0"
        )


def _recipe_of(row: Row, dataset: str, base: str) -> Recipe:
    """The settings that the row was made with."""
    known = Recipe().to_dict(GENERATE)
    given = {"dataset": dataset, "base": base, "image_size": None, "group_column": None, "batch_size": 1}
    settings = {name: value for name, value in row.made_from.items() if name in known} | given
    return Recipe(**settings | {name: row[name] for name in ("seed", "method")})


def _with_dataset(recipe: Recipe, metadata: CheckpointMetadata) -> Recipe:
    try:
        return replace(recipe, dataset=dataset_of(recipe, metadata))
    except RecipeError as error:
        name = metadata.source["name"]
        raise RecipeError(f"give --dataset-source: the condition images are of the local data set {name!r}") from error


def _possible_here(recipe: Recipe) -> tuple[Recipe, int]:
    """The recipe in a precision that this machine has, and the tolerance."""
    allowed = TOLERANCE[recipe.mixed_precision]
    if recipe.mixed_precision == "fp16" and not torch.cuda.is_available():
        say("note: the row was made in fp16 on a GPU; here it is made in full precision, so pixels differ by more")
        recipe = replace(recipe, mixed_precision="no")
    return recipe, allowed


def _checkpoint_of(row: Row, model: str | None) -> tuple[Path, str]:
    """The folder of the checkpoint, and its name for messages: as given, as recorded, or beside the data set."""
    name, revision = (row.checkpoint.get(part) for part in ("name", "revision"))
    if model is None and name and revision:
        model = f"{name}@{revision}"
    if model is None and name and row.folder is not None:
        beside = row.folder.absolute().parent / name
        model = str(beside) if (beside / METADATA).is_file() else None
    if model is None:
        which = f"the local checkpoint {name!r}" if name else "a checkpoint that the data set does not name"
        raise RecipeError(f"give --model: the row was made from {which}")
    found = locate(model, METADATA)
    if found is None:
        raise ModelError(f"no checkpoint at {model!r}: give a folder made by mvc-hf finetune, or its Hub id")
    return found[0], os.fspath(model)


def _difference(recorded: Image.Image, image: Image.Image) -> tuple[int | None, float | None]:
    """Largest and mean absolute difference of a channel; None where sizes or modes differ."""
    if (recorded.size, recorded.mode) != (image.size, image.mode):
        return None, None
    difference = np.abs(np.asarray(recorded, np.int64) - np.asarray(image, np.int64))
    return int(difference.max()), float(difference.mean())
