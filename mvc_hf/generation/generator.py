"""A method with the model and everything else that turns addresses into rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..artifacts.checkpoint import CheckpointMetadata
from ..artifacts.schema import png
from ..config.recipe import Recipe
from ..data.decoding import unsquare
from ..data.groups import Groups
from ..diffusion.compiling import CompiledUNet
from ..diffusion.model import StableDiffusion
from ..diffusion.sampling import Guidance, sample
from ..methods.base import Method, SamplingInputs
from ..utils.rng import Stream, words
from .inputs import fit_of


@dataclass
class Generator:
    """A method with the model and everything else that turns addresses into rows.

    Attributes:
        size: (width, height) of the images that come out.
        counts: images of each class; empty where single rows are made.
        made_from: what decides the rows; empty where single rows are made.
        provenance: names, commits and licences of what they came from, for the card; likewise.
        groups: of the condition images, where their groups are recorded.
    """

    recipe: Recipe
    metadata: CheckpointMetadata
    model: StableDiffusion
    method: Method
    scheduler: Any
    size: tuple[int, int]
    groups: Groups | None = None
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    made_from: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def rows(
        self, labels: np.ndarray, index: np.ndarray, run: Callable[..., Any] = lambda work, *given: work(*given)
    ) -> list[dict[str, Any]]:
        """Rows of the data set, one for each address.

        Args:
            run: calls what makes the value of `image`, at once or later: an executor's `submit` leaves futures there.
        """
        inputs = self.method.inputs(labels, index)
        rows = [
            {
                "image": run(self._file, array),
                "label": int(inputs.labels[i]),
                "prompt": inputs.provenance["prompt"][i],
                "method": self.method.name,
                "index": int(index[i]),
                "seed": self.recipe.seed,
                "condition": inputs.provenance["condition"][i],
                "mix": inputs.provenance["mix"][i],
            }
            for i, array in enumerate(self.pixels(inputs, labels, index))
        ]
        if self.groups:
            for row in rows:
                row["group"] = None if row["condition"] is None else self.groups.name(row["condition"])
        return rows

    def images(self, labels: np.ndarray, index: np.ndarray) -> tuple[list[Image.Image], SamplingInputs]:
        """The images of some addresses, and what they were made from."""
        inputs = self.method.inputs(labels, index)
        return self.images_of(inputs, labels, index), inputs

    def images_of(self, inputs: SamplingInputs, labels: np.ndarray, index: np.ndarray) -> list[Image.Image]:
        """The images of some inputs, as the source's are in size and channels."""
        return [self.finished(Image.fromarray(array)) for array in self.pixels(inputs, labels, index)]

    def pixels(self, inputs: SamplingInputs, labels: np.ndarray, index: np.ndarray) -> np.ndarray:
        """The squares that the model makes of some inputs: uint8 RGB, (B, H, W, 3)."""
        return self.decoded(self.latents(inputs, labels, index))

    def decoded(self, latents: torch.Tensor) -> np.ndarray:
        """The squares of some scaled latents, decoded a few at a time where the recipe says so."""
        parts = latents.split(self.recipe.decode_batch_size or len(latents))
        return np.concatenate([self.model.decode_latents(part).numpy() for part in parts])

    @cached_property
    def compiled(self) -> CompiledUNet:
        return CompiledUNet(self.model.unet, self.recipe.compile)

    @property
    def guidance(self) -> Guidance:
        recipe = self.recipe
        return Guidance(
            recipe.guidance_scale, recipe.image_guidance_scale, recipe.guidance_start, recipe.guidance_stop
        )

    def latents(
        self,
        inputs: SamplingInputs,
        labels: np.ndarray,
        index: np.ndarray,
        on_step: Callable[[], None] = lambda: None,
    ) -> torch.Tensor:
        """z_0 of some inputs, (B, C, h, w). The addresses are for schedulers that add noise on the way."""
        device = self.model.unet.device
        whole = len(labels) == self.recipe.batch_size  # the last one of a shard may be smaller
        with self.compiled.common() if whole else self.compiled.seldom():
            return sample(
                self.model.unet,
                self.scheduler,
                inputs.latents.to(device),
                inputs.prompt_embeds.to(device),
                inputs.null_embeds.to(device),
                None if inputs.image_latents is None else inputs.image_latents.to(device),
                self.guidance,
                num_inference_steps=self.recipe.num_inference_steps,
                start_step=inputs.start_step,
                generators=_generators(self.recipe.seed, labels, index, device),
                on_step=on_step,
            )

    def _file(self, square: np.ndarray) -> dict[str, Any]:
        return png(self.finished(Image.fromarray(square)))

    def finished(self, image: Image.Image) -> Image.Image:
        """A square of the model's as the source's images are: in shape, size and channels."""
        fit = fit_of(self.recipe, self.metadata)
        if fit != "crop":
            image = unsquare(image, self.size, fit)
        image = image.resize(self.size, Image.Resampling.LANCZOS) if image.size != self.size else image
        return self.coloured(image)

    def coloured(self, image: Image.Image) -> Image.Image:
        """Grey where all images of the source are. The untouched base knows nothing of them."""
        return image.convert("L") if self.metadata.grey and self.method.needs_checkpoint else image


def _generators(seed: int, labels: np.ndarray, index: np.ndarray, device: torch.device) -> list[torch.Generator]:
    """One for each row."""
    seeds = words(seed, Stream.SCHEDULER, labels, index, 1)[:, 0] >> np.uint64(1)
    return [torch.Generator(device).manual_seed(int(s)) for s in seeds]
