"""Dataset augmentation by mixing visual concepts (MVC), for timm and the Hugging Face ecosystem.

What is listed in `__all__` is the public interface. Each name is imported when it is first asked for: `import mvc_hf`
costs nothing, and touches nothing of anybody else's.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import mixing as mixing
    from .assessment.assess import assess as assess
    from .augment.mixed_dataset import mix_datasets as mix_datasets
    from .captions.caption import caption as caption
    from .config.assessing import AssessSettings as AssessSettings
    from .config.recipe import Recipe as Recipe
    from .config.run_recipe import RunRecipe as RunRecipe
    from .config.stages.exporting import ExportSettings as ExportSettings
    from .data.loading import open_dataset as open_dataset
    from .errors import DataError as DataError
    from .errors import HostError as HostError
    from .errors import ModelError as ModelError
    from .errors import MvcError as MvcError
    from .errors import OutputError as OutputError
    from .errors import RecipeError as RecipeError
    from .errors import Stopped as Stopped
    from .exporting.export import export as export
    from .generation.generate import generate as generate
    from .inspection.preview import preview as preview
    from .inspection.replay import replay as replay
    from .publish.push import push as push
    from .training.finetune import finetune as finetune
    from .workflows.pipeline import run as run
else:  # type checkers would believe that every name is there

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "mixing":
            return importlib.import_module(".mixing", __name__)
        value = getattr(importlib.import_module(f".{_HOME.get(name, 'errors')}", __name__), name)
        globals()[name] = value
        return value


__version__ = "0.1.0"

__all__ = [
    "AssessSettings",
    "DataError",
    "ExportSettings",
    "HostError",
    "ModelError",
    "MvcError",
    "OutputError",
    "Recipe",
    "RecipeError",
    "RunRecipe",
    "Stopped",
    "assess",
    "caption",
    "export",
    "finetune",
    "generate",
    "mix_datasets",
    "mixing",
    "open_dataset",
    "preview",
    "push",
    "replay",
    "run",
]

_HOME = {  # where each public name is defined; errors otherwise
    "AssessSettings": "config.assessing",
    "ExportSettings": "config.stages.exporting",
    "Recipe": "config.recipe",
    "RunRecipe": "config.run_recipe",
    "assess": "assessment.assess",
    "caption": "captions.caption",
    "export": "exporting.export",
    "finetune": "training.finetune",
    "generate": "generation.generate",
    "mix_datasets": "augment.mixed_dataset",
    "open_dataset": "data.loading",
    "preview": "inspection.preview",
    "push": "publish.push",
    "replay": "inspection.replay",
    "run": "workflows.pipeline",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
