"""The diffusion model: loading it, widening its U-Net, guiding it, sampling from it, saving it.

Notation of the paper: z_t noisy latents, e_T text (prompt) embeddings, e_I latents of the condition image, ∅ the null
text and zero image latents, w the guidance scale.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .base_checks import COMPONENTS, check_layout, check_numbers, check_whole, try_out
from .errors import DivergedError, ModelError, RecipeError
from .finite import all_finite
from .foreign import foreign, quiet
from .hub_pull import is_hub_id as is_hub_id
from .hub_pull import locate
from .integrity import CAPTIONS, check_checkpoint
from .schedulers import check_scheduler
from .texts import reason
from .weights import STEMS, listing, variant_of, variants_of

NOTED_BY_LIBRARIES = ("transformers_version", "torch_dtype", "dtype", "architectures")


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

    def tokens_of(self, texts: list[str]) -> str:
        """Hex digest of the token ids of texts: of a tokenizer, what it does counts, not in which files it lies."""
        ids = self.tokenizer(texts, truncation=True, max_length=self.tokens).input_ids
        return hashlib.blake2b(json.dumps(ids).encode(), digest_size=16).hexdigest()

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

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Base:
        for module in (self.text_encoder, self.vae, self.unet):
            module.to(device)
            if module.dtype != dtype:
                module.to(dtype)
        return self


def load_base(model: str, variant: str | None = None) -> Base:
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
    check_checkpoint(folder, lambda name: name != CAPTIONS)
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

        base = Base(
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


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def precision(name: str) -> torch.dtype:
    """The type of the weights for a `--mixed-precision`. Raises RecipeError where this machine does not have it."""
    if name == "fp16" and not torch.cuda.is_available():
        raise RecipeError("--mixed-precision fp16 needs a GPU; take bf16 or no")
    return {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[name]


def widen_unet(unet: Any) -> Any:
    """Give the U-Net four more input channels for the condition image, in place; an 8-channel U-Net is left as it is.

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

    With a number of steps it is led through all of them, with a stand-in for the model, so that what it does not take
    is heard before anything is spent.

    Raises:
        RecipeError: it is none for such a base, is not in the installed diffusers or lacks what it is made with, does
            not take the number of steps, or divides by zero on the base's noise schedule.
    """
    import diffusers

    check_scheduler(name)
    cls = getattr(diffusers, name, None)
    if missing := [package for package in getattr(cls, "_backends", ()) if package != "torch"]:
        raise RecipeError(  # in its place diffusers has put a class that cannot be made
            f"--scheduler {name} needs {' and '.join(missing)}, which is not installed: pip install "
            f"{' '.join(missing)}, or take EulerDiscreteScheduler"
        )
    if cls is None:
        raise RecipeError(
            f"--scheduler {name!r} is not in diffusers {diffusers.__version__}; try EulerDiscreteScheduler"
        )
    options = {}
    if "clip_sample" in inspect.signature(cls.__init__).parameters:
        options["clip_sample"] = False  # latents are not pixels: clipping them to [-1, 1] destroys them
    try:
        scheduler = cls.from_config(config, **options)
        if num_inference_steps is not None:
            _walk_through(scheduler, num_inference_steps)
    except RecipeError:
        raise
    except Exception as error:  # each scheduler has its own way of saying no
        steps = f"{num_inference_steps} steps on " if num_inference_steps is not None else ""
        raise RecipeError(
            f"--scheduler {name} does not take {steps}the base's noise schedule ({reason(error)}): take another "
            "--scheduler or --num-inference-steps"
        ) from error
    return scheduler


def _walk_through(scheduler: Any, steps: int) -> None:
    """All steps, with one number for latents and a model that gives it back. Raises RecipeError where that breaks."""

    def model(unet_input: torch.Tensor, timestep: Any, **_: Any) -> tuple[torch.Tensor]:
        return (unet_input,)

    model.dtype = torch.float32
    one = torch.ones(1, 1, 1, 1)
    try:
        sample(
            model, scheduler, one, torch.zeros(1, 1, 1), torch.zeros(1, 1), None, Guidance(1.0),
            num_inference_steps=steps, generators=[torch.Generator().manual_seed(0)],
        )  # fmt: skip
    except DivergedError as error:
        raise RecipeError(str(error)) from error
    scheduler.set_timesteps(steps)


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
        image_latents: e_I, unscaled, (B, C, h, w), for an 8-channel U-Net; None for a 4-channel one.
        generators: one for each row, for schedulers that add noise; others ignore them.

    Returns:
        Scaled latents z_0, (B, C, h, w).

    Raises:
        DivergedError: they are not finite; the step from which on is named. It is found after the last step, as to
            look at each would mean to wait for the device.
    """
    passes = guidance.passes
    text = torch.cat([prompt_embeds if t else null_embeds.expand_as(prompt_embeds) for _, t in passes]).to(unet.dtype)
    image = None
    if image_latents is not None:
        image = torch.cat([image_latents if i else torch.zeros_like(image_latents) for i, _ in passes])
    scheduler.set_timesteps(num_inference_steps, device=latents.device)
    options = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
    latents = latents * scheduler.init_noise_sigma
    sound = torch.zeros((), dtype=torch.int64, device=latents.device)  # steps with finite latents
    for t in scheduler.timesteps:
        inputs = scheduler.scale_model_input(torch.cat([latents] * len(passes)), t)
        if image is not None:
            inputs = torch.cat([inputs, image], dim=1)
        predicted = unet(inputs.to(unet.dtype), t, encoder_hidden_states=text, return_dict=False)[0]
        predictions = predicted.to(latents.dtype).chunk(len(passes))  # the scheduler's sums stay in full precision
        latents = scheduler.step(guidance.combine(predictions), t, latents, return_dict=False, **options)[0]
        sound += all_finite([latents])
        on_step()
    if (steps := sound.item()) < len(scheduler.timesteps):
        raise DivergedError(_diverged(scheduler, steps + 1, guidance, unet.dtype))
    return latents


