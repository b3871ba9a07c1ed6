"""Generating: addresses → conditions → images → shards."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from . import allotment
from .addresses import Stream, words
from .allotment import addresses
from .apart import keep_apart
from .bank import LatentBank, TextBank
from .card import write_dataset_card
from .checkpoint import NOTES, Notes, load_captions, versions
from .diffusion import Base, Guidance, is_hub_id, load_base, make_scheduler, precision, sample
from .errors import DataError, RecipeError
from .groups import Groups
from .hub_pull import locate
from .locks import locked_folder
from .memory import check_room, enough_memory
from .methods import Method, Mvc, Pretrained
from .pictures import unsquare
from .processes import gathered, process_state
from .progress import bar, is_main_process, say
from .recipe import GENERATE, Recipe
from .shards import Split, png
from .source import open_source
from .texts import normal, some
from .views import Look

if TYPE_CHECKING:
    from .hub_upload import Published

SEEN = ("fit", "window", "max_images_per_class")  # how the checkpoint saw its images, and conditions are seen


def generate(
    recipe: Recipe,
    model: str | Path,
    out: str | Path,
    *,
    watch: Callable[[Split], None] | None = None,
    published: Published | None = None,
) -> Split:
    """Make a synthetic data set from a fine-tuned checkpoint; goes on with what a killed call left.

    Args:
        recipe: the settings of generating; `dataset` gives the condition images. The rest of a run's settings
            (resolution, captions) come with the checkpoint.
        model: a folder made by `finetune`, or a Hub id with an optional `@revision`.
        out: gets `data/train-*.parquet`, `manifest.json` and a `README.md` that `load_dataset` understands.
        watch: called in the main process before the first shard, and whenever it has finished one of its own: the
            shards that are there then are whole.
        published: where a local checkpoint is on the Hub, for the record.

    Raises:
        MvcError: for anything that the user can mend; whole shards are never lost.
    """
    keep_apart(recipe.dataset, out)
    with locked_folder(Path(out)):
        return _generated(recipe, model, Path(out), watch, published)


def _generated(
    recipe: Recipe,
    model: str | Path,
    out: Path,
    watch: Callable[[Split], None] | None,
    published: Published | None,
) -> Split:
    state = process_state()
    watch = watch if watch and is_main_process() else _nobody
    with enough_memory("generate", state.device):
        return _generate(recipe, model, Path(out), state, watch, published)


def _generate(
    recipe: Recipe, model: str | Path, out: Path, state: Any, watch: Callable[[Split], None],
    published: Published | None,
) -> Split:  # fmt: skip
    studio = Studio.open(recipe, model, state)
    if published:
        studio.provenance["checkpoint"] |= {"name": published.repo_id, "revision": published.commit}
    labels, k = addresses(studio.counts)
    _say_what_is_missing(studio)
    with state.main_process_first():  # the first process makes the folder ours, the others find it so
        split = Split(
            out, studio.made_from, len(labels), recipe.shard_size, studio.notes.class_names, studio.provenance,
            studio.counts.tolist(),
        )  # fmt: skip
    missing = gathered(split.missing(state.process_index, state.num_processes))
    if missing and is_main_process():
        split.reopen()
    state.wait_for_everyone()
    mine = missing[state.process_index :: state.num_processes]
    if not missing:
        say(f"{split.folder} is finished already; nothing to do")
    elif len(missing) < split.count:
        say(f"{split.count - len(missing)} of {split.count} shards are there; going on with the others")
    watch(split)
    if mine:
        rows = sum(len(split.rows_of(shard)) for shard in mine)
        with bar(rows, f"generating ({studio.method.name})", " images") as shown:
            for shard in mine:
                with split.writer(shard) as spool:
                    shown.update(spool.rows)
                    for batch in batches(split.rows_of(shard), recipe.batch_size, spool.rows):
                        spool.write(studio.rows(labels[batch], k[batch]))
                        shown.update(len(batch))
                watch(split)
    state.wait_for_everyone()
    if is_main_process():
        split.finish()
        write_dataset_card(split.folder)
    return split


def check_sampling_fits(
    recipe: Recipe, base: Base, resolution: int, size: tuple[int, int], device: torch.device
) -> None:
    """Raises NotEnoughMemory where not even what the VAE's last layer takes, and the pictures, can be held."""
    channels, width = base.vae.config.block_out_channels[0], 4 if recipe.mixed_precision == "no" else 2
    at_work = f"--batch-size {recipe.batch_size} at a resolution of {resolution}"
    check_room(2 * width * channels * recipe.batch_size * resolution**2, device, at_work)
    pictures = f"--batch-size {recipe.batch_size} of pictures of {size[0]}×{size[1]} (--image-size)"
    check_room(2 * 3 * recipe.batch_size * math.prod(size), None, pictures)


def _nobody(split: Split) -> None:
    """Watches."""


def _say_what_is_missing(studio: Studio) -> None:
    names = [studio.notes.class_names[label] for label in np.flatnonzero(studio.counts == 0)]
    if names:
        say(f"{len(names)} of {len(studio.counts)} classes get no synthetic image: {some(names, 3)}")


