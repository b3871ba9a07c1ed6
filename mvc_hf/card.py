"""Cards: the README of a published checkpoint and of a published data set, metadata and text.

A card says what the folder itself records, so that the same folder has the same card. Licences are the exception:
where the folder names none, the local cache of the Hub's clients is asked, and never the Hub.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from .card_parts import (
    Licence,
    Origin,
    hub_id,
    markdown,
    pairs,
    publishable,
    python_literal,
    table,
    yaml_code,
    yaml_text,
)
from .errors import OutputError, RecipeError
from .pictures import decode
from .side_files import atomic_write
from .texts import one_line

if TYPE_CHECKING:
    from PIL import Image

SAMPLES = "samples.png"
PICTURES = (SAMPLES, "contact_sheet.png")  # shown where they lie beside the card
TABLE_ROWS = 100  # of the class table; a data set's metadata always has all names
SIZES = (
    *("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"),
    *("1B<n<10B", "10B<n<100B", "100B<n<1T", "n>1T"),
)
CITATION = """```bibtex
@misc{alrahat2024mvc,
  title         = {Dataset Augmentation by Mixing Visual Concepts},
  author        = {Al Rahat, Abdullah and Venkateswara, Hemanth},
  year          = {2024},
  eprint        = {2412.15358},
  archivePrefix = {arXiv}
}
```"""


def model_card(folder: Path, repo_id: str | None = None) -> str:
    """The card of a folder made by `mvc-hf finetune`.

    Args:
        folder: with `mvc.json` and `captions.parquet`; pictures named in `PICTURES` are shown where they lie in it.
        repo_id: "org/name" where the card will be published; None for a card of the folder itself, whose snippets
            run beside it.

    Raises:
        MvcError: it is no finished checkpoint, or `repo_id` is no Hub id.
    """
    from .captions import with_prefix
    from .checkpoint import Notes, load_captions

    folder, here = Path(folder), _here(Path(folder), repo_id)
    notes = Notes.load(folder)
    base, source = Origin.of(notes.base, "model"), Origin.of(notes.source, "dataset")
    captions = load_captions(folder, notes.class_names).pool_size
    recipe = publishable(notes.recipe)
    same_class = recipe.get("pairing", "same-class") == "same-class"
    return _filled(
        "model_card_template.md",
        metadata=yaml_text(_model_metadata(base, source)),
        title=markdown(repo_id or f"{base.name}, fine-tuned on {source.name}"),
        samples=_samples(folder),
        origins=_origins({"base model": base, "image set": source}),
        pairing="a random one of the same class" if same_class else "itself",
        coarse=markdown(recipe.get("coarse")),
        fine=markdown(recipe.get("fine")),
        recipe=yaml_code(recipe),
        versions=pairs(("library", "version"), publishable(notes.versions)),
        metrics=pairs(("figure", "value"), _words(publishable(notes.training))),
        classes=_class_table(notes.class_names, captions, "captions", "`mvc.json`"),
        here=here,
        resolution=int(notes.resolution),
        prompt=python_literal(with_prefix(notes.class_names[0], "")),
        dataset=source.address or "path/to/your/images",
        timm_data=_timm_data(source),
        num_classes=len(notes.class_names),
        licence=_model_licence(base, source),
        citation=CITATION,
    )


def dataset_card(folder: Path, repo_id: str | None = None) -> str:
    """The card of a folder made by `mvc-hf generate`; its metadata is what `load_dataset` goes by.

    Where the manifest has `provenance` = {checkpoint, base, source, finetune, versions}, with {name, revision,
    fingerprint, license} for each of the first three as far as known, the card says where the pictures came from.

    Args:
        folder: with `manifest.json` and all shards.
        repo_id: as for `model_card`.

    Raises:
        MvcError: it is no finished data set, or `repo_id` is no Hub id.
    """
    from .shards import is_grouped

    folder, here = Path(folder), _here(Path(folder), repo_id)
    manifest = _finished(folder)
    shards = Shards.of(folder, manifest)
    names, made_from = manifest["class_names"], publishable(manifest["made_from"])
    known = publishable(manifest.get("provenance") or {})
    checkpoint, base = Origin.of(known.get("checkpoint"), "model"), Origin.of(known.get("base"), "model")
    source = Origin.of(known.get("source"), "dataset")
    pretrained = made_from.get("method") == "pretrained"
    licences = [base.licence] if pretrained else [base.licence, source.licence]
    return _filled(
        "dataset_card_template.md",
        metadata=yaml_text(_dataset_metadata(names, shards, source, Licence.of_all(licences), is_grouped(made_from))),
        title=markdown(repo_id or _pretty_name(source)),
        rows=f"{shards.rows:,}",
        method=_method(pretrained),
        samples=_samples(folder),
        origins=_origins({"checkpoint": checkpoint, "base model": base, "image set": source}),
        recipe=yaml_code(made_from),
        finetuning=_finetuning(known.get("finetune")),
        versions=pairs(("library", "version"), known.get("versions")),
        metrics="No figure of fidelity, diversity or copying was recorded with this data set.",
        classes=_class_table(names, shards.images_of_class(len(names)), "images", "the metadata of this card"),
        here=here,
        checkpoint=checkpoint.address or "path/to/checkpoint",
        dataset=source.address or "path/to/your/images",
        next_seed=int(made_from.get("seed", 0)) + 1,
        timm_data=_timm_data(source),
        num_classes=len(names),
        licence=_dataset_licence(base, source, pretrained),
        citation=CITATION,
    )


def write_model_card(folder: Path, repo_id: str | None = None) -> Path:
    """Write `model_card` to the folder's README.md. Raises what `model_card` raises."""
    return _write(Path(folder), model_card(folder, repo_id))


