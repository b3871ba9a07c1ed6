"""The diffusion model: loading it, widening its U-Net, guiding it, sampling from it, saving it.

Notation of the paper: z_t noisy latents, e_T text (prompt) embeddings, e_I latents of the condition image, ∅ the null
text and zero image latents, w the guidance scale.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .errors import ModelError, RecipeError
from .hub_pull import is_hub_id as is_hub_id
from .hub_pull import locate

COMPONENTS = ("tokenizer", "text_encoder", "vae", "unet", "scheduler")
NOTED_BY_LIBRARIES = ("transformers_version", "torch_dtype", "dtype", "architectures")
PIPELINES = ("StableDiffusionPipeline", "StableDiffusionInstructPix2PixPipeline")


@dataclass
class Base:
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

    @property
    def vae_factor(self) -> int:
        """Pixels per latent, along one side."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def resolution(self) -> int:
        """The side, in pixels, of the images that the base was made for."""
        size = self.unet.config.sample_size
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
        """Hex digest of the files of some components (of all, if none is named)."""
        digest = hashlib.blake2b(digest_size=16)
        for component in components or COMPONENTS:
            for path in sorted((self.folder / component).iterdir()):
                if path.suffix in (".safetensors", ".json", ".txt"):
                    digest.update(f"{component}/{path.name}".encode())
                    with path.open("rb") as file:
                        for block in iter(lambda: file.read(1 << 22), b""):
                            digest.update(block)
        return digest.hexdigest()

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

    def tokens_of(self, texts: list[str]) -> str:
        """Hex digest of the token ids of texts: of a tokenizer, what it does counts, not in which files it lies."""
        ids = self.tokenizer(texts, truncation=True, max_length=self.tokenizer.model_max_length).input_ids
        return hashlib.blake2b(json.dumps(ids).encode(), digest_size=16).hexdigest()

    @torch.inference_mode()
    def encode_text(self, texts: list[str]) -> torch.Tensor:
        """CLIP embeddings (N, m, d). What does not fit into m tokens is cut at the end; the class name comes first."""
        tokens = self.tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        )
        return self.text_encoder(tokens.input_ids.to(self.text_encoder.device))[0]

    @torch.inference_mode()
    def encode_images(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the VAE's posterior, unscaled.

        Args:
            pixels: RGB in [-1, 1], (N, 3, H, W).

        Returns:
            Two tensors (N, C, H / vae_factor, W / vae_factor).
        """
        posterior = self.vae.encode(pixels.to(self.vae.device, self.vae.dtype)).latent_dist
        return posterior.mean, posterior.std

    @torch.inference_mode()
    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Images of scaled latents: uint8 RGB, (N, H, W, 3), on the CPU; rounded as diffusers does."""
        pixels = self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample
        pixels = (pixels.float() / 2 + 0.5).clamp(0, 1) * 255
        return pixels.round().to(torch.uint8).permute(0, 2, 3, 1).cpu()

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Base:
        for module in (self.text_encoder, self.vae, self.unet):
            module.to(device)
            if module.dtype != dtype:
                module.to(dtype)
        return self


def load_base(model: str) -> Base:
    """Load a Stable Diffusion model or an InstructPix2Pix one, whose U-Net takes twice the channels (4, 8).

    Args:
        model: a folder in diffusers' layout, or a Hub id with an optional `@revision`.

    Raises:
        ModelError: it is not there, is not Stable Diffusion, or has no safetensors.
    """
    import diffusers
    import transformers

    found = locate(model)
    if found is None:
        raise ModelError(f"no model at {model!r}: give a folder in diffusers' layout, or a Hub id such as org/name")
    folder, name, revision = found
    _check_layout(folder, model)

    def part(library, cls: str, component: str, **options):
        return getattr(library, cls).from_pretrained(folder, subfolder=component, **options)

    weights = {"use_safetensors": True, "torch_dtype": torch.float32}
    text_weights = {"use_safetensors": True, "dtype": torch.float32}
    try:
        with _quiet():
            base = Base(
                folder=folder,
                name=name,
                revision=revision,
                tokenizer=part(transformers, "CLIPTokenizer", "tokenizer"),
                text_encoder=part(transformers, "CLIPTextModel", "text_encoder", **text_weights),
                vae=part(diffusers, "AutoencoderKL", "vae", **weights),
                unet=part(diffusers, "UNet2DConditionModel", "unet", **weights),
                scheduler=part(diffusers, "DDPMScheduler", "scheduler"),
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"cannot load {model}: {_first_line(error)}") from error
    channels, latent = base.unet.config.in_channels, base.vae.config.latent_channels
    if channels not in (latent, 2 * latent):
        raise ModelError(f"the U-Net of {model} takes {channels} channels; needed are {latent} or {2 * latent}")
    for module in (base.text_encoder, base.vae, base.unet):
        module.requires_grad_(False).eval()
    return base


def _check_layout(folder: Path, model: str) -> None:
    index = folder / "model_index.json"
    if not index.is_file():
        raise ModelError(f"{model} is not a diffusers model: it has no model_index.json")
    try:
        kind = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    except (json.JSONDecodeError, AttributeError) as error:
        raise ModelError(f"{model}: model_index.json is not valid JSON") from error
    if kind not in PIPELINES:
        raise ModelError(f"{model} is a {kind}; needed is Stable Diffusion 1.x or 2.x ({' or '.join(PIPELINES)})")
    for component in COMPONENTS:
        if not (folder / component).is_dir():
            raise ModelError(f"{model} has no {component}/ folder")
    for component in ("text_encoder", "vae", "unet"):
        if not list((folder / component).glob("*.safetensors")):
            raise ModelError(f"{model} has no safetensors in {component}/; pickle files are not loaded")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextlib.contextmanager
def _quiet():
    """Without the loaders' own progress bars and notices: ours say what is going on."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    levels = [(log, log.get_verbosity()) for log in (diffusers_logging, transformers_logging)]
    bars = transformers_logging.is_progress_bar_enabled()
    for log, _ in levels:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log, level in levels:
            log.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
            diffusers_logging.enable_progress_bar()


def precision(name: str) -> torch.dtype:
    """The type of the weights for a `--mixed-precision`. Raises RecipeError where this machine does not have it."""
    if name == "fp16" and not torch.cuda.is_available():
        raise RecipeError("--mixed-precision fp16 needs a GPU; take bf16 or no")
    return {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[name]


def widen_unet(unet: Any) -> Any:
    """Double the U-Net's input channels (4) for the condition image, in place; a widened one (8) is left as it is.

    The new channels start at zero (InstructPix2Pix, Section 3.2), so that before training the widened U-Net predicts
    exactly what the original one does, whatever the condition.
    """
    old = unet.conv_in
    if unet.config.in_channels == 2 * unet.config.out_channels:
        return unet
    new = torch.nn.Conv2d(
        2 * old.in_channels, old.out_channels, old.kernel_size, old.stride, old.padding,
        device=old.weight.device, dtype=old.weight.dtype,
    )  # fmt: skip
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        new.bias.copy_(old.bias)
    unet.conv_in = new.requires_grad_(old.weight.requires_grad)
    unet.register_to_config(in_channels=new.in_channels)
    return unet


def make_scheduler(name: str, config: dict[str, Any], num_inference_steps: int | None = None) -> Any:
    """A diffusers scheduler by class name, for a base's noise schedule.

    Raises:
        RecipeError: there is no scheduler of that name in the installed diffusers.
    """
    import diffusers

    cls = getattr(diffusers, name, None)
    if not (inspect.isclass(cls) and issubclass(cls, diffusers.SchedulerMixin)):
        raise RecipeError(
            f"--scheduler {name!r} is not in diffusers {diffusers.__version__}; try EulerDiscreteScheduler"
        )
    options = {}
    if "clip_sample" in inspect.signature(cls.__init__).parameters:
        options["clip_sample"] = False  # latents are not pixels: clipping them to [-1, 1] destroys them
    scheduler = cls.from_config(config, **options)
    if num_inference_steps is not None:
        try:
            scheduler.set_timesteps(num_inference_steps)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise RecipeError(f"--scheduler {name} does not take {num_inference_steps} steps: {error}") from error
    return scheduler


@dataclass
class Guidance:
    """Which passes of the U-Net a step takes, and how their predictions become one.

    With no scale of its own for the image it is Eq. 6, ε = ε(∅, ∅) + w (ε(e_I, e_T) − ε(∅, ∅)); with one it is
    InstructPix2Pix's Eq. 3. Where the two scales are equal the two rules are the same, and where both are 1 only the
    conditional pass is left: it takes as few passes as the scales allow.
    """

    text: float
    image: float | None = None

    @property
    def passes(self) -> tuple[tuple[bool, bool], ...]:
        """(with image, with text) of each pass."""
        if self.image is None or self.image == self.text:
            return ((True, True),) if self.text == 1 else ((False, False), (True, True))
        return ((False, False), (True, False), (True, True))

    def combine(self, predictions: tuple[torch.Tensor, ...]) -> torch.Tensor:
        if len(predictions) == 1:
            return predictions[0]
        if len(predictions) == 2:
            unconditional, conditional = predictions
            return unconditional + self.text * (conditional - unconditional)
        unconditional, image, conditional = predictions
        return unconditional + self.image * (image - unconditional) + self.text * (conditional - image)


@torch.inference_mode()
def sample(
    unet: Any,
    scheduler: Any,
    latents: torch.Tensor,
    prompt_embeds: torch.Tensor,
    null_embeds: torch.Tensor,
    image_latents: torch.Tensor | None,
    guidance: Guidance,
    *,
    num_inference_steps: int,
    generators: list[torch.Generator] | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> torch.Tensor:
    """Denoise a batch (Eq. 5) under guidance (Eq. 6). Rows do not see each other, so a batch may mix classes.

    Args:
        latents: z_T, standard normal, (B, C, h, w).
        prompt_embeds: e_T, (B, m, d).
        null_embeds: CLIP(""), (m, d).
        image_latents: e_I, unscaled, (B, C, h, w), for a widened U-Net; None for one that is not.
        generators: one for each row, for schedulers that add noise; others ignore them.

    Returns:
        Scaled latents z_0, (B, C, h, w).
    """
    passes = guidance.passes
    text = torch.cat([prompt_embeds if t else null_embeds.expand_as(prompt_embeds) for _, t in passes]).to(unet.dtype)
    image = None
    if image_latents is not None:
        image = torch.cat([image_latents if i else torch.zeros_like(image_latents) for i, _ in passes])
    scheduler.set_timesteps(num_inference_steps, device=latents.device)
    options = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
    latents = latents * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        inputs = scheduler.scale_model_input(torch.cat([latents] * len(passes)), t)
        if image is not None:
            inputs = torch.cat([inputs, image], dim=1)
        predicted = unet(inputs.to(unet.dtype), t, encoder_hidden_states=text, return_dict=False)[0]
        predictions = predicted.to(latents.dtype).chunk(len(passes))  # the scheduler's sums stay in full precision
        latents = scheduler.step(guidance.combine(predictions), t, latents, return_dict=False, **options)[0]
        on_step()
    return latents


def check_trainable(scheduler: Any) -> None:
    """Raises ModelError where the base predicts neither ε nor v."""
    kind = scheduler.config.prediction_type
    if kind not in ("epsilon", "v_prediction"):
        raise ModelError(f"the base predicts {kind!r}; fine-tuning supports epsilon and v_prediction")


def training_target(
    scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """What the U-Net is asked for: ε, or v where the base predicts v."""
    if scheduler.config.prediction_type == "v_prediction":
        return scheduler.get_velocity(latents, noise, timesteps)
    return noise


def save_pipeline(base: Base, unet: Any, folder: Path) -> None:
    """Write a StableDiffusionInstructPix2PixPipeline that plain diffusers loads; safetensors only, no local path."""
    from diffusers import SchedulerMixin, StableDiffusionInstructPix2PixPipeline

    scheduler: SchedulerMixin = make_scheduler(_stored_scheduler(base.folder), base.scheduler.config)
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=base.vae, text_encoder=base.text_encoder, tokenizer=base.tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    with _quiet():
        pipeline.save_pretrained(folder, safe_serialization=True)
    _forget_paths(folder.rglob("*.json"), base.name)


def _stored_scheduler(folder: Path) -> str:
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    return config.get("_class_name", "PNDMScheduler")


def _forget_paths(files: Iterable[Path], name: str) -> None:
    """Both libraries note where a model came from: keep the Hub id or the folder's name, never a path."""
    for file in files:
        values = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(values, dict) and "_name_or_path" in values:
            values["_name_or_path"] = name
            file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
