"""`load_dataset("mvc", data_files="recipe.yaml", images_per_class=50)`: a synthetic split by way of `datasets`.

    import mvc_hf.plugins.datasets_builder  # makes the name known
    from datasets import load_dataset

    split = load_dataset("mvc", data_files="recipe.yaml", split="train")
    stream = load_dataset("mvc", data_files="hf://org/name/mvc.yaml", split="train", streaming=True)

The rows are those that `mvc-hf generate` makes for the same recipe. They go into the cache of `datasets`, under a key
of everything that decides them: the settings, the checkpoint, and the names, sizes and times of the condition images.

`datasets` finds builders by name only in a private table of its own. It is touched in `register` and nowhere else.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any

import datasets
from datasets.exceptions import DatasetGenerationError
from datasets.fingerprint import Hasher

from ..artifacts.schema import ROW_GROUP, features
from ..config.fields import GENERATE, check_known
from ..config.recipe import Recipe
from ..errors import MvcError, RecipeError
from ..generation.request import GenerationRequest

NAME = "mvc"
FORMAT = "mvc_hf-1"  # names entries of the cache, too: to be changed where equal settings would give other rows
SETTINGS = (*Recipe().to_dict(GENERATE), "base", "model")  # None, the default, leaves it to the file
COMMON = tuple(field.name for field in dataclasses.fields(datasets.BuilderConfig))

_Settings: Any = dataclasses.make_dataclass(
    "_Settings", [(name, Any, None) for name in SETTINGS], bases=(datasets.BuilderConfig,), eq=False
)
_Settings.__module__ = __name__


class MvcConfig(_Settings):
    """A recipe file as `data_files`, and the settings that are given over it.

    Attributes:
        request: what comes of both, once `datasets` has found the file.

    Raises:
        MvcError: a setting is unknown or bad, or the recipe, its checkpoint or its data set are not to be had.
    """

    request: GenerationRequest

    def __new__(cls, *arguments: Any, **settings: Any) -> MvcConfig:
        check_known(settings, (*SETTINGS, *COMMON))
        return super().__new__(cls)

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """The name of the entry in the cache. `datasets` would take the arguments; this takes what they come to."""
        given = {name: value for name in SETTINGS if (value := getattr(self, name)) is not None}
        self.request = GenerationRequest.of(self._recipe_file(), given)
        key = self.request.key
        if custom_features is not None:
            key = Hasher.hash((key, custom_features))
        return f"{self.name}-{key}"

    def _recipe_file(self) -> str:
        files = [file for split in (self.data_files or {}).values() for file in split]
        if len(files) != 1:
            raise RecipeError(f"{len(files)} files are given; give one recipe: data_files='recipe.yaml'")
        return files[0]


class DatasetsBuilder(datasets.GeneratorBasedBuilder):
    """Generates while `datasets` writes, or while a stream is read."""

    BUILDER_CONFIG_CLASS = MvcConfig
    DEFAULT_WRITER_BATCH_SIZE = ROW_GROUP  # rows in memory

    def download_and_prepare(self, *arguments: Any, num_proc: int | None = None, **options: Any) -> None:
        """As `datasets` has it. Raises RecipeError for several processes: each would load a model of its own."""
        if num_proc is not None and num_proc > 1:
            raise RecipeError(
                f"num_proc={num_proc}: load_dataset('mvc', ...) generates in one process; for several GPUs run "
                "`accelerate launch -m mvc_hf.cli generate ...` and load the folder that it makes"
            )
        super().download_and_prepare(*arguments, **options)

    def _info(self) -> datasets.DatasetInfo:
        about = "Synthetic images made by mixing visual concepts (mvc_hf)."
        request = self.config.request
        return datasets.DatasetInfo(description=about, features=features(request.class_names, request.grouped))

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        (name,) = self.config.data_files
        return [datasets.SplitGenerator(name=str(name))]

    def _prepare_split(self, *arguments: Any, **options: Any) -> None:
        """Errors that the user can mend come through as what they are."""
        try:
            super()._prepare_split(*arguments, **options)
        except DatasetGenerationError as error:
            if isinstance(error.__cause__, MvcError):
                raise error.__cause__ from None
            raise

    def _generate_examples(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        for shard, number, row in self.config.request.rows():
            yield _key(shard, number), row


def _key(shard: int, number: int) -> Any:
    try:
        from datasets.builder import Key
    except ImportError:  # another version of datasets: any unique key does
        return number
    return Key(shard, number)


def register() -> None:
    """Enter the builder into `datasets`' table of names. Warns where there is no such table."""
    try:
        from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as table

        table[NAME] = (__name__, FORMAT)
    except (ImportError, AttributeError, TypeError) as error:
        warnings.warn(
            f"this version of datasets is not as mvc_hf knows it ({error}): load_dataset('mvc', ...) is not there; "
            "`mvc-hf generate` makes the same rows",
            stacklevel=2,
        )
        return
    _refuse_to_scan()


def _refuse_to_scan() -> None:
    """Without data_files `datasets` would search the working directory for files, which may be a large one."""
    from datasets import load

    factory: Any = getattr(load, "PackagedDatasetModuleFactory", None)
    if factory is None or hasattr(factory.get_module, "mvc_hf"):
        return  # the builder refuses what is found then
    get_module = factory.get_module

    def checked(self: Any) -> Any:
        if self.name == NAME and getattr(self, "data_files", NAME) is None:
            raise RecipeError("no recipe: load_dataset('mvc', data_files='recipe.yaml')")
        return get_module(self)

    checked.mvc_hf = True  # type: ignore[attr-defined]
    factory.get_module = checked


register()