def write_dataset_card(folder: Path, repo_id: str | None = None) -> Path:
    """Draw the sample sheet and write `dataset_card` to the folder's README.md. Raises what `dataset_card` raises."""
    draw_samples(folder)
    return _write(Path(folder), dataset_card(folder, repo_id))


def draw_samples(folder: Path, *, classes: int = 12, images: int = 8) -> Path:
    """Draw `samples.png`: the first images of some classes, evenly spread over all. They are synthetic ones only.

    Raises:
        OutputError: `folder` is no finished data set.
    """
    from .quality import contact_sheet

    folder = Path(folder)
    manifest = _finished(folder)
    names = manifest["class_names"]
    shown = np.unique(np.linspace(0, len(names) - 1, min(classes, len(names))).round().astype(int)).tolist()
    found = Shards.of(folder, manifest).first_images(shown, images)
    sheet = contact_sheet({"synthetic": [found[y] for y in shown]}, [_short(names[y]) for y in shown])
    with atomic_write(folder / SAMPLES) as temporary:
        sheet.save(temporary, "PNG")
    return folder / SAMPLES


@dataclass(frozen=True)
class Shards:
    """The finished shards of a data set."""

    paths: tuple[Path, ...]
    rows: int

    @classmethod
    def of(cls, folder: Path, manifest: dict[str, Any]) -> Shards:
        paths = tuple(folder / shard["file"] for shard in manifest["shards"])
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise OutputError(f"{folder} lacks {missing[0]}: give the command that made it again")
        return cls(paths, manifest["rows"])

    def sizes(self) -> tuple[int, int]:
        """Bytes of the files, and of the rows in them before compression."""
        import pyarrow.parquet as pq

        found = [pq.read_metadata(path) for path in self.paths]
        raw = sum(meta.row_group(i).total_byte_size for meta in found for i in range(meta.num_row_groups))
        return sum(path.stat().st_size for path in self.paths), raw

    def images_of_class(self, classes: int) -> np.ndarray:
        """(classes,) how many images each has."""
        import pyarrow.parquet as pq

        counts = np.zeros(classes, np.int64)
        for path in self.paths:
            counts += np.bincount(pq.read_table(path, columns=["label"])["label"].to_numpy(), minlength=classes)
        return counts

    def first_images(self, labels: Sequence[int], count: int) -> dict[int, list[Image.Image]]:
        """For each label, at most `count` images, the first ones. Row groups without any of them are not read."""
        import pyarrow.parquet as pq

        found: dict[int, list[Image.Image]] = {label: [] for label in labels}
        for path in self.paths:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    if all(len(images) == count for images in found.values()):
                        return found
                    self._take(file, group, found, count)
        return found

    @staticmethod
    def _take(file: Any, group: int, found: dict[int, list[Image.Image]], count: int) -> None:
        labels = file.read_row_group(group, columns=["label"])["label"].to_pylist()
        wanted, left = [], {label: count - len(images) for label, images in found.items()}
        for row, label in enumerate(labels):
            if left.get(label, 0):
                left[label] -= 1
                wanted.append(row)
        if wanted:
            pictures = file.read_row_group(group, columns=["image"])["image"].take(wanted).to_pylist()
            for row, picture in zip(wanted, pictures):
                data = (picture or {}).get("bytes") or b""
                found[labels[row]].append(decode(data, f"a picture of the class {labels[row]}"))


def size_category(rows: int) -> str:
    """The Hub's word for a number of rows."""
    return SIZES[min(max(len(str(rows)) - 3, 0), len(SIZES) - 1)]


def _model_metadata(base: Origin, source: Origin) -> dict[str, Any]:
    from huggingface_hub import ModelCardData

    return ModelCardData(
        **base.licence.metadata(),
        base_model=base.hub_id,
        base_model_relation="finetune" if base.hub_id else None,
        datasets=[source.hub_id] if source.hub_id else None,
        library_name="diffusers",
        pipeline_tag="image-to-image",
        tags=["stable-diffusion", "instruct-pix2pix", "data-augmentation", "synthetic-data", "mvc_hf"],
    ).to_dict()


