"""The folders and files that the table of bad inputs is about: what is wrong in them, and what is fine."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from bad_inputs import COMMON, DAMAGED, GARBAGE, GONE, SECTION_TEXTS, TEXTS
from sources import png
from tiny import image_folder

from mvc_hf.config.recipe import Recipe
from mvc_hf.generation.generate import generate
from mvc_hf.training.finetune import finetune

HERE = Path(__file__).parent


def build(folder: Path, base: Path) -> dict[str, str]:
    """Everything that `<...>` stands for, by name."""
    photos = image_folder(folder / "photos", {"apple": 3, "pear": 3})
    for split in ("train", "validation"):
        image_folder(folder / "splits" / split, {"apple": 3, "pear": 3}, size=8)
    for seed, split in enumerate(("train", "test")):
        image_folder(folder / "trial" / split, {"apple": 3, "pear": 3}, size=8, seed=seed)
    few = {"train_batch_size": 2, "max_train_steps": 1, "holdout_fraction": 0.0}
    finetune(Recipe(dataset=str(photos), base=str(base), **few), folder / "checkpoint")
    recipe = Recipe(dataset=str(photos), images_per_class=3, num_inference_steps=1, shard_size=3)
    generate(recipe, folder / "checkpoint", folder / "synthetic")
    for name in ("empty", "foreign", "sets", "models", "recipes", "outputs", "hostile", "scripts"):
        (folder / name).mkdir()
    (folder / "foreign" / "thesis.txt").write_text("mine")
    (folder / "file").write_text("a file")
    os.mkfifo(folder / "pipe")
    shutil.copy(HERE / "short_train.py", folder / "script.py")
    for name in ("pipe", "file", "empty", "none"):  # as --captions wants them to be called
        if name != "none":
            (folder / f"{name}.parquet").symlink_to(name)
    names = ("photos", "splits", "checkpoint", "synthetic", "empty", "foreign", "file", "pipe", "sets", "models",
    "recipes",
             "outputs", "hostile", "scripts", "none", "trial")  # fmt: skip
    world = {name: str(folder / name) for name in names} | {"script": str(folder / "script.py"), "base": str(base)}
    (folder / "recipe.yaml").write_text(filled("dataset: <photos>\nbase: <base>\noutput: out\n", world))
    world["recipe"] = str(folder / "recipe.yaml")
    sections = "compare: {classifier: wrn_28_2, epochs: 3, batch_size: 2}\nsweep: {epochs: 3, batch_size: 2}\n"
    recipe = f"dataset: <trial>\nbase: <base>\noutput: out\n{sections}"
    (folder / "comparing.yaml").write_text(filled(recipe, world))
    world["comparing"] = str(folder / "comparing.yaml")
    _write_sets(folder / "sets")
    _write_models(folder / "models", folder / "checkpoint")
    _write_recipes(folder / "recipes", world)
    _write_outputs(folder / "outputs")
    _write_hostile(folder / "hostile", folder / "checkpoint", folder / "synthetic")
    _write_scripts(folder / "scripts")
    return world


def filled(text: str, world: dict[str, str]) -> str:
    return re.sub(r"<([a-z]+)>", lambda name: world[name[1]], text)


def tree(place: str) -> set[tuple[str, int]]:
    """Names and sizes of everything in the folder of a place, to see what was left behind."""
    return {
        (os.path.join(folder, name), name in files and os.lstat(os.path.join(folder, name)).st_size)
        for folder, folders, files in os.walk(Path(place).parent)
        for name in (*folders, *files)
    }


def _write_recipes(folder: Path, world: dict[str, str]) -> None:
    for name, texts in TEXTS.items():
        for number, text in enumerate(texts):
            path = folder / str(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            known = "".join(f"{key}: {value}\n" for key, value in COMMON.items() if f"{key}:" not in text)
            whole = re.match(r"[\w-]+: ", text) and not text.startswith(("a: ", "coarse: ["))
            path.write_text(filled(known + text if whole else text, world), encoding="utf-8", errors="surrogatepass")
    for number, text in enumerate(SECTION_TEXTS):
        known = "dataset: <trial>\nbase: <base>\noutput: out\n"
        (folder / f"section-{number}.yaml").write_text(filled(known + text, world), encoding="utf-8")
    (folder / "large.yaml").write_bytes(b"#" * (2 << 20))
    (folder / "binary.yaml").write_bytes(os.urandom(1000))
    (folder / "loop.yaml").symlink_to("loop.yaml")


def _write_models(folder: Path, checkpoint: Path) -> None:
    for name, how in DAMAGED.items():
        for fault, data in how.items():
            made = shutil.copytree(checkpoint, folder / f"{name.replace('/', '-')}-{fault}")
            (made / name).write_bytes((checkpoint / name).read_bytes()[:5000] if data is None else data)
    for name in GONE:
        made = shutil.copytree(checkpoint, folder / f"{name.replace('/', '-')}-gone")
        shutil.rmtree(made / name) if (made / name).is_dir() else (made / name).unlink()
        shutil.rmtree(made / "checkpoints", ignore_errors=True)  # else it is as if the run had been stopped
    shutil.copy(checkpoint / "unet" / "diffusion_pytorch_model.safetensors", folder / "single.safetensors")


def _write_sets(folder: Path) -> None:

    image_folder(folder, {"loose": 2})
    for name in ("text/a", "text/b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x.txt").write_text("no picture")
    for name in ("classless", "hollow/a", "hollow/b", "odd-names"):
        (folder / name).mkdir(parents=True)
    image_folder(folder / "hollow", {"a": 2})
    image_folder(folder / "piped", {"a": 2})
    os.mkfifo(folder / "piped" / "a" / "x.png")
    (folder / "dangling" / "a").mkdir(parents=True)
    (folder / "dangling" / "a" / "x.png").symlink_to("nowhere.png")
    for number in range(12):
        (folder / "broken" / "a").mkdir(parents=True, exist_ok=True)
        (folder / "broken" / "a" / f"{number}.png").write_bytes(b"\x89PNG nonsense")
    os.mkdir(os.fsencode(folder / "odd-names") + b"/caf\xe9")
    (Path(os.fsdecode(os.fsencode(folder / "odd-names") + b"/caf\xe9")) / "x.png").write_bytes(png(1))
    datasets.Dataset.from_dict({"label": [0, 1]}).save_to_disk(folder / "saved")
    images = [{"bytes": png(i), "path": None} for i in range(2)]
    tables: dict[str, dict[str, Any]] = {
        "imageless": {"label": [0, 1]}, "labelless": {"image": images}, "rowless": {"image": images[:0], "label": []},
        "uint64": {"image": images, "label": pa.array([0, 2**63 + 1], pa.uint64())},
        "negative": {"image": images, "label": [-5, 0]}, "floats": {"image": images, "label": [0.5, 1.5]},
        "nested": {"image": images, "label": [[0], [1]]},
        "pathed": {"image": [{"bytes": None, "path": "/etc/passwd"}] * 2, "label": [0, 1]},
    }  # fmt: skip
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    (folder / "garbage.parquet").write_bytes(b"PAR1 nonsense PAR1")
    whole = (folder / "labelless.parquet").read_bytes()
    (folder / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    for name in ("photos.zip", "photos.csv"):
        (folder / name).write_bytes(b"PK nonsense")


def _write_outputs(folder: Path) -> None:
    for fault, data in GARBAGE.items():
        (folder / f"manifest-{fault}").mkdir(parents=True)
        (folder / f"manifest-{fault}" / "manifest.json").write_bytes(data)
        (folder / f"run-{fault}" / "checkpoints").mkdir(parents=True)
        (folder / f"run-{fault}" / "checkpoints" / "run.json").write_bytes(data)


def _write_hostile(folder: Path, checkpoint: Path, synthetic: Path) -> None:
    for name in ("link.json", "notes.txt", "Config.json"):
        made = shutil.copytree(checkpoint, folder / name)
        if name == "link.json":
            (made / "unet" / name).symlink_to("/etc/passwd")
        else:
            (made / "unet" / name).write_text("private")
    for name in ("manifest", "hashless", "flipped", "linked"):
        made = shutil.copytree(synthetic, folder / name)
        manifest = json.loads((made / "manifest.json").read_text())
        shard = manifest["shards"][0]
        if name == "manifest":
            shard |= {"file": "/etc/passwd", "sha256": ""}
        if name == "hashless":
            shard["sha256"] = ""
        if name == "flipped":
            data = bytearray((made / shard["file"]).read_bytes())
            data[50] ^= 1
            (made / shard["file"]).write_bytes(data)
        if name == "linked":
            shutil.move(made / "data", folder / "elsewhere")
            (made / "data").symlink_to(folder / "elsewhere")
        (made / "manifest.json").write_text(json.dumps(manifest))


def _write_scripts(folder: Path) -> None:
    script = (HERE / "short_train.py").read_bytes()
    (folder / "folder.py").mkdir(parents=True)
    for name, data in {"train.txt": script, "other.py": b"print('hello')", "broken.py": script + b"\n1 / 0\n",
                       "binary.py": b"\x00\xff", "nested.py": b"(" * 10_000}.items():  # fmt: skip
        (folder / name).write_bytes(data)
