"""A fine-tuned checkpoint: a plain diffusers pipeline folder, with `mvc.json` and `captions.parquet` beside it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from .captions import CaptionTable
from .errors import ModelError

NOTES, CAPTIONS = "mvc.json", "captions.parquet"
LIBRARIES = ("torch", "diffusers", "transformers", "datasets", "accelerate")


@dataclass(frozen=True)
class Notes:
    """What `mvc.json` says of a checkpoint. No local path is among it: a local source goes by its folder's name.

    Attributes:
        fingerprint: of everything that decided what came out.
        recipe: the settings as run.
        class_names: in the order of the source.
        source: name, revision, fingerprint and number of images of the data set.
        base: name, revision and fingerprint of the base model.
        native_size: (width, height) of the source's images, None where they differ.
        grey: whether all of them have a single channel.
        training: steps done, and the last losses.
        versions: of this package and the libraries that it stands on.
        images_of_class: real images of each class that could be read; None in notes of older versions.
    """

    fingerprint: str
    recipe: dict[str, Any]
    class_names: tuple[str, ...]
    source: dict[str, Any]
    base: dict[str, Any]
    resolution: int
    native_size: tuple[int, int] | None
    grey: bool
    training: dict[str, Any]
    versions: dict[str, str]
    images_of_class: tuple[int, ...] | None = None
    format: int = 1

    def save(self, folder: Path) -> None:
        """Written last, under its name only when whole: a folder with `mvc.json` is a finished checkpoint."""
        temporary = folder / f".{NOTES}.tmp"
        temporary.write_text(
            json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
        os.replace(temporary, folder / NOTES)

    @classmethod
    def load(cls, folder: Path) -> Notes:
        try:
            values = json.loads((folder / NOTES).read_text(encoding="utf-8"))
            size = values["native_size"]
            values |= {"class_names": tuple(values["class_names"]), "native_size": tuple(size) if size else None}
            if values["format"] == 1:
                counts = values.pop("images_of_class", None)
                return cls(**values, images_of_class=None if counts is None else tuple(counts))
        except FileNotFoundError as error:
            raise ModelError(f"{folder} has no {NOTES}: it is not a checkpoint of mvc-hf finetune") from error
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ModelError(f"{folder / NOTES} cannot be read: {error!r}") from error
        raise ModelError(f"{folder / NOTES} has format {values['format']}: made by a newer mvc-hf, update this one")


def load_captions(folder: Path, class_names: tuple[str, ...]) -> CaptionTable:
    return CaptionTable.load(folder / CAPTIONS, class_names)


def versions() -> dict[str, str]:
    from . import __version__

    return {"mvc_hf": __version__, **{name: metadata.version(name) for name in LIBRARIES}}
