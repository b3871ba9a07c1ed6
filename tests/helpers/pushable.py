"""Folders as finetune and generate leave them, without a model behind them, and a Hub to push them to."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.artifacts.schema import png
from mvc_hf.artifacts.shards import ShardedDatasetWriter
from mvc_hf.captions.table import CaptionTable
from mvc_hf.storage.layout import CAPTIONS

NAMES = ("cat", "dog")
PARTS = {
    "tokenizer": ("CLIPTokenizer", "vocab.json", "merges.txt", "tokenizer_config.json"),
    "scheduler": ("DDIMScheduler", "scheduler_config.json"),
    "text_encoder": ("CLIPTextModel", "config.json", "model.safetensors"),
    "vae": ("AutoencoderKL", "config.json", "diffusion_pytorch_model.safetensors"),
    "unet": ("UNet2DConditionModel", "config.json", "diffusion_pytorch_model.safetensors"),
}


def pushable_checkpoint(folder: Path) -> Path:
    for part, (_, *files) in PARTS.items():
        (folder / part).mkdir(parents=True)
        for name in files:
            (folder / part / name).write_bytes(f"{part}/{name}".encode() * 100)
    index = {"_class_name": "StableDiffusionInstructPix2PixPipeline", "safety_checker": [None, None]}
    index |= {part: ["x", kind] for part, (kind, *_) in PARTS.items()}
    (folder / "model_index.json").write_text(json.dumps(index))
    CaptionTable([0, 1], ["a cat", "a dog"], [0, 1]).save(folder / CAPTIONS)
    known = {"name": "org/base", "revision": "a" * 40, "fingerprint": "f"}
    CheckpointMetadata("f" * 32, {"coarse": 2, "fine": 8}, NAMES, {**known, "images": 3}, known, 16, (16, 16), False,
          {"steps": 1, "images": 3}, {"mvc_hf": "0"}).save(folder)  # fmt: skip
    return folder


def pushable_data_set(folder: Path, rows: int = 4) -> Path:
    split = ShardedDatasetWriter(folder, {"seed": 0}, rows, 2, NAMES)
    for shard in split.missing():
        with split.writer(shard) as spool:
            spool.write(
                [
                    {
                        "image": png(Image.new("L", (4, 4), i)), "label": i % 2, "prompt": f"caption {i}",
                        "method": "mvc", "index": i // 2, "seed": 0, "condition": i,
                        "mix": {"base": i, "coarse": [], "fine": []},
                    }
                    for i in split.rows_of(shard)
                ]
            )  # fmt: skip
    split.finish()
    return folder
