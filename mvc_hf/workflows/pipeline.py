"""A whole run from one file: caption, fine-tune, generate, push. Every stage goes on where the last call left it.

What the stages do is in their own packages; here is only their order, and what one hands to the next.
"""

from __future__ import annotations

import contextlib
import gc
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..captions.formats.endings import is_captions_file
from ..config.recipe import Recipe
from ..config.run_recipe import RunRecipe
from ..data.apart import keep_apart
from ..errors import OutputError
from ..storage.layout import CAPTIONS, CHECKPOINT, SYNTHETIC
from ..storage.locks import locked_folder
from ..storage.manifest import read_manifest
from ..utils.text import counted


def run(recipe: RunRecipe | str | Path) -> list[str]:
    """All stages of a recipe, one after the other; what is finished is not done again.

    On several processes all of them must call it.

    Args:
        recipe: or the file that holds it.

    Returns:
        A line for each thing that was made.

    Raises:
        MvcError: for anything that the user can mend; nothing that was done is lost.
    """
    recipe = recipe if isinstance(recipe, RunRecipe) else RunRecipe.load(recipe)
    check(recipe)
    with locked_folder(recipe.folder):
        return _run(recipe)


def check(run: RunRecipe) -> None:
    """Raises MvcError where something is missing that some stage will need, or the folder is somebody else's."""
    run.check()
    keep_apart(run.recipe.dataset, *(run.folder / name for name in (CHECKPOINT, SYNTHETIC, CAPTIONS)))


def _run(run: RunRecipe) -> list[str]:
    from ..publish.record import write_recipe
    from ..utils.progress import is_main_process

    hub_model, hub_dataset = _push_targets(run)
    lines, published = [], None
    if not run.model:
        _check_images(run)
        lines += [_caption(run), _finetune(run)]
        _free_memory()
        if is_main_process():
            write_recipe(run.folder / CHECKPOINT, run.recipe)
        if hub_model:
            from ..publish.push import push
            from .samples import draw_samples

            prepare = partial(draw_samples, dataset=run.recipe.dataset)
            published = push(run.folder / CHECKPOINT, hub_model, "model", private=run.private, prepare=prepare)
            lines.append(str(published))
    return lines + _generate(run, hub_dataset, published)


def _check_images(run: RunRecipe) -> None:
    """Refuse a longer fine-tuning where images of the shorter one lie already, before it is begun."""
    folder, wanted = run.folder / SYNTHETIC, run.recipe.max_train_steps
    try:
        made_by = (read_manifest(folder) or {}).get("provenance") or {}
    except OutputError:  # generating says so, or mends it
        return
    steps = (made_by.get("finetune") or {}).get("max_train_steps")
    if wanted and isinstance(steps, int) and steps != wanted:
        raise OutputError(
            f"{folder} was made by a model of {counted(steps, 'step')}, and this run is to have {wanted:,}: a data "
            "set has images of one model; move it away, and the same command goes on"
        )


def _push_targets(run: RunRecipe) -> tuple[str | None, str | None]:
    """The repositories of checkpoint and data set, found fit for it before anything is spent; None for neither."""
    from ..utils.progress import is_main_process

    if not run.push_to_hub or not is_main_process():
        return None, None
    from ..hub.access import check_push

    folder = run.folder.resolve()
    model = None if run.model else check_push(run.hub_model_id, "model", folder=folder, private=run.private)
    default = folder.with_name(f"{folder.name}-{SYNTHETIC}")
    return model, check_push(run.hub_dataset_id, "dataset", folder=default, private=run.private)


def _caption(run: RunRecipe) -> str:
    if _is_file(run.recipe):
        return f"{run.recipe.captions}: captions as they are"
    from ..captions.caption import caption
    from ..data.loading import open_for

    source = open_for(run.recipe)  # before a base is fetched
    _check_base(run)  # a captioner may work for hours
    made = not run.folder.exists()
    run.folder.mkdir(parents=True, exist_ok=True)
    try:
        return caption(run.recipe, run.folder / CAPTIONS, source)
    except BaseException:
        with contextlib.suppress(OSError):  # there is something in it
            if made:
                run.folder.rmdir()
        raise


def _finetune(run: RunRecipe) -> str:
    from ..training.finetune import finetune, said_of

    recipe = run.recipe if _is_file(run.recipe) else from_file(run.recipe, run.folder / CAPTIONS)
    metadata = finetune(recipe, run.folder / CHECKPOINT)
    return f"{run.folder / CHECKPOINT}: {said_of(metadata)}"


def _generate(run: RunRecipe, repository: str | None, published: Any) -> list[str]:
    from ..generation.generate import generate
    from ..publish.push import ShardUploader

    out = run.folder / SYNTHETIC
    with contextlib.ExitStack() as stack:
        uploader = stack.enter_context(ShardUploader(repository, out, private=run.private)) if repository else None
        watch = uploader.look if uploader else None
        made = generate(run.recipe, run.model or run.folder / CHECKPOINT, out, watch=watch, published=published)
        line = f"{out}: {made}"
        return [line, str(uploader.finish())] if uploader else [line]


def _check_base(run: RunRecipe) -> None:
    """Whether fine-tuning can begin, as far as that shows without the data."""
    from ..diffusion.model import load_base, precision
    from ..diffusion.unet import check_trainable

    precision(run.recipe.mixed_precision)
    base = load_base(run.recipe.base, run.recipe.variant)
    base.check_resolution(run.recipe.resolution or base.resolution)
    check_trainable(base.scheduler)


def from_file(recipe: Recipe, captions: Path) -> Recipe:
    """The recipe with captions that are written already; what would make them again means nothing any more."""
    plain = Recipe()
    asked = {name: getattr(plain, name) for name in ("caption_model", "caption_prompt", "captions_per_image")}
    return replace(recipe, captions=str(captions), **asked)


def _is_file(recipe: Recipe) -> bool:
    return is_captions_file(recipe.captions)


def _free_memory() -> None:
    """The optimizer's state is gone: what comes next may have its memory."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
