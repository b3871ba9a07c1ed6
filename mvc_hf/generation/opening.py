"""Opening a generation, in four steps: resolve what it is made from, load the model, encode, put together.

`generate`, `preview`, `replay`, `plan`, `load_dataset("mvc", ...)` and the demo's sheet all go this way; they differ
in what they look at between the steps, and in the banks that they encode into.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..artifacts.checkpoint import CheckpointMetadata, load_captions, versions
from ..artifacts.steps import checkpoint_folder
from ..captions.table import CaptionTable
from ..config.fields import GENERATE
from ..config.recipe import Recipe
from ..data.base import Source
from ..data.groups import Groups
from ..diffusion.banks.latents import LatentBank
from ..diffusion.banks.text import TextBank
from ..diffusion.model import StableDiffusion, load_base, precision
from ..diffusion.sampling import make_scheduler
from ..hub.download.models import locate
from ..methods.base import Components
from ..methods.registry import RegisteredMethod, get_method
from ..storage.layout import METADATA
from . import counts
from .generator import Generator
from .inputs import SEEN, base_of, check_sampling_fits, real_counts, size_of, source_of, used_classes

NOT_IDENTITY = ("split", "image_column", "label_column", "max_broken")  # the data's fingerprint says it better


@dataclass(frozen=True)
class Resolved:
    """What a generation is made from: found, but for the metadata not read yet.

    Attributes:
        recipe: the settings that count for the method.
        folder, name, commit: of the checkpoint; the name is what may be recorded.
    """

    recipe: Recipe
    method: RegisteredMethod
    folder: Path
    name: str
    commit: str | None
    metadata: CheckpointMetadata

    @cached_property
    def captions(self) -> CaptionTable:
        """The checkpoint's. Raises ModelError where they are damaged."""
        return load_captions(self.folder, self.metadata.class_names)

    @cached_property
    def source(self) -> Source | None:
        """The real images, None where the method looks at none. Raises as `inputs.source_of`."""
        return source_of(self.recipe, self.metadata) if self.method.cls.needs_images else None


@dataclass(frozen=True)
class Loaded:
    """The model of a method, its scheduler with the steps set, and (width, height) of the images that come out."""

    model: StableDiffusion
    scheduler: Any
    size: tuple[int, int]


@dataclass(frozen=True)
class Banks:
    """What is encoded of captions and images, whole or on demand; no images where the method looks at none."""

    text: Any
    images: Any = None
    groups: Groups | None = None


def open_generator(
    recipe: Recipe,
    checkpoint: str | Path,
    state: Any,
    check: Callable[[dict[str, Any], dict[str, Any]], None] = lambda *_: None,
) -> Generator:
    """All four steps, with whole banks, and what a data set records of them.

    Args:
        state: which process this is: accelerate's `PartialState`, or `Alone`.
        check: is given what of `made_from` and `provenance` is known before a model is loaded; may raise.

    Raises:
        MvcError: for anything that the user can mend.
    """
    dtype = precision(recipe.mixed_precision)
    found = resolve(recipe, checkpoint, state)
    check(_settings_of(found), {"source": _source_of(found), "finetune": found.metadata.recipe})
    loaded = load(found, state.device)
    with state.main_process_first():  # one process encodes, the others find it done
        banks = encode(found, loaded)
        real = _real_counts(found, banks)
    used = used_classes(found.metadata) if banks.images is None or real is None else real > 0
    generator = assemble(found, loaded, banks)
    generator.counts = counts.images_of_class(recipe, len(found.metadata.class_names), real, used)
    loaded.model.to(state.device, dtype)
    generator.made_from = _made_from(found, loaded, banks, generator.counts)
    generator.provenance = _provenance(found, loaded, generator.made_from)
    return generator


