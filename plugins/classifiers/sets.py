"""The synthetic sets of a comparison: those that are given, or what the recipe's own run makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...augment.synthetic_images import SyntheticImages
from ...comparison.arms import file_name
from ...comparison.splits import RealImages
from ...config.sections import Section
from ...config.stages.comparing import CompareSettings
from ...data.loading import open_dataset
from ...errors import DataError
from ...storage.layout import SYNTHETIC
from ...storage.manifest import read_manifest


@dataclass(frozen=True)
class SyntheticSet:
    """Synthetic images.

    Attributes:
        digest: of what they are.
        made_of_these: whether it is on record that they were made from the training images of the comparison; None
            where nothing is.
    """

    place: str
    digest: str
    made_of_these: bool | None = None


def check_methods(section: Section[CompareSettings]) -> None:
    """Raises RecipeError for a method of generating that is not known."""
    from ...methods.registry import get_method

    for name in methods_of(section):
        get_method(name)


def methods_of(section: Section[CompareSettings]) -> tuple[str, ...]:
    """The methods of generating that are compared, where the recipe makes the images."""
    return section.settings.list_of("methods") if section.settings.methods else (section.run.recipe.method,)


def given_sets(places: Mapping[str, str], real: RealImages) -> dict[str, SyntheticSet]:
    """Those that are there, by name. Raises DataError."""
    return {name: opened(place, real) for name, place in places.items()}


def opened(place: str, real: RealImages) -> SyntheticSet:
    """A synthetic set, whose classes are those of the real images.

    Raises:
        DataError: they are not; or it was made from the test images.
    """
    source = open_dataset(place, every_class=False)
    classes = {class_name: label for label, class_name in enumerate(real.class_names)}
    SyntheticImages([source], classes, "name", 0, np.inf)
    here = Path(place).expanduser()
    pinned = f"{place}@{source.revision}" if source.revision and "@" not in place else place
    return SyntheticSet(
        str(here.resolve()) if here.exists() else pinned, source.fingerprint, _made_of(here, source.name, real)
    )


def _made_of(folder: Path, name: str, real: RealImages) -> bool | None:
    """Whether a folder's manifest says that it was made from the training images. Raises DataError for the test's."""
    manifest = read_manifest(folder) if folder.is_dir() else None
    if manifest is None:
        return None
    trained_on = (manifest["provenance"] or {}).get("source") or {}
    known = {manifest["made_from"].get("dataset"), trained_on.get("fingerprint")} - {None}
    if real.test is not None and real.test.fingerprint in known:
        raise DataError(f"{name} was made from the test images: make synthetic images from the training images alone")
    return known == {real.source.fingerprint} if known else None


def made_by_run(section: Section[CompareSettings], real: RealImages) -> dict[str, SyntheticSet]:
    """The synthetic sets that the recipe makes, one for each method; those that are finished are not made again, and
    none is published."""
    from ...generation.generate import generate
    from ...storage.layout import CHECKPOINT
    from ...workflows.pipeline import run

    recipe, folder, sets = section.run.recipe, section.run.folder, {}
    for number, method in enumerate(methods_of(section)):
        place = folder / (SYNTHETIC if number == 0 else f"{SYNTHETIC}-{file_name(method)}")
        if number == 0:
            run(replace(section.run.unpublished(), recipe=replace(recipe, method=method)))
        else:
            generate(replace(recipe, method=method), section.run.model or folder / CHECKPOINT, place)
        sets[method] = opened(str(place), real)
    return sets
