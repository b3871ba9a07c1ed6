"""The recipe of a whole run: the settings of all stages in one file, and the few that belong to the run as a whole."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OutputError, RecipeError
from ..storage.layout import CAPTIONS, CHECKPOINT, COMPARE, SWEEP, SYNTHETIC
from ..utils.text import brief, shortened, unreadable
from .fields import aliases, check_known, flag
from .files import read_settings
from .recipe import Recipe

SECTIONS = ("compare", "sweep")  # of a recipe; what is in them is for the commands of these names
ALIASES = {"output_dir": "output"} | aliases(Recipe)


@dataclass(frozen=True)
class RunRecipe:
    """A recipe, and the few settings that belong to a run as a whole.

    Attributes:
        output: folder that gets captions.parquet, checkpoint/ and synthetic/.
        model: a checkpoint that is there, as folder or Hub id[@revision]; nothing is captioned or fine-tuned then.
        push_to_hub: publish the checkpoint and the data set.
        hub_model_id, hub_dataset_id: where; by default the user's name and that of the output folder, with
            "-synthetic" behind it for the data set.
        private: for repositories that have to be made.

    Raises:
        RecipeError: two settings are at odds, or one is of a wrong type.
    """

    recipe: Recipe
    output: str = ""
    model: str = ""
    push_to_hub: bool = False
    hub_model_id: str | None = None
    hub_dataset_id: str | None = None
    private: bool = False

    def __post_init__(self) -> None:
        for name, kind in _own().items():
            value, wanted = getattr(self, name), typing.get_args(kind) or (kind,)
            if not isinstance(value, wanted):
                raise RecipeError(f"{flag(name)} takes a value of type {wanted[0].__name__}, not {brief(value)}")
            if isinstance(value, str) and (why := unreadable(value)):
                raise RecipeError(f"{flag(name)} is {brief(value)}: {why}")
        for name in ("hub_model_id", "hub_dataset_id", "private"):
            if getattr(self, name) and not self.push_to_hub:
                raise RecipeError(f"{name} goes with push_to_hub: give both, or neither")
        if self.model and self.hub_model_id:
            raise RecipeError("model and hub_model_id are at odds: a checkpoint that is there already is not pushed")

    @classmethod
    def load(cls, path: str | Path) -> RunRecipe:
        """Read YAML, or JSON where the name ends in .json.

        Raises:
            RecipeError: it cannot be read, has a key that is not known (the nearest one is named), or a bad value.
        """
        return cls.from_dict(read_settings(path))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunRecipe:
        """Settings by the names of their flags, with dashes or underscores. Sections are passed over."""
        for name in SECTIONS:
            if not isinstance(values.get(name, {}), dict | None):
                raise RecipeError(
                    f"{name} is a section of the recipe, not {brief(values[name])}: write settings below it"
                )
        values = {key: value for key, value in values.items() if key not in SECTIONS}
        recipe_names = [field.name for field in dataclasses.fields(Recipe)]
        found: dict[str, Any] = {}
        for key, value in values.items():
            name = str(key).replace("-", "_")
            name = ALIASES.get(name, name)
            if name in found:
                raise RecipeError(f"{name} is given twice, the second time as {brief(key)}: keep one of them")
            found[name] = value
        check_known(found, [*_own(), *recipe_names, *SECTIONS])
        recipe = Recipe(**{name: value for name, value in found.items() if name in recipe_names})
        return cls(recipe, **{name: value for name, value in found.items() if name not in recipe_names})

    @property
    def folder(self) -> Path:
        """The output folder. Raises RecipeError where none is given."""
        if not self.output:
            raise RecipeError("no output folder: give it in the recipe (output: my-run), or with -o")
        return Path(self.output).expanduser()

    def unpublished(self) -> RunRecipe:
        """The same run, that pushes nothing."""
        return dataclasses.replace(self, push_to_hub=False, hub_model_id=None, hub_dataset_id=None, private=False)

    def check(self) -> None:
        """Raises MvcError where something is missing that some stage will need, or the folder is somebody else's."""
        self.refuse_others_folder()
        if not self.model and not self.recipe.dataset:
            raise RecipeError("no data set: give it in the recipe (dataset: a folder, Parquet or Hub id)")
        if not self.model and not self.recipe.base:
            raise RecipeError("no base model: give it in the recipe (base: a folder or Hub id), or a finished model")

    def refuse_others_folder(self) -> None:
        """Other things may lie in the folder only where a run has begun there, or its data; recipes always.

        Raises:
            OutputError: it holds something else, or is a file.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{shortened(str(self.folder))} is a file: choose a folder")
        found = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
        others = sorted(n for n in found if n[0] != "." and Path(n).suffix not in (".yaml", ".yml", ".json"))
        data = Path(self.recipe.dataset).expanduser().absolute()
        beside = bool(self.recipe.dataset) and data.exists() and self.folder.absolute() in data.parents
        if others and not beside and not found & {CHECKPOINT, SYNTHETIC, CAPTIONS, COMPARE, SWEEP}:
            raise OutputError(
                f"{shortened(str(self.folder))} holds {brief(others[0])} and nothing of mvc-hf run: choose an empty "
                "or a new folder"
            )


def _own() -> dict[str, Any]:
    """The settings of a run as a whole, with their types."""
    hints = typing.get_type_hints(RunRecipe)
    return {field.name: hints[field.name] for field in dataclasses.fields(RunRecipe) if field.name != "recipe"}
