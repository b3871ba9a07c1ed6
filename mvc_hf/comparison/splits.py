"""The real images of a comparison, copied once into splits that timm reads, and found again by their digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config.files import fingerprint
from ..config.recipe import Recipe
from ..data.base import Source
from ..data.groups import Groups
from ..data.loading import open_dataset, open_for
from ..data.view import DatasetView
from ..errors import DataError, OutputError, RecipeError
from ..storage.notes import read_json, write_json
from ..utils.progress import bar, say
from .images import labels_as, pixels_of, side_of, validation_rows, write_images

NOTE = "images.json"
ALL, CHOICE = "all", "choice"  # folders: everything with the test images, and the part that choices are made on
SAME = 0.5  # of the test images that may be among the training images, before it is no test


@dataclass(frozen=True)
class RealImages:
    """The real images as they were opened.

    Attributes:
        source: of the training images.
        test: of the test images; None where none are needed.
        chosen: rows of the training images that choices are made on; none where none are made.
        key: of all that decides what is copied.
    """

    source: Source
    test: Source | None
    chosen: np.ndarray
    key: str

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.source.class_names

    @property
    def fitted(self) -> np.ndarray:
        """The rows that are trained on while choices are made."""
        return np.setdiff1d(self.source.rows, self.chosen)

    @property
    def fitted_folder(self) -> str:
        """The folder of the copies that choices are made on: a part of the training images, or all of them with others
        to judge by."""
        return CHOICE if len(self.chosen) else ALL

    @property
    def judged(self) -> str:
        """The split there that judges."""
        return "validation" if len(self.chosen) else "test"

    def side(self, wanted: int | None) -> int:
        """Of the classifier's images. Raises RecipeError where the images do not say."""
        side = wanted or side_of(self.source)
        if side is None:
            raise RecipeError(
                f"the images of {self.source.name} are not squares of one size: say what the classifier sees, such as "
                "--input-size 224"
            )
        return side

    def copy(self, folder: Path, columns: tuple[str, ...] = ()) -> None:
        """Write the splits: all/train and all/test, choice/train and choice/validation; those there are stay.

        Raises:
            OutputError: the folder has those of another comparison.
            DataError: a picture cannot be read, or most test images are training images.
        """
        try:
            known = read_json(folder / NOTE, f"remove {folder}", {"key": str})["key"]
        except FileNotFoundError:
            known = None
        key = fingerprint({"images": self.key, "columns": list(columns)})
        if known is not None and known != key:
            raise OutputError(
                f"{folder.parent} holds a comparison on other images (another data set, test set, seed, or validation "
                "fraction): give -o another folder"
            )
        if known is None:
            if self.test is not None:
                self._refuse_the_same(self.test)
            folder.mkdir(parents=True, exist_ok=True)
            self._write(folder, columns)
            write_json(folder / NOTE, {"key": key})

    def _write(self, folder: Path, columns: tuple[str, ...]) -> None:
        names, labels = self.class_names, self.source.labels
        if self.test is not None:
            tested = labels_as(self.test, names, "the test set")
            write_images(self.test, self.test.rows, folder / ALL / "test.parquet", names, tested, what="test images")
            write_images(self.source, self.source.rows, folder / ALL / "train.parquet", names, labels, columns=columns)
        if len(self.chosen):
            for split, rows in (("train", self.fitted), ("validation", self.chosen)):
                file = folder / CHOICE / f"{split}.parquet"
                write_images(self.source, rows, file, names, labels, columns=columns, what=f"{split} images")

    def _refuse_the_same(self, test: Source) -> None:
        """One set's training split was once its test split, too, in a published comparison."""
        seen, same = set(), 0
        with bar(len(self.source.rows) + len(test.rows), "looking for test images in training", " images") as progress:
            for row in self.source.rows.tolist():
                seen.add(pixels_of(self.source, row))
                progress.update()
            for row in test.rows.tolist():
                same += pixels_of(test, row) in seen
                progress.update()
        if same > SAME * len(test.rows):
            raise DataError(
                f"{same} of the {len(test.rows)} test images of {test.name} are training images, pixel by pixel: give "
                "a test set of other images (--test-dataset, --test-split)"
            )
        if same:
            say(f"warning: {same} of the {len(test.rows)} test images are training images, pixel by pixel")


def open_real(
    recipe: Recipe, *, test_dataset: str = "", test_split: str = "test", fraction: float, tested: bool = True
) -> RealImages:
    """The real images of a recipe, as it sees them, and the test images, seen alike but all of them.

    Args:
        fraction: of the training images that choices are made on.
        tested: whether there are test images at all.

    Raises:
        DataError, RecipeError: there are none, or they cannot be used.
    """
    if not recipe.dataset:
        raise RecipeError("no data set: give it in the recipe (dataset: a folder, Parquet or Hub id)")
    source = open_for(recipe)
    present = sum(len(rows) > 0 for rows in source.members)
    if present < 2:
        raise DataError(f"{source.name} has images of {present} class: a classifier needs two to tell apart")
    test = _open_test(recipe, source, test_dataset, test_split) if tested else None
    groups = Groups.of(source, recipe.group_column) if recipe.group_column else None
    chosen = np.zeros(0, np.int64)
    if fraction:
        chosen = validation_rows(source, fraction, recipe.seed, groups)
    values = {
        "train": source.fingerprint,
        "rows": fingerprint({"rows": source.rows.tolist()}),
        "test": test.fingerprint if test is not None else "",
        "chosen": fingerprint({"rows": chosen.tolist()}),
        "window": str(source.window),
        "max_broken": 0,
    }
    return RealImages(source, test, chosen, fingerprint(values))


def _open_test(recipe: Recipe, source: Source, dataset: str, split: str) -> Source:
    own = dataset or recipe.dataset
    if own == recipe.dataset and (split == recipe.split or own.endswith(".parquet")):
        what = "is one file, which is the training images" if own.endswith(".parquet") else "is the training split"
        raise RecipeError(
            f"no test set: {own} {what}; give --test-dataset (a folder, Parquet or Hub id), or --test-split"
        )
    same = own == recipe.dataset
    test = open_dataset(
        own,
        split=split,
        image_column=recipe.image_column if same else None,
        label_column=recipe.label_column if same else None,
        every_class=False,
        follow_symlinks=recipe.follow_symlinks,
    )
    test.check_lacking(0)
    if source.window is not None:
        test = DatasetView(test, None, None)
        test.window = source.window
    labels_as(test, source.class_names, "the test set")
    return test
