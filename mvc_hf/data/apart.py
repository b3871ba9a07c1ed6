"""What is written stays apart from the data set: in its folder it would be taken for images of it the next time."""

from __future__ import annotations

import glob
import os
from pathlib import Path, PurePath

from ..errors import OutputError
from ..utils.text import is_text

WRITTEN = ("captions.parquet", os.path.join("data", "train-00000-of-00001.parquet"))  # Parquet that a folder may get


def keep_apart(dataset: str, *outputs: str | Path) -> None:
    """Look before anything is spent.

    Args:
        dataset: as `open_dataset` takes it; "" for none. What is not on this machine is in nobody's way.
        outputs: folders or files that are to be written, which need not be there.

    Raises:
        OutputError: one of them lies in the data set's folder, or the data set in it, through links or not; or its
            name is no text, which would be found out when everything is done.
    """
    for output in map(Path, outputs):
        if not (is_text(str(output)) and is_text(os.path.basename(os.path.realpath(output)))):
            raise OutputError(f"the name of the output, {str(output)!r}, is not valid UTF-8: choose another one")
        if dataset:
            _keep_apart(dataset, output)


def _keep_apart(dataset: str, output: Path) -> None:
    path = Path(os.path.expanduser(dataset))
    real = Path(os.path.realpath(os.path.expanduser(output)))
    if path.is_dir() and _lies_in(real, path):
        raise OutputError(
            f"{output} lies in the folder of the data set, {dataset}, and would be taken for a part of it: choose "
            "another place"
        )
    if os.path.exists(path) and _lies_in(Path(os.path.realpath(path)), real):
        raise OutputError(f"the data set {dataset} lies in {output}, which is to be written: choose another place")
    if not os.path.exists(path) and glob.has_magic(dataset) and _matches(real, os.path.expanduser(dataset)):
        raise OutputError(f"what is written to {output} would match {dataset!r}, the data set: choose another place")


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or below it, whatever names they go by (upper case, mounts)."""
    return any(_same(place, folder) for place in (path, *path.parents))


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return os.path.realpath(one) == os.path.realpath(other)


def _matches(output: Path, pattern: str) -> bool:
    """Whether a pattern of files would take in what may be written to an output."""
    whole = PurePath(os.path.abspath(pattern))
    above = next(place for place in whole.parents if not glob.has_magic(str(place)))
    real = os.path.realpath(above)
    if "**" in whole.parts:
        return output.is_relative_to(real)
    pattern = os.path.join(glob.escape(real), whole.relative_to(above))
    return any(path.match(pattern) for path in (output, *map(output.joinpath, WRITTEN)))