def batches(shard: range, size: int, done: int = 0) -> Iterator[np.ndarray]:
    """The rows of a shard, batch by batch, after those that are done. No batch reaches over two shards."""
    for first in range(done, len(shard), size):
        yield np.array(shard[first : first + size])


@dataclass
class Studio:
    """A method with everything around it that turns addresses into rows."""

    recipe: Recipe
    notes: Notes
    method: Method
    scheduler: Any
    size: tuple[int, int]  # (width, height) of the images that come out
    made_from: dict[str, Any]
    provenance: dict[str, Any]  # names, commits and licences of what it came from, for the card
    counts: np.ndarray | None = None  # images of each class; None where single rows are made
    groups: Groups | None = None  # of the condition images, where their groups are recorded

    @classmethod
    def open(
        cls,
        recipe: Recipe,
        checkpoint: str | Path,
        state: Any,
        text_bank: Callable[..., Any] = TextBank.build,
        image_bank: Callable[..., Any] = LatentBank.build,
    ) -> Studio:
        """The banks may be others, which encode less: a preview's."""
        dtype = precision(recipe.mixed_precision)
        with state.main_process_first():  # one process downloads
            folder, called, commit = locate(checkpoint, NOTES) or (Path(checkpoint), "", None)
        notes = Notes.load(folder)
        table = load_captions(folder, notes.class_names)
        if recipe.method == "pretrained":
            recipe = replace(recipe, base=base_of(recipe, notes), coarse=0, fine=0)
            model = load_base(recipe.base, recipe.variant)
        else:
            model = load_base(str(folder))
        scheduler = make_scheduler(recipe.scheduler, model.scheduler.config, recipe.num_inference_steps)
        size = size_of(recipe, notes)
        check_sampling_fits(recipe, model, notes.resolution, size, state.device)
        model.to(state.device)
        with state.main_process_first():
            text = text_bank(table, model)
            if recipe.method == "pretrained":
                latent = notes.resolution // model.vae_factor
                shape = (model.vae.config.latent_channels, latent, latent)
                method: Method = Pretrained(recipe, model, text, shape)
                dataset = groups = None
                real = real_counts(recipe, notes)
            else:
                source = source_of(recipe, notes)
                groups = Groups.of(source, recipe.group_column) if recipe.group_column else None
                images = image_bank(source, model, resolution=notes.resolution, max_broken=recipe.max_broken)
                method = Mvc(recipe, model, text, images)
                dataset = source.fingerprint
                real = np.array([len(rows) for rows in images.members])
        used = used_classes(notes) if recipe.method == "pretrained" else real > 0
        counts = allotment.images_of_class(recipe, len(notes.class_names), real, used)
        model.to(state.device, dtype)
        made_from = recipe.identity(GENERATE) | {
            "dataset": dataset,
            "base": model.fingerprint() if recipe.method == "pretrained" else None,
            "checkpoint": notes.fingerprint,
            "image_size": list(size),
            **{name: value for name, value in notes.recipe.items() if name in SEEN and value not in (None, "crop")},
            **allotment.identity(recipe, counts),
        }
        for name in ("split", "image_column", "label_column", "max_broken"):  # the data's fingerprint says it better
            made_from.pop(name)
        if groups is None:  # without condition images there is nothing to record of them
            made_from.pop("group_column", None)
        provenance = {
            "checkpoint": {"name": called, "revision": commit, "fingerprint": notes.fingerprint},
            "base": notes.base,
            "source": notes.source,
            "finetune": notes.recipe,
            "versions": versions(),
        }
        if recipe.method == "pretrained":
            base = {"name": model.name, "revision": model.revision, "fingerprint": made_from["base"]}
            provenance["base"] = {**notes.base, **base} if model.name == notes.base["name"] else base
        elif source.fingerprint != notes.source["fingerprint"]:
            provenance["source"] = {"name": source.name, "revision": source.revision, "fingerprint": dataset}
        return cls(recipe, notes, method, scheduler, size, made_from, provenance, counts, groups)

    def images(self, labels: np.ndarray, k: np.ndarray) -> tuple[list[Image.Image], Any]:
        """Images of these addresses, as the source's are in size and channels, and the conditions they came from."""
        device = self.method.model.unet.device
        found = self.method.conditions(labels, k)
        latents = sample(
            self.method.model.unet,
            self.scheduler,
            found.latents.to(device),
            found.prompt_embeds.to(device),
            found.null_embeds.to(device),
            None if found.image_latents is None else found.image_latents.to(device),
            Guidance(self.recipe.guidance_scale, self.recipe.image_guidance_scale),
            num_inference_steps=self.recipe.num_inference_steps,
            generators=_generators(self.recipe.seed, labels, k, device),
        )
        pixels = self.method.model.decode_latents(latents).numpy()
        return [self._as_source(Image.fromarray(array)) for array in pixels], found

    def rows(self, labels: np.ndarray, k: np.ndarray) -> list[dict[str, Any]]:
        """Rows of the data set, one for each address."""
        images, found = self.images(labels, k)
        columns = zip(images, labels.tolist(), k.tolist(), found.prompts, found.conditions, found.mixes)
        rows = [
            {
                "image": png(image),
                "label": label,
                "prompt": prompt,
                "method": self.method.name,
                "index": index,
                "seed": self.recipe.seed,
                "condition": condition,
                "mix": mix,
            }
            for image, label, index, prompt, condition, mix in columns
        ]
        if self.groups:
            for row in rows:
                row["group"] = self.groups.name(row["condition"])
        return rows

    def _as_source(self, image: Image.Image) -> Image.Image:
        fit = fit_of(self.recipe, self.notes)
        if fit != "crop":
            image = unsquare(image, self.size, fit)
        image = image.resize(self.size, Image.Resampling.LANCZOS) if image.size != self.size else image
        return image.convert("L") if self.notes.grey and self.method.name != "pretrained" else image


