"""A whole run from one file: caption, fine-tune, generate, push. Every stage goes on where the last call left it.

The file holds the settings of all commands under the names of their flags. What the stages do is in their own modules;
here is only their order, and what one hands to the next.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import typing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config.fields import check_known, flag
from ..config.files import read_settings
from ..config.recipe import Recipe
from ..data.apart import keep_apart
from ..errors import OutputError, RecipeError
from ..storage.layout import CAPTIONS, CHECKPOINT, SYNTHETIC
from ..storage.locks import locked_folder
from ..utils.text import brief, shortened, unreadable

ALIASES = {f.metadata["alias"][2:]: f.name for f in dataclasses.fields(Recipe) if f.metadata["alias"]}


@dataclass(frozen=True)
class Pipeline:
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
    def load(cls, path: str | Path) -> Pipeline:
        """Read YAML, or JSON where the name ends in .json.

        Raises:
            RecipeError: it cannot be read, has a key that is not known (the nearest one is named), or a bad value.
        """
        return cls.from_dict(read_settings(path))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Pipeline:
        """Settings by the names of their flags, with dashes or underscores."""
        recipe_names = [field.name for field in dataclasses.fields(Recipe)]
        found: dict[str, Any] = {}
        for key, value in values.items():
            name = str(key).replace("-", "_")
            name = ALIASES.get(name, name)
            if name in found:
                raise RecipeError(f"{name} is given twice, the second time as {brief(key)}: keep one of them")
            found[name] = value
        check_known(found, [*_own(), *recipe_names])
        recipe = Recipe(**{name: value for name, value in found.items() if name in recipe_names})
        return cls(recipe, **{name: value for name, value in found.items() if name not in recipe_names})

    @property
    def folder(self) -> Path:
        """The output folder. Raises RecipeError where none is given."""
        if not self.output:
            raise RecipeError("no output folder: give it in the recipe (output: my-run), or with -o")
        return Path(self.output).expanduser()

    @property
    def checkpoint(self) -> str:
        """What is generated from."""
        return self.model or str(self.folder / CHECKPOINT)

    def check(self) -> None:
        """Raises MvcError where something is missing that some stage will need, or the folder is somebody else's."""
        keep_apart(self.recipe.dataset, *(self.folder / name for name in (CHECKPOINT, SYNTHETIC, CAPTIONS)))
        self._refuse_others_folder()
        if not self.model and not self.recipe.dataset:
            raise RecipeError("no data set: give it in the recipe (dataset: a folder, Parquet or Hub id)")
        if not self.model and not self.recipe.base:
            raise RecipeError("no base model: give it in the recipe (base: a folder or Hub id), or a finished model")

    def run(self) -> list[str]:
        """All stages, one after the other; what is finished is not done again. On several processes all call it.

        Returns:
            A line for each thing that was made.

        Raises:
            MvcError: for anything that the user can mend; nothing that was done is lost.
        """
        self.check()
        with locked_folder(self.folder):
            return self._run()

    def _run(self) -> list[str]:
        hub_model, hub_dataset = self._push_targets()
        lines, published = [], None
        if not self.model:
            lines += [self._caption(), self._finetune()]
            _free_memory()
            if hub_model:
                from ..publish.push import push

                published = push(self.folder / CHECKPOINT, hub_model, "model", private=self.private)
                lines.append(str(published))
        return lines + self._generate(hub_dataset, published)

    def _refuse_others_folder(self) -> None:
        """Other things may lie in the folder only where a run has begun there; recipes always.

        Raises:
            OutputError: it holds something else, or is a file.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{shortened(str(self.folder))} is a file: choose a folder")
        found = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
        others = sorted(n for n in found if n[0] != "." and Path(n).suffix not in (".yaml", ".yml", ".json"))
        if others and not found & {CHECKPOINT, SYNTHETIC, CAPTIONS}:
            raise OutputError(
                f"{shortened(str(self.folder))} holds {brief(others[0])} and nothing of mvc-hf run: choose an empty "
                "or a new folder"
            )

    def _push_targets(self) -> tuple[str | None, str | None]:
        """The repositories of checkpoint and data set, found fit for it before anything is spent; None for neither."""
        from ..utils.progress import is_main_process

        if not self.push_to_hub or not is_main_process():
            return None, None
        from ..hub.access import check_push

        options = {"private": self.private}
        folder = self.folder.resolve()
        model = None if self.model else check_push(self.hub_model_id, "model", folder=folder, **options)
        default = folder.with_name(f"{folder.name}-{SYNTHETIC}")
        return model, check_push(self.hub_dataset_id, "dataset", folder=default, **options)

    def _caption(self) -> str:
        if _is_file(self.recipe):
            return f"{self.recipe.captions}: captions as they are"
        from ..captions.caption import caption
        from ..data.loading import open_for

        source = open_for(self.recipe)  # before a base is fetched
        self._check_base()  # a captioner may work for hours
        made = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            return caption(self.recipe, self.folder / CAPTIONS, source)
        except BaseException:
            with contextlib.suppress(OSError):  # there is something in it
                if made:
                    self.folder.rmdir()
            raise

    def _finetune(self) -> str:
        from ..training.finetune import finetune

        recipe = self.recipe if _is_file(self.recipe) else from_file(self.recipe, self.folder / CAPTIONS)
        notes = finetune(recipe, self.folder / CHECKPOINT)
        steps, images, classes = notes.training["steps"], notes.training["images"], len(notes.class_names)
        return f"{self.folder / CHECKPOINT}: fine-tuned {steps} steps on {images} images of {classes} classes"

    def _generate(self, repository: str | None, published: Any) -> list[str]:
        from ..generation.generate import generate
        from ..publish.push import ShardUploader

        out = self.folder / SYNTHETIC
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(ShardUploader(repository, out, private=self.private)) if repository else None
            watch = stream.look if stream else None
            split = generate(self.recipe, self.checkpoint, out, watch=watch, published=published)
            line = f"{out}: {split.rows} images of {len(split.class_names)} classes in {split.count} shards"
            return [line, str(stream.finish())] if stream else [line]

    def _check_base(self) -> None:
        """Whether fine-tuning can begin, as far as that shows without the data."""
        from ..diffusion.model import load_base, precision
        from ..diffusion.unet import check_trainable

        precision(self.recipe.mixed_precision)
        base = load_base(self.recipe.base, self.recipe.variant)
        base.check_resolution(self.recipe.resolution or base.resolution)
        check_trainable(base.scheduler)


def from_file(recipe: Recipe, captions: Path) -> Recipe:
    """The recipe with captions that are written already; what would make them again means nothing any more."""
    plain = Recipe()
    asked = {name: getattr(plain, name) for name in ("caption_model", "caption_prompt", "captions_per_image")}
    return replace(recipe, captions=str(captions), **asked)


def _is_file(recipe: Recipe) -> bool:
    return recipe.captions.endswith(".parquet") and recipe.captions.partition(":")[0] not in ("template", "column")


def _own() -> dict[str, Any]:
    """The settings of a run as a whole, with their types."""
    hints = typing.get_type_hints(Pipeline)
    return {field.name: hints[field.name] for field in dataclasses.fields(Pipeline) if field.name != "recipe"}


def _free_memory() -> None:
    """The optimizer's state is gone: what comes next may have its memory."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
