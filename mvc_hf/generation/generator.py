"""A method with everything around it that turns addresses into rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..artifacts.checkpoint import CheckpointMetadata, load_captions, versions
from ..artifacts.schema import png
from ..config.fields import GENERATE
from ..config.recipe import Recipe
from ..data.decoding import unsquare
from ..data.groups import Groups
from ..diffusion.latent_bank import LatentBank
from ..diffusion.model import load_base, precision
from ..diffusion.sampling import Guidance, make_scheduler, sample
from ..diffusion.text_bank import TextBank
from ..hub.download import locate
from ..methods.base import Method
from ..methods.mvc import Mvc
from ..methods.pretrained import Pretrained
from ..storage.layout import NOTES
from ..utils.rng import Stream, words
from . import counts as allotment
from .inputs import SEEN, base_of, check_sampling_fits, fit_of, real_counts, size_of, source_of, used_classes


@dataclass
class Generator:
    """A method with everything around it that turns addresses into rows."""

    recipe: Recipe
    notes: CheckpointMetadata
    method: Method
    scheduler: Any
    size: tuple[int, int]  # (width, height) of the images that come out
    made_from: dict[str, Any]
    provenance: dict[str, Any]  # names, commits and licences of what it came from, for the card
    counts: np.ndarray | None = None  # images of each class; None where single rows are made
    groups: Groups | None = None  # of the condition images, where their groups are recorded

    @classmethod
    def open(
        cls,
        recipe: Recipe,
        checkpoint: str | Path,
        state: Any,
        text_bank: Callable[..., Any] = TextBank.build,
        image_bank: Callable[..., Any] = LatentBank.build,
    ) -> Generator:
        """The banks may be others, which encode less: a preview's."""
        dtype = precision(recipe.mixed_precision)
        with state.main_process_first():  # one process downloads
            folder, called, commit = locate(checkpoint, NOTES) or (Path(checkpoint), "", None)
        notes = CheckpointMetadata.load(folder)
        table = load_captions(folder, notes.class_names)
        if recipe.method == "pretrained":
            recipe = replace(recipe, base=base_of(recipe, notes), coarse=0, fine=0)
            model = load_base(recipe.base, recipe.variant)
        else:
            model = load_base(str(folder))
        scheduler = make_scheduler(recipe.scheduler, model.scheduler.config, recipe.num_inference_steps)
        size = size_of(recipe, notes)
        check_sampling_fits(recipe, model, notes.resolution, size, state.device)
        model.to(state.device)
        with state.main_process_first():
            text = text_bank(table, model)
            if recipe.method == "pretrained":
                latent = notes.resolution // model.vae_factor
                shape = (model.vae.config.latent_channels, latent, latent)
                method: Method = Pretrained(recipe, model, text, shape)
                dataset = groups = None
                real = real_counts(recipe, notes)
            else:
                source = source_of(recipe, notes)
                groups = Groups.of(source, recipe.group_column) if recipe.group_column else None
                images = image_bank(source, model, resolution=notes.resolution, max_broken=recipe.max_broken)
                method = Mvc(recipe, model, text, images)
                dataset = source.fingerprint
                real = np.array([len(rows) for rows in images.members])
        used = used_classes(notes) if recipe.method == "pretrained" else real > 0
        counts = allotment.images_of_class(recipe, len(notes.class_names), real, used)
        model.to(state.device, dtype)
        made_from = recipe.identity(GENERATE) | {
            "dataset": dataset,
            "base": model.fingerprint() if recipe.method == "pretrained" else None,
            "checkpoint": notes.fingerprint,
            "image_size": list(size),
            **{name: value for name, value in notes.recipe.items() if name in SEEN and value not in (None, "crop")},
            **allotment.identity(recipe, counts),
        }
        for name in ("split", "image_column", "label_column", "max_broken"):  # the data's fingerprint says it better
            made_from.pop(name)
        if groups is None:  # without condition images there is nothing to record of them
            made_from.pop("group_column", None)
        provenance = {
            "checkpoint": {"name": called, "revision": commit, "fingerprint": notes.fingerprint},
            "base": notes.base,
            "source": notes.source,
            "finetune": notes.recipe,
            "versions": versions(),
        }
        if recipe.method == "pretrained":
            base = {"name": model.name, "revision": model.revision, "fingerprint": made_from["base"]}
            provenance["base"] = {**notes.base, **base} if model.name == notes.base["name"] else base
        elif source.fingerprint != notes.source["fingerprint"]:
            provenance["source"] = {"name": source.name, "revision": source.revision, "fingerprint": dataset}
        return cls(recipe, notes, method, scheduler, size, made_from, provenance, counts, groups)

    def images(self, labels: np.ndarray, k: np.ndarray) -> tuple[list[Image.Image], Any]:
        """Images of these addresses, as the source's are in size and channels, and the conditions they came from."""
        device = self.method.model.unet.device
        found = self.method.conditions(labels, k)
        latents = sample(
            self.method.model.unet,
            self.scheduler,
            found.latents.to(device),
            found.prompt_embeds.to(device),
            found.null_embeds.to(device),
            None if found.image_latents is None else found.image_latents.to(device),
            Guidance(self.recipe.guidance_scale, self.recipe.image_guidance_scale),
            num_inference_steps=self.recipe.num_inference_steps,
            generators=_generators(self.recipe.seed, labels, k, device),
        )
        pixels = self.method.model.decode_latents(latents).numpy()
        return [self._as_source(Image.fromarray(array)) for array in pixels], found

    def rows(self, labels: np.ndarray, k: np.ndarray) -> list[dict[str, Any]]:
        """Rows of the data set, one for each address."""
        images, found = self.images(labels, k)
        columns = zip(images, labels.tolist(), k.tolist(), found.prompts, found.conditions, found.mixes)
        rows = [
            {
                "image": png(image),
                "label": label,
                "prompt": prompt,
                "method": self.method.name,
                "index": index,
                "seed": self.recipe.seed,
                "condition": condition,
                "mix": mix,
            }
            for image, label, index, prompt, condition, mix in columns
        ]
        if self.groups:
            for row in rows:
                row["group"] = self.groups.name(row["condition"])
        return rows

    def _as_source(self, image: Image.Image) -> Image.Image:
        fit = fit_of(self.recipe, self.notes)
        if fit != "crop":
            image = unsquare(image, self.size, fit)
        image = image.resize(self.size, Image.Resampling.LANCZOS) if image.size != self.size else image
        return image.convert("L") if self.notes.grey and self.method.name != "pretrained" else image


def _generators(seed: int, labels: np.ndarray, k: np.ndarray, device: torch.device) -> list[torch.Generator]:
    """One for each row, for schedulers that add noise on the way."""
    seeds = words(seed, Stream.SCHEDULER, labels, k, 1)[:, 0] >> np.uint64(1)
    return [torch.Generator(device).manual_seed(int(s)) for s in seeds]
