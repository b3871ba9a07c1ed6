"""A fine-tuned checkpoint: a plain diffusers pipeline folder, with `mvc.json` and `captions.parquet` beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ..captions.table import CaptionTable
from ..errors import ModelError
from ..storage.integrity import check_checkpoint, way_out
from ..storage.layout import CAPTIONS, METADATA
from ..storage.notes import Kinds, read_json, write_json

KINDS: Kinds = {
    "fingerprint": str, "recipe": dict, "class_names": list, "source": dict, "base": dict, "resolution": int,
    "native_size": list | None, "grey": bool, "training": dict, "versions": dict, "images_of_class": list | None,
    "sha256": dict | None, "format": int,
}  # fmt: skip
ORIGIN = {"name", "revision", "fingerprint"}  # what is known of data set and base
LIBRARIES = ("torch", "diffusers", "transformers", "datasets", "accelerate")


@dataclass(frozen=True)
class CheckpointMetadata:
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
        images_of_class: real images of each class that could be read; None where that is not on record.
        sha256: of every other file of the checkpoint; None where that is not on record.
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
    sha256: dict[str, str] | None = None
    format: int = 1

    def save(self, folder: Path, name: str = METADATA) -> None:
        """Written last, under its name only when whole: a folder with `mvc.json` is a finished checkpoint."""
        write_json(folder / name, asdict(self))

    @classmethod
    def load(cls, folder: Path, name: str = METADATA) -> CheckpointMetadata:
        """Raises ModelError where there are none, or they cannot be read."""
        remedy = way_out(folder, name)
        try:
            values = read_json(folder / name, remedy, {"format": int}, ModelError)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ModelError(f"{folder} has no {METADATA}: it is not a checkpoint of mvc-hf finetune") from error
        if values["format"] != 1:
            raise ModelError(
                f"{folder / METADATA} has format {values['format']}: made by a newer mvc-hf, update this one"
            )
        known: dict[str, Any] = {name: values.get(name) for name in KINDS}
        bad = [name for name, kind in KINDS.items() if not isinstance(known[name], kind)]
        bad = bad or [name for name in ("source", "base") if not known[name].keys() >= ORIGIN]
        if bad:
            raise ModelError(f"{folder / METADATA} has no usable {bad[0]!r}: {remedy}")
        for name in ("class_names", "native_size", "images_of_class"):
            known[name] = None if known[name] is None else tuple(known[name])
        return cls(**known)


def load_captions(folder: Path, class_names: tuple[str, ...]) -> CaptionTable:
    """The captions of a checkpoint. Raises ModelError where they are not as they were made, or cannot be used."""
    check_checkpoint(folder, CAPTIONS.__eq__)
    return CaptionTable.load(folder / CAPTIONS, class_names)


def versions(*extras: str) -> dict[str, str]:
    from .. import __version__

    return {"mvc_hf": __version__, **{name: metadata.version(name) for name in (*LIBRARIES, *extras)}}