def _diverged(scheduler: Any, step: int, guidance: Guidance, dtype: torch.dtype) -> str:
    """What to change, the likeliest first."""
    name, config = type(scheduler).__name__, scheduler.config
    help = [f"--scheduler {name}"]
    if getattr(config, "rescale_betas_zero_snr", False) and config.prediction_type == "epsilon":
        help[0] += " (a schedule that ends without signal divides by zero where ε is predicted)"
    if dtype == torch.float16:
        help.append("--mixed-precision fp16")
    if max(guidance.text, guidance.image or 0) > 1:
        help.append(f"--guidance-scale {guidance.text:g}")
    return (
        f"the latents are not finite from denoising step {step} of {len(scheduler.timesteps)} on, so no such row is "
        f"written: change {' or '.join(help)}"
    )


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

    _forget_last_call(base.tokenizer)
    scheduler: SchedulerMixin = make_scheduler(_stored_scheduler(base.folder), base.scheduler.config)
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=base.vae, text_encoder=base.text_encoder, tokenizer=base.tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    with quiet():
        pipeline.save_pretrained(folder, safe_serialization=True)
    _forget_paths((file for component in COMPONENTS for file in (folder / component).glob("*.json")), base.name)


def _forget_last_call(tokenizer: Any) -> None:
    """A fast tokenizer keeps, and would save, how its last call padded and cut: equal runs are to make equal files."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_padding()
        backend.no_truncation()


def _stored_scheduler(folder: Path) -> str:
    """The base's own scheduler, which `check_numbers` has let pass; DDIM where this machine cannot make that one."""
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    name = config.get("_class_name", "PNDMScheduler")
    try:
        make_scheduler(name, config)
    except RecipeError:
        return "DDIMScheduler"
    return name


def _forget_paths(files: Iterable[Path], name: str) -> None:
    """Both libraries note where a model came from: keep the Hub id or the folder's name, never a path."""
    for file in files:
        values = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(values, dict) and "_name_or_path" in values:
            values["_name_or_path"] = name
            file.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