def _generators(seed: int, labels: np.ndarray, k: np.ndarray, device: torch.device) -> list[torch.Generator]:
    """One for each row, for schedulers that add noise on the way."""
    seeds = words(seed, Stream.SCHEDULER, labels, k, 1)[:, 0] >> np.uint64(1)
    return [torch.Generator(device).manual_seed(int(s)) for s in seeds]


def fit_of(recipe: Recipe, notes: Notes) -> str:
    """How the squares that come out stand for pictures of another shape. The untouched base knows of none."""
    known = notes.native_size and recipe.method != "pretrained"
    return notes.recipe.get("fit", "crop") if known else "crop"


def size_of(recipe: Recipe, notes: Notes) -> tuple[int, int]:
    """(width, height) of the images that come out; --image-size is the longer side where they keep proportions."""
    native, side = notes.native_size, recipe.image_size
    if not side:
        return native or (notes.resolution,) * 2
    if fit_of(recipe, notes) == "crop":
        return side, side
    return max(1, round(side * native[0] / max(native))), max(1, round(side * native[1] / max(native)))


def dataset_of(recipe: Recipe, notes: Notes) -> str:
    """The data set of the condition images: the one given, or the one that the checkpoint names."""
    dataset, known = recipe.dataset, notes.source
    if not dataset:
        dataset = known["name"]
        if not is_hub_id(dataset) and not dataset.startswith("torchvision:"):
            raise RecipeError(f"give --dataset: the checkpoint was trained on the local data set {dataset!r}")
        dataset += f"@{known['revision']}" if known["revision"] else ""
    return dataset


def source_of(recipe: Recipe, notes: Notes) -> Any:
    """The condition images. Raises DataError where their classes are not those of the checkpoint."""
    dataset, known = dataset_of(recipe, notes), notes.source
    columns = {name: getattr(recipe, name) or notes.recipe.get(name) for name in ("image_column", "label_column")}
    look, links = Look.recorded(notes.recipe), {"follow_symlinks": recipe.follow_symlinks}
    source = open_source(dataset, split=recipe.split, look=look, **columns, **links)
    source.check_lacking(recipe.max_broken)
    theirs, ours = (list(map(normal, names)) for names in (source.class_names, notes.class_names))
    if theirs != ours:
        raise DataError(
            f"the classes of {source.name} are not those of the checkpoint: {_other_classes(theirs, ours)}"
        )
    if source.fingerprint != known["fingerprint"]:
        say(f"note: {source.name} is not the data that the checkpoint was trained on; its images are conditions only")
    return source


def _other_classes(theirs: list[str], ours: list[str]) -> str:
    """In what the classes of a data set and of a checkpoint differ, as words that tell it."""
    more, fewer = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
    parts = [f"it has {some(more)} besides"] if more else []
    parts += [f"it lacks {some(fewer)}"] if fewer else []
    first = next((f"{a!r} is where the checkpoint has {b!r}" for a, b in zip(theirs, ours) if a != b), "")
    return " and ".join(parts) or f"they are in another order, {first}"


def used_classes(notes: Notes) -> np.ndarray | None:
    """(classes,) bool: the classes that a checkpoint has seen images of; None where it does not say (older ones)."""
    return None if notes.images_of_class is None else np.array(notes.images_of_class) > 0


def real_counts(recipe: Recipe, notes: Notes) -> np.ndarray | None:
    """Real images of each class where no bank has counted them; None where nobody asks.

    They are those of the data set that is given, else of the one that the checkpoint was trained on.
    """
    if not allotment.needs_real(recipe):
        return None
    if notes.images_of_class is not None and not recipe.dataset:
        return np.array(notes.images_of_class)
    source = source_of(recipe, notes)
    if notes.images_of_class is not None and source.fingerprint == notes.source["fingerprint"]:
        return np.array(notes.images_of_class)  # without those that could not be read
    return np.array([len(rows) for rows in source.members])


def base_of(recipe: Recipe, notes: Notes) -> str:
    """The base of `method: pretrained`: the one given, or the one that the checkpoint names."""
    name, revision = notes.base["name"], notes.base["revision"]
    if recipe.base:
        return recipe.base
    if revision is None:
        raise RecipeError(f"give --base: the checkpoint was made from the local model {name!r}")
    return f"{name}@{revision}"
