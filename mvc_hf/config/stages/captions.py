"""Where captions come from."""

from __future__ import annotations

from dataclasses import dataclass

from ..fields import CAPTIONED, FINETUNE, Settings, setting


@dataclass(frozen=True)
class CaptionSettings(Settings):
    """The captions of the data set, and how many are kept."""

    captions: str = setting(
        "template",
        "where captions come from: template, 'template:a photo of a {}', column:NAME, a captions file (.parquet, "
        ".csv, .jsonl), or blip2",
        on=CAPTIONED,
        alias="--captioner",
    )
    class_names: str | None = setting(
        None,
        "YAML or JSON file of 'name: words': what captions call the classes (default: their names without underscores "
        "and numbers that only order them)",
        on=CAPTIONED,
        identity=False,
    )
    max_captions_per_class: int = setting(256, "keep at most this many captions of a class", minimum=1, on=(FINETUNE,))


@dataclass(frozen=True)
class CaptionModelSettings(Settings):
    """A model that writes the captions (--captioner blip2).

    What it wrote stands for these settings in the identity of a run, so that a caption file and the captioner that
    made it are the same to everything that follows.
    """

    caption_model: str | None = setting(
        None,
        "BLIP-2, BLIP or another image-to-text model of transformers: a folder or Hub id[@revision] (default: "
        "Salesforce/blip2-opt-2.7b)",
        on=CAPTIONED,
        identity=False,
    )
    captions_per_image: int = setting(
        1,
        "captions of each image: the first is the likeliest, the others are sampled",
        minimum=1,
        maximum=1000,
        on=CAPTIONED,
        identity=False,
    )
    caption_prompt: str = setting(
        "", "what the model is asked, or goes on from (default: nothing)", on=CAPTIONED, identity=False
    )
    caption_max_new_tokens: int = setting(
        30, "longest caption, in the model's tokens", minimum=1, maximum=500, on=CAPTIONED, identity=False
    )
    caption_batch_size: int = setting(16, "captions at a time", minimum=1, maximum=128, on=CAPTIONED, identity=False)
    keep_duplicates: bool | None = setting(
        None,
        "keep equal captions of a class as often as they come (default: a caption file and --pairing self keep them, "
        "mixing takes each once)",
        on=CAPTIONED,
        identity=False,
    )
