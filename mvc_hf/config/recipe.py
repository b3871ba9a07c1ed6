"""Recipe: one frozen, validated description of a run, made of the settings of its stages.

Each stage declares its settings in a file of its own beside this one: default, help, limits and the commands that take
it. The command line, recipe files, `mvc.json` and the manifest of a data set all follow from these declarations, under
the same names.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .fields import ALL, BOTH, UNLESS_DEFAULT, check_known, setting
from .files import read_settings
from .stages.captions import CaptionModelSettings, CaptionSettings
from .stages.data import DataSettings, ViewSettings
from .stages.finetuning import FinetuneSettings
from .stages.generating import GenerateSettings
from .stages.mixing import MixingSettings


# The last base comes first: dataclasses collect fields from the far end.
@dataclass(frozen=True)
class Recipe(
    GenerateSettings,
    FinetuneSettings,
    MixingSettings,
    CaptionModelSettings,
    ViewSettings,
    CaptionSettings,
    DataSettings,
):
    """The settings of all stages, flat: `Recipe(dataset="photos", coarse=3)`. Built only if every value is within its
    limits. A function that needs those of one stage asks for that stage's class, and takes a Recipe.

    Raises:
        RecipeError: a value is out of its limits; the message names it, the limit and the flag.
    """

    mixed_precision: str = setting("no", "arithmetic of the model", choices=("no", "fp16", "bf16"), on=BOTH)
    compile: bool = setting(
        False, "compile the U-Net first: a minute or more once, then faster steps", on=BOTH, identity=False
    )
    seed: int = setting(0, "everything random follows from this number", minimum=0, maximum=2**63 - 1, on=ALL)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Raises RecipeError for an unknown key, with the nearest known one."""
        check_known(values, [field.name for field in dataclasses.fields(cls)])
        return cls(**values)

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a recipe from YAML, or from JSON where the name ends in .json."""
        return cls.from_dict(read_settings(path))

    def to_dict(self, *stages: str) -> dict[str, Any]:
        """All settings, or those of the given stages, in the order of their declaration."""
        return {f.name: getattr(self, f.name) for f in self._fields(*stages)}

    def save(self, path: str | Path) -> None:
        """Write YAML, or JSON where the name ends in .json."""
        import yaml

        values = self.to_dict()
        if Path(path).suffix == ".json":
            text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        else:
            text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
            if yaml.safe_load(text) != values:  # PyYAML writes U+0085 and its like as they are, and reads line breaks
                text = yaml.safe_dump(values, sort_keys=False)
        Path(path).write_text(text, encoding="utf-8")

    def identity(self, *stages: str) -> dict[str, Any]:
        """The settings that decide what comes out, without those that only say how it is computed."""
        values = {f.name: (f, getattr(self, f.name)) for f in self._fields(*stages) if f.metadata["identity"]}
        return {
            name: value
            for name, (f, value) in values.items()
            if f.metadata["identity"] != UNLESS_DEFAULT or value != f.default
        }

    def _fields(self, *stages: str) -> list[dataclasses.Field[Any]]:
        fields = dataclasses.fields(self)
        return [f for f in fields if not stages or set(stages) & set(f.metadata["on"])]
