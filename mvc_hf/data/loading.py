"""A labelled image set as one interface: a folder of class folders, Parquet, torchvision, or the Hub.

Pictures are read one at a time, when asked for: nothing is held in memory in proportion to the pixels. Parquet is read
through `datasets`, which converts it once into its cache (about as many bytes again) and maps that into memory.
"""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.class_words import read_words
from ..errors import DataError
from ..hub.ids import HUB_ID
from .base import Source, refuse_columns

if TYPE_CHECKING:
    from ..config.recipe import Recipe
    from .view import ViewConfig


def open_dataset(
    dataset: str,
    *,
    split: str = "train",
    image_column: str | None = None,
    label_column: str | None = None,
    every_class: bool = True,
    view: ViewConfig | None = None,
    follow_symlinks: bool = False,
) -> Source:
    """Open a labelled image set.

    Args:
        dataset: a folder of class folders (or of `split` folders of these), a folder or glob of Parquet files, a
            Parquet file, "torchvision:NAME", or a Hub id "org/name[:config][@revision]".
        split: for Parquet and the Hub also a slice, "train[:1000]". A Parquet file that is given by name is read
            whatever the split.
        image_column, label_column: needed only where several columns fit.
        every_class: refuse a folder with a class that has no image, and say of which classes other sets have none.
        view: how many images of each class are to be used, and how they are seen.
        follow_symlinks: read what links in a folder lead to outside of it, too; see `links`.

    Raises:
        DataError: it does not exist, cannot be read, or is not a labelled image set.
    """
    if view:
        view.check()
    columns = {"image_column": image_column, "label_column": label_column}
    source = _open(os.fspath(dataset), view, follow_symlinks, split=split, **columns)
    source.check(every_class)
    return view.at(source) if view else source


def open_for(recipe: Recipe) -> Source:
    """The labelled image set of a recipe, as the recipe wants it seen. Raises as `open_dataset`."""
    from .view import ViewConfig

    source = open_dataset(
        recipe.dataset,
        split=recipe.split,
        image_column=recipe.image_column,
        label_column=recipe.label_column,
        view=ViewConfig.of(recipe),
        follow_symlinks=recipe.follow_symlinks,
    )
    source.check_lacking(recipe.max_broken)
    if recipe.class_names:
        source.class_words = read_words(recipe.class_names, source.class_names)
    return source


def _open(dataset: str, view: ViewConfig | None, follow_symlinks: bool, **options: Any) -> Source:
    """`view` is for those that can leave alone what is not used."""
    from ..storage.manifest import check_data_set
    from .sources.folder import open_folder
    from .sources.hub import open_hub
    from .sources.tabular import ParquetSource
    from .sources.torchvision import TorchvisionSource

    path = os.path.expanduser(dataset)
    if dataset.startswith("torchvision:"):
        refuse_columns(dataset, options["image_column"], options["label_column"])
        return TorchvisionSource(dataset, options["split"])
    if os.path.isdir(path):
        check_data_set(Path(path))
        return open_folder(Path(path), view=view, follow_symlinks=follow_symlinks, **options)
    if os.path.exists(path):
        if not path.endswith(".parquet"):
            how = "write it with datasets' to_parquet" if path.endswith(".arrow") else "convert it to one of these"
            raise DataError(f"{dataset!r} is neither a folder nor a .parquet file: {how}")
        return ParquetSource([Path(path)], os.path.basename(path), view=view, **options)
    if glob.has_magic(path):
        files = [Path(p) for p in sorted(glob.glob(path, recursive=True)) if p.endswith(".parquet")]
        if not files:
            raise DataError(f"no .parquet file matches {dataset!r}")
        return ParquetSource(files, os.path.basename(path), view=view, **options)
    hub = HUB_ID.fullmatch(dataset)
    bare = re.split("[:@]", dataset)[0]
    if bare.startswith(("/", ".", "~")) or bare.endswith(".parquet") or bare.count("/") > 1:
        raise DataError(f"no such folder or file: {dataset!r}")
    if not hub:
        raise DataError(
            f"{dataset!r} is no folder or file here, nor a Hub id of the form org/name[:config][@revision], "
            "nor torchvision:NAME"
        )
    rest = {part[0]: part[1:] for part in re.findall("[:@][^:@]+", hub["rest"])}
    return open_hub(hub["id"], rest.get(":"), rest.get("@"), view=view, **options)
