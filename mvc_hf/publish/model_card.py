"""The card of a fine-tuned checkpoint: metadata and text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..storage.layout import ADAPTER
from .markup import markdown, pairs, python_literal, yaml_code, yaml_text
from .provenance import Origin, publishable
from .rendering import (
    CITATION,
    class_table,
    filled,
    origins_table,
    samples_section,
    snippet_address,
    timm_data,
    with_spaces,
    write_readme,
)


def model_card(folder: Path, repo_id: str | None = None) -> str:
    """The card of a folder made by `mvc-hf finetune`.

    Args:
        folder: with `mvc.json` and `captions.parquet`; pictures named in `PICTURES` are shown where they lie in it.
        repo_id: "org/name" where the card will be published; None for a card of the folder itself, whose snippets
            run beside it.

    Raises:
        MvcError: it is no finished checkpoint, or `repo_id` is no Hub id.
    """
    from ..artifacts.checkpoint import CheckpointMetadata, load_captions
    from ..captions.table import with_prefix
    from ..config.class_words import words_of

    folder, here = Path(folder), snippet_address(Path(folder), repo_id)
    metadata = CheckpointMetadata.load(folder)
    base, source = Origin.of(metadata.base, "model"), Origin.of(metadata.source, "dataset")
    captions = load_captions(folder, metadata.class_names).pool_size
    recipe = publishable(metadata.recipe)
    same_class = recipe.get("pairing", "same-class") == "same-class"
    return filled(
        "model_card_template.md",
        metadata=yaml_text(_model_metadata(base, source)),
        title=markdown(repo_id or f"{base.name}, fine-tuned on {source.name}"),
        samples=samples_section(folder),
        origins=origins_table({"base model": base, "image set": source}),
        pairing="a random one of the same class" if same_class else "itself",
        coarse=markdown(recipe.get("coarse")),
        fine=markdown(recipe.get("fine")),
        lora=_said_of_lora(recipe, metadata.sha256 or {}),
        recipe=yaml_code(recipe),
        versions=pairs(("library", "version"), publishable(metadata.versions)),
        metrics=pairs(("figure", "value"), with_spaces(publishable(metadata.training))),
        classes=class_table(metadata.class_names, captions, "captions", "`mvc.json`"),
        here=here,
        resolution=int(metadata.resolution),
        prompt=python_literal(with_prefix(words_of(metadata.class_names)[0], "")),
        dataset=source.address or "path/to/your/images",
        timm_data=timm_data(source),
        num_classes=len(metadata.class_names),
        licence=_model_licence(base, source),
        citation=CITATION,
    )


def write_model_card(folder: Path, repo_id: str | None = None) -> Path:
    """Write `model_card` to the folder's README.md. Raises what `model_card` raises."""
    return write_readme(Path(folder), model_card(folder, repo_id))


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


def _said_of_lora(recipe: dict[str, Any], files: Mapping[str, str]) -> str:
    """Which of the weights were trained, where not all of them were."""
    if not recipe.get("lora_rank"):
        return ""
    kept = "; by itself, for peft and the widened base, it is in `adapter/`" if set(ADAPTER) <= set(files) else ""
    return (
        " Of the U-Net, the first convolution was trained, and a LoRA adapter of rank "
        f"{markdown(recipe['lora_rank'])} beside the weights of its attention, which is merged into these{kept}."
    )


def _model_licence(base: Origin, source: Origin) -> str:
    return (
        f"These weights derive from the base model, whose licence is: {base.licence}. The images that they were "
        f"trained on have the licence: {source.licence}. Where one is not known, find it out before you use the model."
    )
