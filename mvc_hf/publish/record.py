"""How a checkpoint was made, in files beside it: `mvc.yaml`, its recipe as anyone may use it, and its losses.

    load_dataset("mvc", data_files="hf://org/name/mvc.yaml", dataset="photos")

What is local stays out of it: a data set, a base or captions that lie in somebody's folder have no name for others.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import yaml

from ..artifacts.checkpoint import CheckpointMetadata
from ..captions.formats.endings import is_captions_file
from ..config.fields import FINETUNE, GENERATE
from ..config.recipe import Recipe
from ..config.run_recipe import RunRecipe
from ..errors import RecipeError
from ..hub.ids import hub_id
from ..storage.layout import RECIPE, TRAINING_LOG
from ..storage.notes import atomic_write
from ..utils.progress import say
from .contents import own_file
from .markup import yaml_text
from .provenance import publishable

HEAD = """\
# Settings of mvc_hf: how the checkpoint beside this file was made{generating}.
# A data set, base or captions that lay in a local folder are left out: name your own.
"""


def recipe_file(folder: Path) -> bytes | None:
    """The recipe of a checkpoint as it is published; None, with a line, where `mvc.json` holds none that can be used.

    Settings of fine-tuning are those of `mvc.json`; those of generating come from the file that `mvc-hf run` leaves.
    """
    generating: dict[str, Any] = {}
    try:
        if (folder / RECIPE).exists():
            generating = _generating(RunRecipe.load(own_file(folder, RECIPE)).recipe)
        return _composed(CheckpointMetadata.load(folder), generating)
    except RecipeError as error:
        say(f"note: the recipe is not published: {error}")
        return None


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Leave `mvc.yaml` in the folder of a checkpoint that a whole run has made, with its settings of generating."""
    with atomic_write(folder / RECIPE) as temporary:
        temporary.write_bytes(_composed(CheckpointMetadata.load(folder), _generating(recipe)))


def _composed(metadata: CheckpointMetadata, generating: dict[str, Any]) -> bytes:
    """Raises RecipeError where what comes out is no recipe."""
    values = {name: value for name, value in publishable(metadata.recipe).items() if value is not None}
    for name, origin in (("dataset", metadata.source), ("base", metadata.base)):
        values.pop(name, None)
        if address := _address(origin):
            values[name] = address
    if is_captions_file(str(values.get("captions", ""))):
        del values["captions"]  # they are in the checkpoint themselves
    values.pop("class_names", None)
    if "caption_model" in values and not hub_id(values["caption_model"]):
        del values["caption_model"]
    values |= generating
    RunRecipe.from_dict(values)  # whoever wrote mvc.json: it can be read again
    text = HEAD.format(generating=", and how images are generated with it" if generating else "") + yaml_text(values)
    if yaml.safe_load(text) != values:
        raise RecipeError("its settings cannot be written as YAML")
    return text.encode()


def _generating(recipe: Recipe) -> dict[str, Any]:
    """The settings of generating alone. They are numbers and words, and no places."""
    fields = {f.name: f.metadata["on"] for f in dataclasses.fields(recipe)}
    values = recipe.to_dict(GENERATE)
    return {n: v for n, v in values.items() if FINETUNE not in fields[n] and v is not None}


def _address(origin: dict[str, Any]) -> str | None:
    """A data set or model as anyone may name it, at its commit; None where it is local."""
    name, revision = str(origin.get("name") or ""), origin.get("revision")
    if name.startswith("torchvision:"):
        return name
    if not hub_id(name):
        return None
    return name if "@" in name or not revision else f"{name}@{revision}"


def training_log(folder: Path) -> bytes | None:
    """The rows of `training_log.csv`; None where there are none. What is no row of it stays here."""
    if not (folder / TRAINING_LOG).exists():
        return None
    with own_file(folder, TRAINING_LOG).open(newline="", encoding="utf-8", errors="replace") as file:
        head, *rows = [*csv.reader(line for line in file if "\0" not in line)] or [[]]
    if head[:1] != ["step"] or not all(name.isidentifier() for name in head):
        return None
    whole = [row for row in rows if len(row) == len(head) and row[0].isdecimal() and all(map(_number, row))]
    if not whole:
        return None
    out = io.StringIO(newline="")
    csv.writer(out).writerows([head, *whole])
    return out.getvalue().encode()


def _number(text: str) -> bool:
    try:
        return not text or math.isfinite(float(text))
    except ValueError:
        return False
