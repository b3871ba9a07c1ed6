"""What the images are seen through: a timm model with weights from the Hub or a file. Every figure names it."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError
from ..utils.text import brief, reason, some

if TYPE_CHECKING:
    import torch

DEFAULT = "vit_small_patch14_dinov2.lvd142m"
SECOND = "tf_efficientnet_lite0.in1k"  # small, and good enough on a CPU
CLASSIFIER = "classifier"
WEIGHTS = "model.safetensors"
LARGEST_BY_ITSELF = 224  # models for larger pictures are given such ones where they take them


@dataclass(frozen=True)
class Extractor:
    """A network without its head.

    Attributes:
        name: as every figure names it.
        identity: what decides its features, for the cache.
        size: side of the squares that it sees.
    """

    name: str
    identity: dict[str, Any]
    size: int
    device: torch.device
    model: Callable[[Any], Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Features, float32 (n, d), of pictures, uint8 (n, 3, size, size)."""
        import torch

        with torch.inference_mode():
            values = torch.from_numpy(pictures).to(self.device).float() / 255
            shape = 1, 3, 1, 1
            middle, spread = (torch.tensor(v, device=self.device).reshape(shape) for v in (self.mean, self.std))
            return self.model((values - middle) / spread).float().cpu().numpy()


def open_timm(name: str, weights: str | None, size: int | None, device: torch.device) -> Extractor:
    """A timm model by its name.

    Args:
        weights: a safetensors file; None for the weights that timm names on the Hub, or the cache has.
        size: side of the squares; None for its own, at most 224 where the model takes others.

    Raises:
        ModelError: there is no such model, or its weights cannot be had; the line says what could be.
    """
    import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name.partition(".")[0].lower(), timm.list_models(), 3, 0.5)
        hint = f"did you mean {some(near)}?" if near else "timm.list_models() says which there are"
        raise ModelError(f"--features {brief(name)}: timm has no such model; {hint}")
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        known = some(timm.list_pretrained(f"{name.partition('.')[0]}.*"))
        raise ModelError(f"--features {brief(name)}: timm knows no such weights of it; there are {known}") from error
    if weights is None:
        file, known = _from_hub(name, config)
        full = f"{config.architecture}.{config.tag}" if config.tag else config.architecture
    else:
        file, known, full = _local(weights), "", name.partition(".")[0]
    model = _built(name, file, size)
    cfg = model.pretrained_cfg
    side = size or _side(model)
    from ..storage.integrity import sha256

    digest = sha256(file)
    called = full if weights is None else f"{full} with {Path(weights).name} ({digest[:8]})"
    model = model.eval().requires_grad_(False).to(device)
    identity = {"timm": timm.__version__, "model": name, "weights": known or digest, "size": side}
    try:
        found = Extractor(called, identity, side, device, model, tuple(cfg["mean"]), tuple(cfg["std"]))
        values = found(np.zeros((1, 3, side, side), np.uint8))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        raise ModelError(
            f"{name} does not take pictures of {side}×{side} ({reason(error)}): leave --feature-size out"
        ) from error
    if values.ndim != 2:
        raise ModelError(
            f"{name} gives features of {values.ndim} dimensions a picture, not one row: take another model"
        )
    return found


def _from_hub(name: str, config: Any) -> tuple[Path, str]:
    """The file with the weights, and the commit that it is of."""
    from ..hub.download.models import from_cache, pull

    hub_id = getattr(config, "hf_hub_id", None)
    if not hub_id:
        raise ModelError(f"--features {name}: timm names no weights for it on the Hub; {could_be_had()}")

    def wanted(info: Any) -> list[str]:
        if WEIGHTS not in {file.rfilename for file in info.siblings or ()}:
            raise ModelError(f"{hub_id} has no {WEIGHTS}, and other formats are not read")
        return [WEIGHTS]

    def cached(repository: str, revision: str | None) -> Path | None:
        return from_cache(repository, revision, [WEIGHTS], WEIGHTS)

    try:
        found = pull(hub_id, wanted, cached, called=f"the weights of {name}")
    except ModelError as error:
        raise ModelError(f"--features {name}: {error}. {could_be_had()}") from error
    return found.folder / WEIGHTS, found.commit


def could_be_had() -> str:
    """What to see the images through instead, as the end of a message."""
    here = cached_models()
    cache = f"from the cache: {', '.join(here)}; " if here else ""
    return (
        f"What can be had: {cache}any timm model with --feature-weights FILE.safetensors; --features {CLASSIFIER}, "
        "trained here on the real images"
    )


def cached_models() -> list[str]:
    """timm models whose weights are in the cache of the Hub's client."""
    from huggingface_hub.constants import HF_HUB_CACHE

    found = Path(HF_HUB_CACHE).glob(f"models--timm--*/snapshots/*/{WEIGHTS}")
    return sorted({path.parents[2].name.removeprefix("models--timm--") for path in found})


def _local(weights: str) -> Path:
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ModelError(f"--feature-weights {brief(weights)}: there is no such file")
    if path.suffix != ".safetensors":
        raise ModelError(f"--feature-weights {brief(weights)}: only .safetensors files are read; convert it")
    return path


def _built(name: str, file: Path, size: int | None) -> Any:
    """The model without its head, at a size that it takes."""
    import timm

    common = {
        "pretrained": True,
        "num_classes": 0,
        "pretrained_cfg_overlay": {"file": str(file), "custom_load": False},
    }
    own = timm.get_pretrained_cfg(name).input_size[-1]
    wanted = size or min(own, LARGEST_BY_ITSELF)
    try:
        if wanted != own:
            try:
                return timm.create_model(name, img_size=wanted, **common)
            except TypeError:  # most convolutional networks know no size
                pass
        return timm.create_model(name, **common)
    except Exception as error:  # of timm, safetensors and torch, of many kinds
        raise ModelError(
            f"the weights in {file.name} are not those of {name} ({reason(error)}): give its own"
        ) from error


def _side(model: Any) -> int:
    """The size that a model was built for."""
    embed = getattr(model, "patch_embed", None)
    built = getattr(embed, "img_size", None)
    return int(built[-1]) if built else min(model.pretrained_cfg["input_size"][-1], LARGEST_BY_ITSELF)
