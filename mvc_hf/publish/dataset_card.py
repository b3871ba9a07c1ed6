"""The card of a synthetic data set: metadata, which `load_dataset` goes by, samples and text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.reader import ShardReader
from ..errors import OutputError, RecipeError
from ..storage.notes import atomic_write
from ..utils.text import one_line
from .markup import markdown, pairs, yaml_code, yaml_text
from .provenance import Licence, Origin, publishable
from .quality import NOTHING, quality_of
from .rendering import (
    CITATION,
    SAMPLES,
    class_table,
    filled,
    finetuning_section,
    origins_table,
    samples_section,
    short_name,
    snippet_address,
    timm_data,
    write_readme,
)

SIZES = (
    *("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"),
    *("1B<n<10B", "10B<n<100B", "100B<n<1T", "n>1T"),
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
    from ..artifacts.schema import is_grouped

    folder, here = Path(folder), snippet_address(Path(folder), repo_id)
    manifest = _finished(folder)
    shards, quality = ShardReader.of(folder, manifest), quality_of(folder, manifest)
    names, made_from = manifest["class_names"], publishable(manifest["made_from"])
    known = publishable(manifest.get("provenance") or {})
    checkpoint, base = Origin.of(known.get("checkpoint"), "model"), Origin.of(known.get("base"), "model")
    source = Origin.of(known.get("source"), "dataset")
    description, saw_images = _method(str(made_from.get("method", "mvc")))
    licences = [base.licence, source.licence] if saw_images else [base.licence]
    return filled(
        "dataset_card_template.md",
        metadata=yaml_text(_dataset_metadata(names, shards, source, Licence.of_all(licences), is_grouped(made_from))),
        title=markdown(repo_id or _pretty_name(source)),
        rows=f"{shards.rows:,}",
        method=description,
        samples=samples_section(folder),
        origins=origins_table({"checkpoint": checkpoint, "base model": base, "image set": source}),
        recipe=yaml_code(made_from),
        finetuning=finetuning_section(known.get("finetune")),
        versions=pairs(("library", "version"), known.get("versions")),
        metrics=quality.section() if quality else NOTHING,
        classes=class_table(names, shards.images_of_class(len(names)), "images", "the metadata of this card"),
        here=here,
        checkpoint=checkpoint.address or "path/to/checkpoint",
        dataset=source.address or "path/to/your/images",
        next_seed=int(made_from.get("seed", 0)) + 1,
        timm_data=timm_data(source),
        num_classes=len(names),
        licence=_dataset_licence(base, source, saw_images),
        citation=CITATION,
    )


def write_dataset_card(folder: Path, repo_id: str | None = None) -> Path:
    """Draw the sample sheet and write `dataset_card` to the folder's README.md. Raises what `dataset_card` raises."""
    draw_samples(folder)
    return write_readme(Path(folder), dataset_card(folder, repo_id))


def draw_samples(folder: Path, *, classes: int = 12, images: int = 8) -> Path:
    """Draw `samples.png`: the first images of some classes, evenly spread over all. They are synthetic ones only.

    Raises:
        OutputError: `folder` is no finished data set.
    """
    from ..report.contact_sheet import contact_sheet

    folder = Path(folder)
    manifest = _finished(folder)
    names = manifest["class_names"]
    shown = np.unique(np.linspace(0, len(names) - 1, min(classes, len(names))).round().astype(int)).tolist()
    found = ShardReader.of(folder, manifest).first_images(shown, images)
    sheet = contact_sheet({"synthetic": [found[y] for y in shown]}, [short_name(names[y]) for y in shown])
    with atomic_write(folder / SAMPLES) as temporary:
        sheet.save(temporary, "PNG")
    return folder / SAMPLES


def size_category(rows: int) -> str:
    """The Hub's word for a number of rows."""
    return SIZES[min(max(len(str(rows)) - 3, 0), len(SIZES) - 1)]


def _dataset_metadata(
    names: Sequence[str], shards: ShardReader, source: Origin, licence: Licence, grouped: bool
) -> dict[str, Any]:
    from datasets import DatasetInfo, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCardData

    from ..artifacts.schema import features

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


def _finished(folder: Path) -> dict[str, Any]:
    from ..storage.layout import MANIFEST
    from ..storage.manifest import read_manifest

    manifest = read_manifest(folder)
    if manifest is None:
        raise OutputError(f"{folder} has no {MANIFEST}: it is not a data set of mvc-hf generate")
    if not manifest.get("complete"):
        raise OutputError(f"{folder} is not finished: give the same mvc-hf generate command again, then go on")
    return manifest


def _pretty_name(source: Origin) -> str:
    return f"Synthetic images after {source.name}" if source.name else "Synthetic images by mixing visual concepts"


def _method(name: str) -> tuple[str, bool]:
    """What the card says of a method, and whether real images went into what it makes."""
    from ..methods.registry import get_method

    try:
        method = get_method(name).cls
    except RecipeError:  # a plugin's, which is not here
        return f"They were made by the method {markdown(name)}.", True
    return method.description, method.needs_images or method.needs_checkpoint


def _dataset_licence(base: Origin, source: Origin, saw_images: bool) -> str:
    images = f" The real images that it was trained on have the licence: {source.licence}." if saw_images else ""
    return (
        f"The pictures come from a model with the licence: {base.licence}.{images} The terms of all of them may bind "
        "you. Where one is not known, find it out before you use the data set."
    )