def check_early(
    recipe: Recipe, checkpoint: str | Path, check: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    """What `open_generator` finds out before it loads a model, for whoever leaves the rest to others.

    Raises:
        MvcError: for anything that the user can mend; what `check` raises.
    """
    found = resolve(recipe, checkpoint)
    _ = found.captions
    check(_settings_of(found), {"source": _source_of(found), "finetune": found.metadata.recipe})


def resolve(recipe: Recipe, checkpoint: str | Path, state: Any = None) -> Resolved:
    """Find the checkpoint, and the method of a recipe. Nothing is loaded.

    Args:
        state: of several processes, where all of them call it.

    Raises:
        ModelError: there is no such checkpoint.
    """
    method = get_method(recipe.method)
    with state.main_process_first() if state else contextlib.nullcontext():  # one process downloads
        found = checkpoint_folder(checkpoint)  # of a run that goes on, or was stopped, or of one of its steps
        folder, name, commit = locate(found or checkpoint, METADATA) or (Path(checkpoint), "", None)
    return Resolved(settled(recipe, method), method, folder, name, commit, CheckpointMetadata.load(folder))


def settled(recipe: Recipe, method: RegisteredMethod) -> Recipe:
    """A recipe in which settings that the method has not are at rest: what does not count must not differ."""
    return recipe if method.mixes else replace(recipe, coarse=0, fine=0)


def load(found: Resolved, device: torch.device) -> Loaded:
    """The model that the method samples from, on the device, in full precision.

    Raises:
        ModelError: captions or weights are damaged, or there is no base where one is needed.
        RecipeError: the scheduler does not go with it.
        NotEnoughMemory: not even the pictures of a batch can be held.
    """
    recipe, metadata = found.recipe, found.metadata
    _ = found.captions  # before a model is fetched
    if found.method.cls.needs_checkpoint:
        model = load_base(str(found.folder))
    else:
        model = load_base(base_of(recipe, metadata), recipe.variant)
    scheduler = make_scheduler(recipe.scheduler, model.scheduler.config, recipe.num_inference_steps)
    size = size_of(recipe, metadata)
    check_sampling_fits(recipe, model, metadata.resolution, size, device)
    model.to(device)
    return Loaded(model, scheduler, size)


def encode(
    found: Resolved,
    loaded: Loaded,
    text_bank: Callable[..., Any] = TextBank.build,
    image_bank: Callable[..., Any] = LatentBank.build,
) -> Banks:
    """Captions, and images where the method looks at them, encoded whole, or by other banks: on demand."""
    recipe, text = found.recipe, text_bank(found.captions, loaded.model)
    if found.source is None:
        return Banks(text)
    groups = Groups.of(found.source, recipe.group_column) if recipe.group_column else None
    images = image_bank(found.source, loaded.model, resolution=found.metadata.resolution, max_broken=recipe.max_broken)
    return Banks(text, images, groups)


def assemble(found: Resolved, loaded: Loaded, banks: Banks) -> Generator:
    """Method and model together. What a data set records of them is `open_generator`'s to add."""
    recipe, model = found.recipe, loaded.model
    side = found.metadata.resolution // model.vae_factor
    components = Components(
        seed=recipe.seed,
        model=model,
        text=banks.text,
        images=banks.images,
        latent_shape=(model.vae.config.latent_channels, side, side),
        scheduler=loaded.scheduler,
        num_inference_steps=recipe.num_inference_steps,
    )
    method = found.method.cls(found.method.config_of(recipe), components)
    return Generator(recipe, found.metadata, model, method, loaded.scheduler, loaded.size, banks.groups)


def _real_counts(found: Resolved, banks: Banks) -> np.ndarray | None:
    """Real images of each class; None where nobody asks."""
    if banks.images is None:
        return real_counts(found.recipe, found.metadata)
    return np.array([len(rows) for rows in banks.images.members])


def _made_from(found: Resolved, loaded: Loaded, banks: Banks, images_of_class: np.ndarray) -> dict[str, Any]:
    """Everything that decides the rows: data and models by their content, not by where they lie."""
    return _settings_of(found) | {
        "base": None if found.method.cls.needs_checkpoint else loaded.model.fingerprint(),
        **counts.identity(found.recipe, images_of_class),
    }


def _settings_of(found: Resolved) -> dict[str, Any]:
    """The same as far as it is known before a model is loaded."""
    recipe, metadata, method = found.recipe, found.metadata, found.method
    made_from = recipe.identity(GENERATE) | {
        "dataset": None if found.source is None else found.source.fingerprint,
        "checkpoint": metadata.fingerprint,
        "image_size": list(size_of(recipe, metadata)),
        **{name: value for name, value in metadata.recipe.items() if name in SEEN and value not in (None, "crop")},
        **method.own_settings(recipe),
    }
    for name in NOT_IDENTITY:
        made_from.pop(name)
    if found.source is None or not recipe.group_column:  # without condition images there is nothing to record of them
        made_from.pop("group_column", None)
    return made_from


def _source_of(found: Resolved) -> dict[str, Any]:
    """The images that rows come from: those given, else those of the checkpoint."""
    metadata, source = found.metadata, found.source
    if source is None or source.fingerprint == metadata.source["fingerprint"]:
        return metadata.source
    return {
        "name": source.name, "revision": source.revision, "fingerprint": source.fingerprint,
        "images": len(source.rows),
    }  # fmt: skip


def _provenance(found: Resolved, loaded: Loaded, made_from: dict[str, Any]) -> dict[str, Any]:
    """Names, commits and licences of what the rows came from, for the card."""
    metadata, model = found.metadata, loaded.model
    provenance = {
        "checkpoint": {"name": found.name, "revision": found.commit, "fingerprint": metadata.fingerprint},
        "base": metadata.base,
        "source": _source_of(found),
        "finetune": metadata.recipe,
        "versions": versions(),
    }
    if not found.method.cls.needs_checkpoint:
        base = {"name": model.name, "revision": model.revision, "fingerprint": made_from["base"]}
        provenance["base"] = {**metadata.base, **base} if model.name == metadata.base["name"] else base
    return provenance