def _dataset_metadata(
    names: Sequence[str], shards: Shards, source: Origin, licence: Licence, grouped: bool
) -> dict[str, Any]:
    from datasets import DatasetInfo, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCardData

    from .shards import features

    data = DatasetCardData(
        **licence.metadata(),
        pretty_name=one_line(_pretty_name(source)),
        annotations_creators=["machine-generated"],
        size_categories=[size_category(shards.rows)],
        source_datasets=[source.hub_id or "extended"],
        task_categories=["image-classification"],
        task_ids=["multi-class-image-classification"],
        tags=["synthetic", "data-augmentation", "diffusion", "mvc_hf"],
    )
    files = [{"split": "train", "path": "data/train-*"}]
    MetadataConfigs({"default": {"data_files": files}}).to_dataset_card_data(data)
    download_size, dataset_size = shards.sizes()
    splits = SplitDict()
    splits.add(SplitInfo("train", num_bytes=dataset_size, num_examples=shards.rows))
    info = DatasetInfo(
        features=features(tuple(names), grouped),
        splits=splits,
        download_size=download_size,
        dataset_size=dataset_size,
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(data)
    return data.to_dict()


def _here(folder: Path, repo_id: str | None) -> str:
    """What the snippets load: the repository, or the folder by its name, where it can stand in them as it is."""
    if repo_id is None:
        name = folder.resolve().name
        return name if re.fullmatch(r"\w[\w.-]*", name, re.ASCII) else "path/to/this/folder"
    if hub_id(repo_id) != repo_id:
        raise RecipeError(f"{repo_id!r} is not a Hub id: give it as org/name, in letters, digits, '-', '_' and '.'")
    return repo_id


def _finished(folder: Path) -> dict[str, Any]:
    from .shards import MANIFEST, read_manifest

    manifest = read_manifest(folder)
    if manifest is None:
        raise OutputError(f"{folder} has no {MANIFEST}: it is not a data set of mvc-hf generate")
    if not manifest.get("complete"):
        raise OutputError(f"{folder} is not finished: give the same mvc-hf generate command again, then go on")
    return manifest


def _filled(template: str, **values: object) -> str:
    text = (resources.files("mvc_hf") / template).read_text(encoding="utf-8")
    return Template(text).substitute(values)


def _write(folder: Path, text: str) -> Path:
    with atomic_write(folder / "README.md") as temporary:
        temporary.write_bytes(text.encode())
    return folder / "README.md"


def _samples(folder: Path) -> str:
    found = [name for name in PICTURES if (folder / name).is_file()]
    return "\n\n".join(f"![Sample pictures, one row for each class]({name})" for name in found) or "No pictures here."


def _short(name: str) -> str:
    """A class name beside a row of pictures: one line of what most fonts have."""
    name = one_line(name)
    return (name if len(name) <= 24 else name[:23] + "…") or "(empty)"


def _pretty_name(source: Origin) -> str:
    return f"Synthetic images after {source.name}" if source.name else "Synthetic images by mixing visual concepts"


def _method(pretrained: bool) -> str:
    if pretrained:
        return "They were made by an untouched text-to-image model, prompted with captions of the real images."
    return (
        'They were made by "Mixing Visual Concepts" (MVC): a diffusion model, fine-tuned on the real images, is given '
        "one of them and a mix of caption embeddings of its class."
    )


def _origins(parts: dict[str, Origin]) -> str:
    return table(("", "name", "revision", "licence"), [[what, *origin.row()] for what, origin in parts.items()])


def _words(values: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("_", " "): value for key, value in values.items()}


def _finetuning(recipe: Any) -> str:
    return f"\nThe checkpoint was fine-tuned with:\n\n```yaml\n{yaml_code(recipe)}```\n" if recipe else ""


def _class_table(names: Sequence[str], counts: Sequence[int], what: str, where: str) -> str:
    rows = [(label, markdown(name), f"{counts[label]:,}") for label, name in enumerate(names[:TABLE_ROWS])]
    more = len(names) - len(rows)
    rest = f"\n\n… and {more:,} more of {len(names):,}; all names are in {where}." if more else ""
    return table(("label", "class", what), rows) + rest


def _timm_data(source: Origin) -> str:
    """timm takes a data set of the Hub without a configuration only."""
    plain = source.hub_id and source.hub_id == source.name
    return f"--dataset hfds/{source.hub_id}" if plain else "--data-dir path/to/your/images"


def _model_licence(base: Origin, source: Origin) -> str:
    return (
        f"These weights derive from the base model, whose licence is: {base.licence}. The images that they were "
        f"trained on have the licence: {source.licence}. Where one is not known, find it out before you use the model."
    )


def _dataset_licence(base: Origin, source: Origin, pretrained: bool) -> str:
    images = "" if pretrained else f" The real images that it was trained on have the licence: {source.licence}."
    return (
        f"The pictures come from a model with the licence: {base.licence}.{images} The terms of all of them may bind "
        "you. Where one is not known, find it out before you use the data set."
    )
