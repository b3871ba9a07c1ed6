"""Export a synthetic data set, with real images or without, to files that other trainers read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..config.stages.exporting import ExportSettings
from ..data.apart import keep_apart
from ..data.sources.class_folders import write_names
from ..storage.locks import locked_folder
from ..utils.text import counted
from . import imagefolder, webdataset
from .record import claim, complete, made_from, refuse_foreign
from .selection import selected

LAYOUTS = {"imagefolder": imagefolder.write, "webdataset": webdataset.write}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        images_of_class: how many, by the name of the class.
        images_of_origin: how many, by where they come from: "synthetic", "real", or "" for a set nobody generated.
    """

    folder: Path
    layout: str
    images_of_class: dict[str, int]
    images_of_origin: dict[str, int]

    def __str__(self) -> str:
        count = sum(self.images_of_class.values())
        used = sum(map(bool, self.images_of_class.values()))
        origins = ", ".join(f"{number:,} {name}" for name, number in self.images_of_origin.items() if name)
        return f"{self.folder}: {counted(count, 'image')} of {counted(used, 'class')}" + (origins and f" ({origins})")


def export(
    dataset: str, out: str | Path, *, with_real: str | None = None, settings: ExportSettings | None = None
) -> Exported:
    """Write images to class folders, or to shards of WebDataset. Goes on where an earlier, broken call ended.

    Args:
        dataset: a synthetic data set, or any labelled image set: folder, Parquet, Hub id, torchvision:NAME.
        out: a folder, new or empty, or with the same export.
        with_real: real images that go along; classes are matched by their names, and counted as theirs.
        settings: by default all images, as class folders.

    Raises:
        DataError: a set cannot be read, or classes do not match.
        OutputError: the folder holds something else.
        RecipeError: the condition is wrong, or leaves nothing.
    """
    settings, out = settings or ExportSettings(), Path(out)
    if with_real is None:
        settings.refuse_real()
    for name in (dataset, with_real or ""):
        keep_apart(name, out)
    refuse_foreign(out)
    with locked_folder(out):
        selection = selected(dataset, with_real, settings)
        made = made_from(selection, settings)
        claim(out, made)
        folders = LAYOUTS[settings.layout](selection, out, settings)
        write_names(out, selection.class_names, folders)
        counts = dict(zip(selection.class_names, selection.images_of_class.tolist()))
        complete(out, made, counts)
    return Exported(out, settings.layout, counts, {part.origin: len(part) for part in selection.parts})
