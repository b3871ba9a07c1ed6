"""diffusers' example trainer, examples/instruct_pix2pix/train_instruct_pix2pix.py, run as it is, in this process.

Its `main` runs unchanged; what it loads is put into its hands: the models that we made, and pictures in memory. So its
loader, both encodings, its noise, its optimiser and its moving average are its own, and only disk and network are not.
"""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from mvc_hf.diffusion.model import StableDiffusion


def train(script: Path, model: StableDiffusion, data: Any, flags: list[Any], after_step: Callable[[], None]) -> None:
    """Train until `after_step`, called after each update, raises. The script widens the model's U-Net itself."""
    module = _module(script)
    model.unet.requires_grad_(True)  # as from_pretrained gives it
    given = {
        "UNet2DConditionModel": model.unet, "AutoencoderKL": model.vae, "CLIPTextModel": model.text_encoder,
        "CLIPTokenizer": model.tokenizer, "DDPMScheduler": model.scheduler,
    }  # fmt: skip
    for name, part in given.items():
        setattr(module, name, SimpleNamespace(from_pretrained=lambda *_, part=part, **__: part))
    module.load_dataset = lambda *_, **__: {"train": data}

    class Accelerator(module.Accelerator):
        def init_trackers(self, *_: Any, **__: Any) -> None: ...

        def log(self, *_: Any, **__: Any) -> None:
            after_step()

    module.Accelerator = Accelerator
    arguments = [
        "--pretrained_model_name_or_path", "given", "--dataset_name", "given", "--original_image_column", "before",
        "--edited_image_column", "after", "--edit_prompt_column", "text", "--use_ema",
        "--conditioning_dropout_prob", 0.05, "--max_train_steps", 10**6, "--checkpointing_steps", 10**6, "--seed", 0,
        *flags,
    ]  # fmt: skip
    with mock.patch.object(sys, "argv", [str(script), *map(str, arguments)]):
        module.main()


def pictures(side: int, count: int, texts: list[str]) -> Any:
    """Pairs of JPEGs of this side, and a text each, as a data set in memory. A few different ones, over and over."""
    import datasets
    from PIL import Image

    rng, files = np.random.default_rng(0), []
    for _ in range(16):
        small = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(file := io.BytesIO(), "JPEG", quality=90)
        files.append({"bytes": file.getvalue(), "path": None})
    columns = {
        "before": [files[i % 16] for i in range(count)], "after": [files[(i + 5) % 16] for i in range(count)],
        "text": [texts[i % len(texts)] for i in range(count)],
    }  # fmt: skip
    kinds = datasets.Features(before=datasets.Image(), after=datasets.Image(), text=datasets.Value("string"))
    return datasets.Dataset.from_dict(columns, features=kinds)


def _module(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_instruct_pix2pix", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
