"""What of an output folder is published: the contracts of a checkpoint and of a data set, and nothing else.

A folder may come from anywhere, and what it says of itself may be made up to get other files published: a manifest of
paths, a link in place of weights. So only regular files of names that are ours are taken, where they have to lie, and
with the hashes on record; what else would be sent is refused by its name.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import OutputError
from ..hub.ids import DATASET, MODEL
from ..storage.integrity import check_folder, recorded_of_checkpoint
from ..storage.layout import ADAPTER, CAPTIONS, MANIFEST, METADATA
from ..storage.manifest import read_manifest
from ..utils.text import brief

README = "README.md"
PARTS = (".safetensors", ".json", ".txt", ".model")  # what a pipeline's folders hold; never pickles
WEIGHTS = r"{}(?:\.\w+)?(?:-\d{{5}}-of-\d{{5}})?\.safetensors|{}\.safetensors\.index(?:\.\w+)?\.json|config\.json"
TEXTS = "(?:tokenizer|vocab|tokenizer_config|special_tokens_map|added_tokens)\\.json|merges\\.txt"
COMPONENTS = {
    "unet": WEIGHTS.format(*["diffusion_pytorch_model"] * 2),
    "vae": WEIGHTS.format(*["diffusion_pytorch_model"] * 2),
    "text_encoder": WEIGHTS.format("model", "model"),
    "tokenizer": TEXTS,
    "scheduler": r"scheduler_config\.json",
}
SHARD = re.compile(r"data/train-(\d{5,})-of-(\d{5,})\.parquet", re.ASCII)
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Finished:
    """A folder that is whole.

    Attributes:
        kind: "model" or "dataset".
        files: by path in the repository, without the card.
        sha256: of those whose content is on record.
    """

    folder: Path
    kind: str
    files: dict[str, Path]
    sha256: dict[str, str] = field(default_factory=dict)

    def card(self, repo_id: str) -> bytes:
        return card(self.folder, self.kind, repo_id)


def finished(folder: Path) -> Finished:
    """What a folder publishes.

    Raises:
        OutputError: it was not made by `finetune` or `generate`, is not finished, lacks a file, or holds one that is
            none of ours or not as it was made.
    """
    if not folder.is_dir():
        raise OutputError(f"no folder {str(folder)!r}: give one made by mvc-hf finetune or mvc-hf generate")
    if (folder / METADATA).exists():
        recorded = recorded_of_checkpoint(folder)
        files = dict(_model_files(folder)) | {name: own_file(folder, name) for name in ADAPTER if name in recorded}
        return _checked(Finished(folder, MODEL, files, recorded))
    manifest = read_manifest(folder)
    if manifest is not None and manifest.get("complete"):
        hashes = _hashes(folder, manifest)
        return _checked(Finished(folder, DATASET, {name: own_file(folder, name) for name in hashes}, hashes))
    if manifest is not None:
        raise OutputError(f"{folder} is not finished: give its generate command again, then push")
    if (folder / "checkpoints" / "run.json").exists():
        raise OutputError(
            f"{folder} is not finished: give its finetune command again, then push; or push one of its steps, "
            f"{folder / 'checkpoints' / 'step-…'}"
        )
    inner = [name for name in ("checkpoint", "synthetic") if finished_inside(folder / name)]
    hint = f"; push {' or '.join(str(folder / name) for name in inner)}" if inner else ""
    raise OutputError(f"{folder} has neither {METADATA} nor {MANIFEST}: it was not made by mvc-hf{hint}")


def finished_inside(folder: Path) -> bool:
    return (folder / METADATA).exists() or (folder / MANIFEST).exists()


def card(folder: Path, kind: str, repo_id: str) -> bytes:
    """The card of a repository, written for it."""
    from .dataset_card import dataset_card
    from .model_card import model_card

    return {MODEL: model_card, DATASET: dataset_card}[kind](folder, repo_id).encode()


def pictures(found: Finished) -> dict[str, Path]:
    """What the card shows; the samples of a data set are drawn where they are not there yet."""
    from .dataset_card import draw_samples
    from .rendering import PICTURES, SAMPLES

    if found.kind == DATASET and not (found.folder / SAMPLES).exists():
        draw_samples(found.folder)
    return {name: own_file(found.folder, name) for name in PICTURES if (found.folder / name).exists()}


def reported(found: Finished) -> dict[str, Path | bytes]:
    """What `mvc-hf report` found of a data set, as far as it is published."""
    from .quality import quality_of

    manifest = read_manifest(found.folder) if found.kind == DATASET else None
    quality = quality_of(found.folder, manifest) if manifest else None
    return quality.files() if quality else {}


def told(found: Finished) -> dict[str, bytes]:
    """What tells how a checkpoint was made: its recipe, without local paths, and its losses."""
    from ..storage.layout import RECIPE, TRAINING_LOG
    from .record import recipe_file, training_log

    if found.kind != MODEL:
        return {}
    made = {RECIPE: recipe_file(found.folder), TRAINING_LOG: training_log(found.folder)}
    return {name: data for name, data in made.items() if data is not None}


def own_file(folder: Path, name: str) -> Path:
    """A file of a folder, where it is one, and lies there and nowhere else.

    Raises:
        OutputError: it is not there; or it, or a folder on the way to it, is a link, a device or the like.
    """
    path, mode = folder, 0
    for part in PurePosixPath(name).parts:
        path = path / part
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _lacks(folder, name) from error
        if stat.S_ISLNK(mode):
            raise _refused(folder, path.relative_to(folder).as_posix(), "a link")
    if not stat.S_ISREG(mode):
        raise _refused(folder, name, "no regular file")
    return path


def _lacks(folder: Path, name: str) -> OutputError:
    return OutputError(f"{folder} lacks {name}, which it was made with: put it back, or make it again")


def _refused(folder: Path, name: str, what: str) -> OutputError:
    return OutputError(
        f"{folder} is not pushed: {brief(name)} in it is {what}; what is published are regular files of "
        "mvc-hf's own: move it away, or make the folder again"
    )


def _model_files(folder: Path) -> Iterator[tuple[str, Path]]:
    try:
        index = json.loads(own_file(folder, "model_index.json").read_text(encoding="utf-8"))
        components = [name for name, value in index.items() if isinstance(value, list) and value[0]]
    except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise OutputError(f"{folder / 'model_index.json'} cannot be read: fine-tune into a new folder") from error
    for name in ("model_index.json", METADATA, CAPTIONS):
        yield name, own_file(folder, name)
    for component in components:
        if component not in COMPONENTS:
            raise _refused(folder, component, "named by model_index.json, and no part of a checkpoint")
        names = [f"{component}/{path.name}" for path in sorted((folder / component).glob("*"))]
        if not names:
            raise _lacks(folder, f"{component}/")
        yield from _files_of(folder, component, names)


def _files_of(folder: Path, component: str, names: list[str]) -> Iterator[tuple[str, Path]]:
    """What a part of a pipeline holds. Pickles and what systems leave in every folder stay where they are."""
    for name in names:
        path = own_file(folder, name)
        if re.fullmatch(COMPONENTS[component], path.name, re.ASCII):
            yield name, path
        elif path.suffix.lower() in PARTS:
            raise _refused(folder, name, "no file of a checkpoint")


def _hashes(folder: Path, manifest: dict[str, Any]) -> dict[str, str]:
    """The shards of a data set with their hashes, as its manifest has them: all of them, and nothing else."""
    hashes: dict[str, str] = {}
    listed = manifest.get("shards")
    shards = listed if isinstance(listed, list) else []
    for number, shard in enumerate(shards):
        known = shard if isinstance(shard, dict) else {}
        name, digest = known.get("file"), known.get("sha256")
        match = SHARD.fullmatch(name) if isinstance(name, str) else None
        if not match or (int(match[1]), int(match[2])) != (number, len(shards)):
            raise _refused(folder, MANIFEST, f"no list of its shards: it names {brief(name)} as number {number}")
        if not isinstance(digest, str) or not SHA256.fullmatch(digest):
            raise OutputError(
                f"{folder / MANIFEST} has no SHA-256 of {name}: give the generate command again, then push"
            )
        hashes[match[0]] = digest
    if not hashes:
        raise _refused(folder, MANIFEST, "no list of its shards")
    return hashes


def _checked(found: Finished) -> Finished:
    """Raises OutputError where a file is not as it was made."""
    check_folder(found.folder, found.sha256, "make it again by the command that made it, then push", OutputError)
    return found
