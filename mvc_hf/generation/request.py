"""A synthetic split as others ask for it: by a recipe file, here or on the Hub, and settings over it.

What `load_dataset("mvc", ...)` stands on. An order knows what decides its rows before any of them is made.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ..config.fields import GENERATE
from ..config.files import LARGEST, decoded, fingerprint, parse_settings, read_text
from ..config.recipe import Recipe
from ..config.run_recipe import RunRecipe
from ..errors import RecipeError
from ..methods.registry import get_method

if TYPE_CHECKING:
    from ..artifacts.checkpoint import CheckpointMetadata

ON_THE_HUB = re.compile(r"hf://(?P<id>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?/.+")  # a file of a model repository
HOW_MANY = ("images_per_class", "total", "per_image")  # of these a recipe has one
OTHER_REPOSITORIES = ("datasets", "spaces", "buckets", "kernels")


@dataclass(frozen=True)
class GenerationRequest:
    """What to generate, and from which checkpoint.

    Attributes:
        recipe: the settings, the file's and those given over it.
        model: folder or Hub id[@revision] of the checkpoint.
        class_names: the checkpoint's.
        key: of everything that decides what comes out: equal keys, equal rows.
    """

    recipe: Recipe
    model: str
    class_names: tuple[str, ...]
    key: str

    @classmethod
    def of(cls, file: str, given: dict[str, Any]) -> GenerationRequest:
        """Read a recipe file, and find the checkpoint, without loading it.

        The checkpoint is `model`, else what the recipe's own run made (`output`), else the folder or the model
        repository that the file lies in.

        Args:
            file: a path, or a URL as fsspec takes it: hf://org/name/mvc.yaml.
            given: settings of `generate`, `model` and `base`; they win over the file's.

        Raises:
            MvcError: a setting is bad, or recipe, checkpoint or data set are not to be had.
        """
        from .counts import IMAGES_PER_CLASS
        from .opening import resolve

        run = RunRecipe.from_dict(parse_settings(_text_of(file), file))
        given = dict(given)
        model = given.pop("model", None) or run.model or _made_by(run) or _place_of(file)
        recipe = _with(run.recipe, given)
        metadata = resolve(recipe, model).metadata
        if not any(getattr(recipe, name) for name in HOW_MANY):
            recipe = replace(recipe, images_per_class=IMAGES_PER_CLASS)  # the same whether it is said or not
        key = recipe.identity(GENERATE) | {"checkpoint": metadata.fingerprint} | _inputs(recipe, metadata)
        key |= get_method(recipe.method).own_settings(recipe)
        return cls(recipe, model, metadata.class_names, fingerprint(key))

    @property
    def grouped(self) -> bool:
        """Whether the rows have the group of their condition image."""
        return bool(self.recipe.group_column) and get_method(self.recipe.method).cls.needs_images

    def rows(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Shard, number and columns of each row, as `mvc-hf generate` makes them: in the same batches.

        Raises:
            MvcError: as `generate`.
        """
        from ..utils.distributed import Alone
        from .counts import addresses
        from .finishing import finished_rows
        from .generate import batches
        from .opening import open_generator

        # Alone, even in a training run of many processes: `datasets` lets one of them generate while the others wait.
        generator = open_generator(self.recipe, self.model, Alone())
        labels, index = addresses(generator.counts)
        size = self.recipe.shard_size
        for shard, first in enumerate(range(0, len(labels), size)):
            todo = batches(range(first, min(first + size, len(labels))), self.recipe.batch_size)
            rows = finished_rows(generator, ((labels[batch], index[batch]) for batch in todo))
            for number, row in enumerate(itertools.chain.from_iterable(rows), first):
                yield shard, number, row


def _with(recipe: Recipe, given: dict[str, Any]) -> Recipe:
    """The recipe with other settings. One that says how many images to make replaces whatever said so in the file."""
    others: dict[str, Any] = {}
    if any(name in given for name in HOW_MANY):
        others = dict.fromkeys(HOW_MANY)
        others["balance"] = recipe.balance and "total" in given
    return replace(recipe, **others | given)


def _text_of(file: str) -> str:
    """Raises RecipeError where it cannot be read."""
    if "://" not in file and "::" not in file:
        return read_text(file)
    import fsspec

    from ..hub.download.remote_files import RemoteFile
    from ..utils.text import reason

    try:
        with RemoteFile(file) if file.startswith("hf://") else fsspec.open(file, "rb") as opened:
            data = opened.read(LARGEST + 1)
    except Exception as error:  # of whatever file system it is
        raise RecipeError(f"cannot read the recipe {file}: {reason(error)}") from error
    return decoded(data, file)


def _made_by(run: RunRecipe) -> str | None:
    """The checkpoint that a run of the recipe has made here."""
    from ..storage.layout import CHECKPOINT, METADATA

    folder = Path(run.output).expanduser() / CHECKPOINT
    return str(folder) if run.output and (folder / METADATA).is_file() else None


def _place_of(file: str) -> str:
    """The checkpoint that the recipe lies in. Raises RecipeError where it lies in none."""
    from ..storage.layout import METADATA

    found = ON_THE_HUB.fullmatch(file)
    if found and found["id"].split("/")[0] not in OTHER_REPOSITORIES:
        return "@".join(filter(None, (found["id"], unquote(found["revision"] or ""))))
    folder = Path(file).parent
    if "://" not in file and (folder / METADATA).is_file():
        return str(folder)
    raise RecipeError(
        f"no checkpoint: {file} names no model and does not lie beside one; give model=, a folder made by mvc-hf "
        "finetune or its Hub id"
    )


def _inputs(recipe: Recipe, metadata: CheckpointMetadata) -> dict[str, Any]:
    """What identifies the condition images, or the untouched base, without reading all of them."""
    from ..hub.download.models import locate
    from .inputs import base_of, dataset_of, real_counts, source_of

    method = get_method(recipe.method).cls
    inputs: dict[str, Any] = {"base": None}
    if not method.needs_checkpoint:
        base = base_of(recipe, metadata)
        inputs["base"] = _files_key(base) or (locate(base, variant=recipe.variant) or ())[1:]
    if method.needs_images:
        dataset = dataset_of(recipe, metadata)
        there = _files_key(dataset, recipe.follow_symlinks)
        return inputs | {"dataset": there or source_of(recipe, metadata).fingerprint}
    real = real_counts(recipe, metadata)
    return inputs | {"dataset": None if real is None else real.tolist()}


def _files_key(place: str, follow_symlinks: bool = False) -> str | None:
    """Names, sizes and times of local files, which `datasets` goes by, too; None where the place is not local."""
    path = os.path.expanduser(place)
    if os.path.isdir(path):
        files = list(_files_below(path, follow_symlinks))
    elif os.path.exists(path):
        files, path = [path], os.path.dirname(path)
    elif glob.has_magic(path):
        files, path = glob.glob(path, recursive=True), ""
    else:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(files):
        try:
            about = os.stat(file)
        except OSError:  # a link that leads nowhere
            about = os.lstat(file)
        text = f"{os.path.relpath(file, path or '.')}\0{about.st_size}\0{about.st_mtime_ns}\0"
        digest.update(text.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files_below(path: str, follow_symlinks: bool) -> Iterator[str]:
    """Each folder once, in whatever circles links lead."""
    seen = set()
    for folder, inner, names in os.walk(path, followlinks=follow_symlinks):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        yield from (os.path.join(folder, name) for name in names)
