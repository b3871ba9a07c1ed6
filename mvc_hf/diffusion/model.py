"""A Stable Diffusion model: its parts, loaded and checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import DivergedError, ModelError, RecipeError
from ..hub.download.models import locate
from ..hub.download.weights import STEMS, listing, variant_of, variants_of
from ..storage.integrity import check_checkpoint
from ..storage.layout import ADAPTER, CAPTIONS
from ..utils.foreign import foreign, quiet
from .checks import COMPONENTS, check_layout, check_numbers, check_whole, try_out
from .finite import all_finite
from .sampling import _short

NOTED_BY_LIBRARIES = ("transformers_version", "torch_dtype", "dtype", "architectures")


@dataclass
class StableDiffusion:
    """The parts of a Stable Diffusion model. Weights are float32, frozen, in evaluation mode.

    `name` is what may be recorded: the Hub id, or the folder's name. `revision` is the resolved commit on the Hub.
    """

    folder: Path
    name: str
    revision: str | None
    tokenizer: Any
    text_encoder: Any
    vae: Any
    unet: Any
    scheduler: Any
    variants: dict[str, str | None] = field(default_factory=dict)  # of the weights of each part

    @property
    def tokens(self) -> int:
        """m: how many tokens the text encoder reads. Its network knows, whatever the tokenizer's files say."""
        return self.text_encoder.config.max_position_embeddings

    @property
    def width(self) -> int:
        """d: of an embedding."""
        return self.text_encoder.config.hidden_size

    @property
    def vae_factor(self) -> int:
        """Pixels per latent, along one side."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def resolution(self) -> int:
        """The side, in pixels, of the images that the base was made for."""
        size = self.unet.config.sample_size
        if size is None:
            raise ModelError(f"{self.name} does not say for which size of images it was made: give --resolution")
        return (size if isinstance(size, int) else size[0]) * self.vae_factor

    def check_resolution(self, resolution: int) -> int:
        """Raises RecipeError where the VAE and the U-Net cannot halve the resolution."""
        step = self.vae_factor * 2 ** (len(self.unet.config.block_out_channels) - 1)
        if resolution % step:
            lower = max(step, resolution // step * step)
            raise RecipeError(
                f"--resolution {resolution} cannot be halved by this model: it must be a multiple of {step}; "
                f"take {lower} or {resolution // step * step + step}"
            )
        return resolution

    def fingerprint(self, *components: str) -> str:
        """Hex digest of the files of some components (of all, if none is named): of weights, those that are loaded."""
        digest = hashlib.blake2b(digest_size=16)
        for component in components or COMPONENTS:
            for path in sorted((self.folder / component).iterdir()):
                if path.suffix in (".json", ".txt") or self._is_loaded(component, path.name):
                    digest.update(f"{component}/{path.name}".encode())
                    with path.open("rb") as file:
                        for block in iter(lambda: file.read(1 << 22), b""):
                            digest.update(block)
        return digest.hexdigest()

    def _is_loaded(self, component: str, name: str) -> bool:
        return component in STEMS and variant_of(name, STEMS[component]) == (self.variants.get(component) or "")

    def encoder_fingerprint(self, component: str) -> str:
        """Hex digest of what an encoder computes: its weights, as they are loaded, and the shape of its network.

        Not of its files: a checkpoint holds the encoders of its base, perhaps in another precision, and what these
        have encoded need not be encoded again.
        """
        module = getattr(self, component)
        values = (
            json.loads(module.config.to_json_string(use_diff=False))
            if component == "text_encoder"
            else {**module.config}
        )
        kept = {k: v for k, v in values.items() if not k.startswith("_") and k not in NOTED_BY_LIBRARIES}
        digest = hashlib.blake2b(json.dumps(kept, sort_keys=True, default=str).encode(), digest_size=16)
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def tokenizer_fingerprint(self) -> str:
        """Hex digest of how texts become token ids: of the rules and the vocabulary, not of the files they lie in.

        Not of the ids of all texts, either: there may be a million, and this is asked whenever a bank is opened.
        """
        tokenizer = self.tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        rules = json.loads(backend.to_str()) if backend is not None else {"model": tokenizer.get_vocab()}
        kept = {name: rules.get(name) for name in ("normalizer", "pre_tokenizer", "post_processor", "model")}
        kept |= {"added": rules.get("added_tokens"), "pad": tokenizer.pad_token_id, "length": self.tokens}
        return hashlib.blake2b(json.dumps(kept, sort_keys=True).encode(), digest_size=16).hexdigest()

    @torch.inference_mode()
    def encode_text(self, texts: list[str]) -> torch.Tensor:
        """CLIP embeddings (N, m, d). What does not fit into m tokens is cut at the end; the class name comes first.

        Raises:
            DivergedError: they are not finite in half precision, in which they are kept.
        """
        tokens = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.tokens, return_tensors="pt"
        )
        embeddings = self.text_encoder(tokens.input_ids.to(self.text_encoder.device))[0]
        return self._storable(embeddings, "text encoder", "embeddings")

    @torch.inference_mode()
    def encode_images(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the VAE's posterior, unscaled.

        Args:
            pixels: RGB in [-1, 1], (N, 3, H, W).

        Returns:
            Two tensors (N, C, H / vae_factor, W / vae_factor).

        Raises:
            DivergedError: they are not finite in half precision, in which they are kept.
        """
        posterior = self.vae.encode(pixels.to(self.vae.device, self.vae.dtype)).latent_dist
        return tuple(self._storable(part, "VAE", "latents") for part in (posterior.mean, posterior.std))

    def _storable(self, values: torch.Tensor, what: str, of: str) -> torch.Tensor:
        if not all_finite([values.half()]):
            raise DivergedError(
                f"the {what} of {self.name} gives {of} that are not finite in half precision: its weights are "
                "damaged or of another model; take another base"
            )
        return values

    @torch.inference_mode()
    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Images of scaled latents: uint8 RGB, (N, H, W, 3), on the CPU; rounded as diffusers does.

        Raises:
            DivergedError: the VAE's output is not finite; a cast to uint8 would make it black.
        """
        pixels = self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample
        if not all_finite([pixels]):
            raise DivergedError(
                f"the VAE of {self.name} gives pixels that are not finite: no such row is written; "
                + (
                    "its weights are damaged, or the latents are no images"
                    if self.vae.dtype == torch.float32
                    else f"it does not bear {_short(self.vae.dtype)}: take --mixed-precision no"
                )
            )
        pixels = (pixels.float() / 2 + 0.5).clamp(0, 1) * 255
        return pixels.round().to(torch.uint8).permute(0, 2, 3, 1).cpu()

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> StableDiffusion:
        for module in (self.text_encoder, self.vae, self.unet):
            module.to(device)
            if module.dtype != dtype:
                with quiet():  # diffusers warns of layers that should stay as they are, where there are none, too
                    module.to(dtype)
        return self


def load_base(model: str, variant: str | None = None) -> StableDiffusion:
    """Load a Stable Diffusion (4-channel) or InstructPix2Pix (8-channel) model, and try it out in small.

    Args:
        model: a folder in diffusers' layout, or a Hub id with an optional `@revision`.
        variant: of the weights, as "fp16" (default: those that have none, else the only one).

    Raises:
        ModelError: it is not there, is not Stable Diffusion, has no safetensors, lacks weights or has some that are
            not finite, its parts do not fit together, or it is a checkpoint of ours that is not as it was made.
    """
    import diffusers
    import transformers

    found = locate(model, variant=variant)
    if found is None:
        raise ModelError(_not_a_folder(model))
    folder, name, revision = found
    check_checkpoint(folder, lambda name: name != CAPTIONS and name not in ADAPTER)
    with foreign(f"cannot load {model}"):
        check_layout(folder, model)
        check_numbers(folder, model)
        variants = variants_of(listing(folder), model, variant)

        def network(library: Any, cls: str, part: str, dtype: str) -> Any:
            module, info = getattr(library, cls).from_pretrained(
                folder, subfolder=part, use_safetensors=True, variant=variants[part], output_loading_info=True,
                **{dtype: torch.float32},
            )  # fmt: skip
            check_whole(part, info, model)
            return module.requires_grad_(False).eval()

        base = StableDiffusion(
            folder=folder,
            name=name,
            revision=revision,
            tokenizer=transformers.CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer"),
            text_encoder=network(transformers, "CLIPTextModel", "text_encoder", "dtype"),
            vae=network(diffusers, "AutoencoderKL", "vae", "torch_dtype"),
            unet=network(diffusers, "UNet2DConditionModel", "unet", "torch_dtype"),
            scheduler=diffusers.DDPMScheduler.from_pretrained(folder, subfolder="scheduler"),
            variants=variants,
        )
        base.tokenizer.model_max_length = base.tokens  # what is saved of it says what is true
    with foreign(f"the parts of {model} do not fit together"):
        try_out(base, model)
    return base


def _not_a_folder(model: str) -> str:
    path = Path(model).expanduser()
    if path.is_file() and path.suffix == ".safetensors":
        target = path.with_suffix("")
        return (
            f"{model} is a single file: make a folder in diffusers' layout of it, once, with the Hub in reach: python "
            f"-c \"from diffusers import StableDiffusionPipeline as P; P.from_single_file('{path}')"
            f".save_pretrained('{target}')\"; then give {target} in its place"
        )
    if path.is_file():
        return (
            f"{model} is a file, not a model in diffusers' layout: give a folder or a Hub id; pickles are not loaded"
        )
    return f"no model at {model!r}: give a folder in diffusers' layout, or a Hub id such as org/name"


def precision(name: str) -> torch.dtype:
    """The type of the weights for a `--mixed-precision`. Raises RecipeError where this machine does not have it."""
    if name == "fp16" and not torch.cuda.is_available():
        raise RecipeError("--mixed-precision fp16 needs a GPU; take bf16 or no")
    return {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[name]
