"""One row of a synthetic data set again, from its columns and the checkpoint, and whether it comes out the same.

Its prompt, mix and condition image are recorded, and follow from its address (seed, label, index), too: they must
agree to the letter. The picture is made from what is recorded. Kernels sum in another order for another batch size or
device, so pixels agree only to within rounding: see `TOLERANCE`. Only what the one row needs is encoded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from .. import mixing
from ..artifacts.checkpoint import CheckpointMetadata, load_captions
from ..artifacts.rows import Row, find_row
from ..config.fields import GENERATE
from ..config.recipe import Recipe
from ..diffusion.latent_bank import moments_of
from ..diffusion.model import StableDiffusion, load_base, precision
from ..diffusion.on_demand_banks import OnDemandTextBank
from ..diffusion.sampling import make_scheduler
from ..errors import DataError, ModelError, RecipeError
from ..generation.generator import Generator
from ..generation.inputs import base_of, dataset_of, source_of
from ..hub.download import locate
from ..methods.base import SamplingInputs
from ..storage.layout import NOTES
from ..utils.distributed import Alone
from ..utils.progress import say
from ..utils.rng import Stream, below, normal, words

if TYPE_CHECKING:
    from ..captions.table import CaptionTable
    from ..data.base import Source

# The largest difference of a channel, in levels of 255, that still counts as rounding, by the precision of the model.
# With the demo's model another batch makes 1, in bf16, too, and bf16 for full precision 5. The limits leave room
# for larger models and other devices; a picture of another row, seed or checkpoint is off by a hundred and more.
TOLERANCE = {"no": 2, "fp16": 16, "bf16": 32}
PLAN = ("prompt", "condition", "mix")


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
    notes = CheckpointMetadata.load(folder)
    if notes.fingerprint != row.made_from.get("checkpoint"):
        raise ModelError(f"{called} is another checkpoint than the one that the row was made from")
    remade, allowed = _possible_here(recipe)
    easel = _Easel.of(remade, notes, folder, row, Alone().device)
    plan = {
        name: (row[name], follows)
        for name, follows in zip(PLAN, easel.plan())
        if json.dumps(row[name], sort_keys=True) != json.dumps(follows, sort_keys=True)
    }
    image = easel.image()
    largest, mean = _difference(row.image(), image)
    return Replayed(row, image, plan, largest, mean, allowed if tolerance is None else tolerance)


@dataclass
class _Easel:
    """Everything that one row needs, and a method of generating that knows only this row."""

    recipe: Recipe
    notes: CheckpointMetadata
    row: Row
    model: StableDiffusion
    table: CaptionTable
    source: Source | None  # of the condition images

    @classmethod
    def of(cls, recipe: Recipe, notes: CheckpointMetadata, folder: Path, row: Row, device: torch.device) -> _Easel:
        table = load_captions(folder, notes.class_names)
        if recipe.method == "pretrained":
            recipe = replace(recipe, coarse=0, fine=0)
            model, source = load_base(base_of(recipe, notes), recipe.variant), None
            if model.fingerprint() != row.made_from.get("base"):
                raise ModelError(f"{model.name} is another base than the one that the row was made from")
        else:
            source = source_of(_with_dataset(recipe, notes), notes)
            if source.fingerprint != row.made_from.get("dataset"):
                raise DataError(
                    f"{source.name} is not the data set whose images the row was conditioned on: give --dataset-source"
                )
            model = load_base(str(folder))
        model.to(device)
        return cls(recipe, notes, row, model, table, source)

    def plan(self) -> tuple[str, int | None, dict[str, Any]]:
        """Prompt, condition and mix, as they follow from the row's address."""
        plans = self._plans()
        return self.table.captions[int(plans.base[0])], self._condition(), plans.record(0)

    def image(self) -> Image.Image:
        """The picture, from what the row records."""
        dtype = precision(self.recipe.mixed_precision)
        conditions = self._recorded()
        scheduler = make_scheduler(self.recipe.scheduler, self.model.scheduler.config, self.recipe.num_inference_steps)
        self.model.to(self.model.unet.device, dtype)
        size = tuple(self.row.made_from["image_size"])
        easel = _Painted(self.recipe.method, self.model, lambda *_: conditions)
        generator = Generator(self.recipe, self.notes, easel, scheduler, size, {}, {})
        (image,), _ = generator.images(*self._address())
        return image

    def _address(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([self.row["label"]]), np.array([self.row["index"]])

    def _plans(self) -> mixing.MixPlans:
        labels, k = self._address()
        return mixing.plan(
            self.recipe.seed, labels, k,
            pool_start=self.table.pool_start[labels], pool_size=self.table.pool_size[labels],
            tokens=self.model.tokens, width=self.model.width,
            coarse=self.recipe.coarse, fine=self.recipe.fine,
        )  # fmt: skip

    def _condition(self) -> int | None:
        """The source row that the address gives. Images that cannot be read are never drawn, but who knows them?"""
        if self.source is None:
            return None
        labels, k = self._address()
        draws = words(self.recipe.seed, Stream.CONDITION, labels, k, 1)[:, 0]
        members = self.source.members[labels[0]]
        drawn = int(members[below(draws, len(members))[0]])
        if drawn != self.row["condition"]:  # look closer: read them all, and leave out those that are broken
            members = np.array([row for row in members if self._is_readable(int(row))])
            drawn = int(members[below(draws, len(members))[0]])
        return drawn

    def _is_readable(self, row: int) -> bool:
        try:
            self.source.image(row)
        except DataError:
            return False
        return True

    def _recorded(self) -> SamplingInputs:
        """As `methods.Mvc` and `Pretrained` make them, with the captions of this row alone."""
        labels, k = self._address()
        latent = self.notes.resolution // self.model.vae_factor
        shape = (self.model.vae.config.latent_channels, latent, latent)
        noise = torch.from_numpy(normal(self.recipe.seed, Stream.NOISE, labels, k, shape))
        embeds, null = self._embeddings(mixing.MixPlans.from_records([self.row["mix"]]))
        image = None
        if self.source is not None:
            moments = moments_of(self.source, [self.row["condition"]], self.model, self.notes.resolution)
            image = moments[:, 0].float()
        elif self.model.unet.config.in_channels != shape[0]:
            image = torch.zeros_like(noise)
        return SamplingInputs(
            noise, embeds, null, image, [self.row["prompt"]], [self.row["condition"]], [self.row["mix"]]
        )

    def _embeddings(self, plans: mixing.MixPlans) -> tuple[torch.Tensor, torch.Tensor]:
        """The mix and CLIP("")."""
        named = np.concatenate([plans.base, plans.coarse[..., 0].ravel(), plans.fine[..., 0].ravel()])
        if named.min() < 0 or named.max() >= len(self.table):
            raise DataError(f"the mix names caption {named.max()}; the checkpoint has {len(self.table)}")
        text = OnDemandTextBank(self.table, self.model)
        return text.mixed(plans), text.null.float()


@dataclass
class _Painted:
    """A method whose conditions are known."""

    name: str
    model: StableDiffusion
    conditions: Callable[[np.ndarray, np.ndarray], SamplingInputs]


def _recipe_of(row: Row, dataset: str, base: str) -> Recipe:
    """The settings that the row was made with."""
    known = Recipe().to_dict(GENERATE)
    given = {"dataset": dataset, "base": base, "image_size": None}
    settings = {name: value for name, value in row.made_from.items() if name in known} | given
    return Recipe(**settings | {name: row[name] for name in ("seed", "method")})


def _with_dataset(recipe: Recipe, notes: CheckpointMetadata) -> Recipe:
    try:
        return replace(recipe, dataset=dataset_of(recipe, notes))
    except RecipeError as error:
        name = notes.source["name"]
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
        model = str(beside) if (beside / NOTES).is_file() else None
    if model is None:
        which = f"the local checkpoint {name!r}" if name else "a checkpoint that the data set does not name"
        raise RecipeError(f"give --model: the row was made from {which}")
    found = locate(model, NOTES)
    if found is None:
        raise ModelError(f"no checkpoint at {model!r}: give a folder made by mvc-hf finetune, or its Hub id")
    return found[0], os.fspath(model)


def _difference(recorded: Image.Image, image: Image.Image) -> tuple[int | None, float | None]:
    """Largest and mean absolute difference of a channel; None where sizes or modes differ."""
    if (recorded.size, recorded.mode) != (image.size, image.mode):
        return None, None
    difference = np.abs(np.asarray(recorded, np.int64) - np.asarray(image, np.int64))
    return int(difference.max()), float(difference.mean())
