"""What of an output folder is published: the contracts of a checkpoint and of a data set, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .errors import OutputError
from .integrity import check_folder, recorded_of_checkpoint
from .shards import MANIFEST, read_manifest

MODEL, DATASET = "model", "dataset"
NOTES, CAPTIONS = "mvc.json", "captions.parquet"  # as in checkpoint.py, which is slow to import
README = "README.md"
PARTS = (".safetensors", ".json", ".txt", ".model")  # what a pipeline's folders hold; never pickles

# What an earlier push may have left that a later one does not have, and that a reader would mix up with it.
REPLACED = {
    MODEL: re.compile(r"(?:unet|vae|text_encoder|tokenizer|scheduler)/[^/]+"),
    DATASET: re.compile(r"data/[^/]+\.parquet"),
}


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
        OutputError: it was not made by `finetune` or `generate`, is not finished, lacks a file, or has one that is not
            as it was made.
    """
    if not folder.is_dir():
        raise OutputError(f"no folder {str(folder)!r}: give one made by mvc-hf finetune or mvc-hf generate")
    if (folder / NOTES).exists():
        return _checked(Finished(folder, MODEL, dict(_model_files(folder)), recorded_of_checkpoint(folder)))
    manifest = read_manifest(folder)
    if manifest is not None and manifest.get("complete"):
        shards = manifest["shards"]
        files = {shard["file"]: folder / shard["file"] for shard in shards}
        return _checked(Finished(folder, DATASET, files, {shard["file"]: shard["sha256"] for shard in shards}))
    if manifest is not None:
        raise OutputError(f"{folder} is not finished: give its generate command again, then push")
    if (folder / "checkpoints" / "run.json").exists():
        raise OutputError(f"{folder} is not finished: give its finetune command again, then push")
    inner = [name for name in ("checkpoint", "synthetic") if finished_inside(folder / name)]
    hint = f"; push {' or '.join(str(folder / name) for name in inner)}" if inner else ""
    raise OutputError(f"{folder} has neither {NOTES} nor {MANIFEST}: it was not made by mvc-hf{hint}")


def finished_inside(folder: Path) -> bool:
    return (folder / NOTES).exists() or (folder / MANIFEST).exists()


def card(folder: Path, kind: str, repo_id: str) -> bytes:
    """The card of a repository, written for it."""
    from . import card as cards

    return {MODEL: cards.model_card, DATASET: cards.dataset_card}[kind](folder, repo_id).encode()


def pictures(found: Finished) -> dict[str, Path]:
    """What the card shows; the samples of a data set are drawn where they are not there yet."""
    from . import card as cards

    if found.kind == DATASET and not (found.folder / cards.SAMPLES).exists():
        cards.draw_samples(found.folder)
    return {name: found.folder / name for name in cards.PICTURES if (found.folder / name).is_file()}


def _model_files(folder: Path) -> Iterator[tuple[str, Path]]:
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        components = [
            name for name, value in index.items() if isinstance(value, list) and value[0] and name.isidentifier()
        ]
    except (OSError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise OutputError(f"{folder / 'model_index.json'} cannot be read: fine-tune into a new folder") from error
    for name in ("model_index.json", NOTES, CAPTIONS):
        yield name, folder / name
    for component in components:
        for path in sorted((folder / component).glob("*")):
            if path.suffix in PARTS and path.is_file():
                yield f"{component}/{path.name}", path


def _checked(found: Finished) -> Finished:
    for path, file in found.files.items():
        if not file.is_file():
            raise OutputError(f"{found.folder} lacks {path}, which it was made with: put it back, or make it again")
    check_folder(found.folder, found.sha256, "make it again by the command that made it, then push", OutputError)
    return found
