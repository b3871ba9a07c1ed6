"""From the setting `captions` to a caption source."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import DataError, RecipeError
from .formats.endings import is_captions_file
from .sources import EXISTS, MODEL, CaptionSource, ColumnCaptions, FileCaptions, TemplateCaptions

if TYPE_CHECKING:
    from ..config.recipe import Recipe
    from ..config.stages.captions import CaptionModelSettings


def caption_source(spec: str, *, keep_duplicates: bool = False, recipe: Recipe | None = None) -> CaptionSource:
    """The source that a setting names: template, template:TEXT, column:NAME, a captions file, or blip2.

    Args:
        spec: the setting.
        keep_duplicates: True to keep equal captions of a class as often as they come.
        recipe: for blip2, the settings of the model; the defaults without it.

    Raises:
        RecipeError: there is no such captioner, or a setting means nothing to it.
        DataError: the file does not exist.
    """
    kind, _, value = spec.partition(":")
    if spec == MODEL:
        from ..config.recipe import Recipe
        from .model_captioner import ModelCaptions

        return ModelCaptions.of(recipe or Recipe(), keep_duplicates)
    if recipe:
        _refuse_settings_of_models(spec, recipe)
    if is_captions_file(spec):
        if not os.path.isfile(os.path.expanduser(spec)):
            raise DataError(f"no such captions file: {spec!r}")
        return FileCaptions(os.path.expanduser(spec), keep_duplicates)
    if spec == "template":
        return TemplateCaptions()
    if kind == "template":
        return TemplateCaptions((value,))
    if kind == "column" and value:
        return ColumnCaptions(value, keep_duplicates)
    raise RecipeError(f"unknown captioner {spec!r}; {EXISTS}")


def _refuse_settings_of_models(spec: str, settings: CaptionModelSettings) -> None:
    """They would be passed over in silence, and the captions be others than was thought."""
    from ..config.fields import flag

    for name, default in (("caption_model", None), ("caption_prompt", ""), ("captions_per_image", 1)):
        value = getattr(settings, name)
        if value != default:
            raise RecipeError(f"{flag(name)} {value} means nothing to {spec!r}: give --captioner {MODEL}")
