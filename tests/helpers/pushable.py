"""Folders as finetune and generate leave them, without a model behind them, and what a Hub has of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub_server import File
from PIL import Image

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.artifacts.schema import png
from mvc_hf.artifacts.shards import ShardedDatasetWriter
from mvc_hf.captions.table import CaptionTable
from mvc_hf.errors import MvcError
from mvc_hf.hub.download.weights import STEMS
from mvc_hf.publish.push import push
from mvc_hf.storage.layout import CAPTIONS

NAMES = ("cat", "dog")
ODD_NAMES = ("cat", "dog: a 'b'", "🙂")
SHARDS = [f"data/train-{i:05d}-of-00003.parquet" for i in range(3)]  # of `data_set`
PARTS = {
    "tokenizer": ("CLIPTokenizer", "vocab.json", "merges.txt", "tokenizer_config.json"),
    "scheduler": ("DDIMScheduler", "scheduler_config.json"),
    "text_encoder": ("CLIPTextModel", "config.json", "model.safetensors"),
    "vae": ("AutoencoderKL", "config.json", "diffusion_pytorch_model.safetensors"),
    "unet": ("UNet2DConditionModel", "config.json", "diffusion_pytorch_model.safetensors"),
}
NOT_PUBLISHED = [
    "checkpoints/run.json", "checkpoints/step-00000001/unet.safetensors", "checkpoints/places.json",
    ".mvc.json.tmp",
    ".mvc-hf.lock", ".mvc-hf.holder.json", "unet/diffusion_pytorch_model.bin", "text_encoder/model.bin",
]  # fmt: skip


def pushable_checkpoint(folder: Path, others: list[str] | None = None) -> Path:
    """A checkpoint, and beside it files of these names."""
    files = [f"{part}/{name}" for part, (_, *names) in PARTS.items() for name in names]
    for name in [*files, *(others or [])]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 100)
    index = {"_class_name": "StableDiffusionInstructPix2PixPipeline", "safety_checker": [None, None]}
    index |= {part: ["x", kind] for part, (kind, *_) in PARTS.items()}
    (folder / "model_index.json").write_text(json.dumps(index))
    CaptionTable([0, 1], ["a cat", "a dog"], [0, 1]).save(folder / CAPTIONS)
    known = {"name": "org/base", "revision": "a" * 40, "fingerprint": "f"}
    CheckpointMetadata("f" * 32, {"coarse": 2, "fine": 8}, NAMES, {**known, "images": 3}, known, 16, (16, 16), False,
          {"steps": 1, "images": 3}, {"mvc_hf": "0"}).save(folder)  # fmt: skip
    return folder


def pushable_data_set(folder: Path, rows: int = 4) -> Path:
    fill(ShardedDatasetWriter(folder, {"seed": 0}, rows, 2, NAMES))
    return folder


def data_set(folder: Path, rows: int = 9, value: int = 0) -> Path:
    """Shards of three rows, with a card; `value` makes another data set of the same shape."""
    fill(ShardedDatasetWriter(folder, {"seed": value}, rows, 3, ODD_NAMES), value)
    (folder / "README.md").write_text("---\nconfigs: []\n---\nsynthetic\n")
    return folder


def nine_rows(folder: Path) -> ShardedDatasetWriter:
    """Three shards of three rows, none of them written."""
    return ShardedDatasetWriter(folder, {"seed": 0}, 9, 3, ODD_NAMES)


def with_another_shard(folder: Path, shard: int) -> Path:
    """As `data_set`, but for one shard."""
    split = nine_rows(data_set(folder))
    with split.writer(shard) as spool:
        spool.write([row(i, 99, len(ODD_NAMES)) for i in split.rows_of(shard)])
    split.finish()
    return folder


def fill(split, value=0, watch=lambda split: None):
    for shard in split.missing():
        with split.writer(shard) as spool:
            spool.write([row(i, value, len(split.class_names)) for i in split.rows_of(shard)])
        watch(split)
    split.finish()


def row(i, value, classes):
    return {
        "image": png(Image.new("L", (4, 4), value + i)), "label": i % classes, "prompt": f"caption {i}",
        "method": "mvc", "index": i // classes, "seed": 0, "condition": i,
        "mix": {"base": i, "coarse": [], "fine": []},
    }  # fmt: skip


def plain_card(folder, kind, repo_id):
    """In place of the real card, which takes longer to write than all the rest."""
    path = folder / "README.md"
    return path.read_bytes() if path.exists() else b"# A card\n"


def refused(match, *args, **options):
    """What a push says that is refused."""
    with pytest.raises(MvcError, match=match) as caught:
        push(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What a Hub has


def shards(remote, id="ann/set", revision="main"):
    tree = remote.repos["datasets", id].resolve(revision).tree
    return [path for path in tree if path.endswith(".parquet")]


def sent(remote):
    return len([request for request in remote.calls("upload") if request.method == "PUT"])


def titles(remote, id="ann/set", kind="datasets", branch="main"):
    repo = remote.repos[kind, id]
    return [commit.title for commit in repo.history(repo.head(branch))]


def fake_model(remote, folder, id="ann/model", **options):
    """A model on the Hub with all files of a folder, whoever may have put them there."""
    repo = remote.repo(id, "models", **options)
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    repo.commit("main", "a model", {p: File.of(d, p.endswith((".safetensors", ".bin"))) for p, d in files.items()})
    return repo


def with_variants(remote, folder, variants, id="ann/model"):
    """A model whose parts have their weights under these variants ("" for none)."""
    repo, changes = fake_model(remote, folder, id), {}
    for part, stem in STEMS.items():
        plain, found = f"{part}/{stem}.safetensors", variants.get(part, variants[""])
        changes |= {
            f"{part}/{stem}{'.' * bool(v)}{v}.safetensors": File.of(f"{part} {v}".encode(), True) for v in found
        }
        changes |= {} if "" in found else {plain: None}
    repo.commit("main", "variants", changes)
    return repo


def pulled_files(found):
    return {path.relative_to(found.folder).as_posix() for path in found.folder.rglob("*") if path.is_file()}
