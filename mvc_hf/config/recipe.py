"""Recipe: one frozen, validated description of a run.

Every setting is declared once, here: its default, its help, its limits and the commands that take it. The command
line, recipe files, `mvc.json` and the manifest of a data set all follow from these declarations, under the same names.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from .fields import ALL, BOTH, CAPTIONED, GENERATE, check_known, check_limits, converted, flag, setting
from .method_names import METHOD_NAMES
from .schedulers import check_scheduler

LONGEST_SIDE = 8192  # of a picture, in pixels
MOST_AT_A_TIME = 8192  # images of a batch
MOST_IMAGES = 10**8  # of a data set: what there is to say of each is held in memory


@dataclass(frozen=True)
class Recipe:
    """The settings of `finetune` and `generate`. Built only if every value is within its limits.

    Raises:
        RecipeError: a value is out of its limits; the message names it, the limit and the flag.
    """

    # The data
    dataset: str = setting(
        "", "Hub id (org/name[:config][@revision]), folder of class folders, Parquet, or torchvision:NAME", on=ALL
    )
    split: str = setting("train", "split of the data set", on=ALL)
    image_column: str | None = setting(None, "column of the images (found where only one fits)", on=ALL)
    label_column: str | None = setting(None, "column of the labels (found where only one fits)", on=ALL)
    follow_symlinks: bool = setting(
        False,
        "read what links in the folder lead to outside of it, too: where the links are your own",
        on=ALL,
        identity=False,
    )
    captions: str = setting(
        "template",
        "where captions come from: template, 'template:a photo of a {}', column:NAME, a captions Parquet, or blip2",
        on=CAPTIONED,
        alias="--captioner",
    )
    max_captions_per_class: int = setting(256, "keep at most this many captions of a class", minimum=1)
    resolution: int | None = setting(
        None, "side of the square training images (default: the base's own)", minimum=8, maximum=LONGEST_SIDE
    )
    fit: str = setting(
        "crop",
        "how pictures become squares: cut to their middle (crop), with black bars (pad), or stretched; what is "
        "generated has their proportions again",
        choices=("crop", "pad", "stretch"),
        later=True,
    )
    window: str | None = setting(
        None,
        "LOW,HIGH: the values of grey pictures of more than 8 bits that become black and white, or auto: the 0.5th "
        "and the 99.5th percentile of a sample (default: 0,65535)",
        on=CAPTIONED,
        later=True,
    )
    max_images_per_class: int | None = setting(
        None,
        "take this many images of each class, chosen by --seed (default: all)",
        minimum=1,
        on=CAPTIONED,
        later=True,
    )
    group_column: str | None = setting(
        None,
        "column of what belongs together (patient, series): finetune keeps whole groups aside, generate adds the "
        "group of the condition image as a column",
        on=BOTH,
        later=True,
    )
    max_broken: int = setting(10, "skip at most this many image files that cannot be read", minimum=0, on=ALL)

    # A model that writes the captions (--captioner blip2). What it wrote stands for these settings in the identity of
    # a run, so that a caption file and the captioner that made it are the same to everything that follows.
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

    # Algorithm 1
    coarse: int = setting(2, "P: coarse (row) copies of the mix", minimum=0, maximum=1024, on=BOTH)
    fine: int = setting(8, "Q: fine (element) copies of the mix", minimum=0, maximum=4096, on=BOTH)
    pairing: str = setting(
        "same-class",
        "condition and caption of a training image: others of its class (same-class) or its own (self)",
        choices=("same-class", "self"),
    )

    # Fine-tuning
    base: str = setting("", "base model: a Stable Diffusion or InstructPix2Pix folder or Hub id[@revision]")
    variant: str | None = setting(
        None,
        "which weights of the base, fp16 for those that end in .fp16.safetensors (default: those without a variant, "
        "else the one that is there)",
        on=BOTH,
        later=True,
    )
    train_batch_size: int = setting(16, "images of a step on each process", minimum=1, maximum=MOST_AT_A_TIME)
    gradient_accumulation_steps: int = setting(
        1, "batches that are summed into one update", minimum=1, maximum=1_000_000
    )
    num_train_epochs: float = setting(
        24.0, "passes over the images, where --max-train-steps is not given", above=0, maximum=1e6
    )
    max_train_steps: int | None = setting(None, "updates (default: follows the size of the data)", minimum=1)
    learning_rate: float = setting(5e-5, "peak learning rate of AdamW", above=0, maximum=1)
    lr_scheduler: str = setting("cosine", "rate after the warm-up", choices=("constant", "cosine"))
    lr_warmup_steps: int | None = setting(None, "updates of linear warm-up (default: 5 % of all)", minimum=0)
    adam_beta1: float = setting(0.9, "AdamW's beta1", minimum=0, maximum=0.9999)
    adam_beta2: float = setting(0.999, "AdamW's beta2", minimum=0, maximum=0.99999)
    adam_weight_decay: float = setting(1e-2, "AdamW's weight decay", minimum=0, maximum=100)
    adam_epsilon: float = setting(1e-8, "AdamW's epsilon", above=0, maximum=1)
    max_grad_norm: float = setting(1.0, "clip the gradient's norm here", above=0, maximum=1e9)
    conditioning_dropout_prob: float = setting(
        0.05, "drop text, image, or both, each this often", minimum=0, maximum=1 / 3
    )
    use_ema: bool = setting(True, "publish the exponential moving average of the weights")
    ema_decay: float = setting(0.999, "decay of the moving average", minimum=0, maximum=0.999999)
    gradient_checkpointing: bool = setting(False, "less memory for about a third more time", identity=False)
    holdout_fraction: float = setting(
        0.05, "share of the images kept aside to see whether training copies", minimum=0, maximum=0.5
    )
    validation_steps: int | None = setting(
        None, "updates between two looks at the kept-aside images (default: 20 looks a run)", minimum=1
    )
    early_stopping: int | None = setting(
        None, "stop after this many looks without a better kept-aside loss (default: never)", minimum=1
    )
    checkpointing_steps: int = setting(500, "updates between two checkpoints", minimum=1, identity=False)
    checkpoints_total_limit: int = setting(2, "checkpoints kept for resuming", minimum=1, identity=False)

    # Generating
    method: str = setting(
        "mvc", "mvc, or pretrained: the untouched base, prompted", choices=METHOD_NAMES, on=(GENERATE,)
    )
    images_per_class: int | None = setting(
        None,
        "synthetic images of each class (default: 100, where neither --total nor --per-image is given)",
        minimum=1,
        maximum=MOST_IMAGES,
        on=(GENERATE,),
    )
    total: int | None = setting(
        None,
        "synthetic images in all, as many of each class",
        minimum=1,
        maximum=MOST_IMAGES,
        on=(GENERATE,),
        later=True,
    )
    balance: bool = setting(
        False,
        "share --total out so that real and synthetic images together become as equal in number as can be",
        on=(GENERATE,),
        later=True,
    )
    per_image: int | None = setting(
        None,
        "synthetic images for each real image of the class",
        minimum=1,
        maximum=MOST_IMAGES,
        on=(GENERATE,),
        later=True,
    )
    scheduler: str = setting("DPMSolverMultistepScheduler", "a scheduler of diffusers, by class name", on=(GENERATE,))
    num_inference_steps: int = setting(25, "denoising steps", minimum=1, maximum=1000, on=(GENERATE,))
    guidance_scale: float = setting(
        7.5, "w of Eq. 6; 1 switches guidance off", minimum=0, maximum=1000, on=(GENERATE,)
    )
    image_guidance_scale: float | None = setting(
        None,
        "a scale of its own for the image: InstructPix2Pix's three-way rule",
        minimum=0,
        maximum=1000,
        on=(GENERATE,),
    )
    image_size: int | None = setting(
        None, "side of the images (default: as the source's)", minimum=8, maximum=LONGEST_SIDE, on=(GENERATE,)
    )
    batch_size: int = setting(
        16, "images at a time", minimum=1, maximum=MOST_AT_A_TIME, on=(GENERATE,), identity=False
    )
    shard_size: int = setting(1000, "rows of a Parquet shard", minimum=1, maximum=10_000_000, on=(GENERATE,))

    mixed_precision: str = setting("no", "arithmetic of the model", choices=("no", "fp16", "bf16"), on=BOTH)
    seed: int = setting(0, "everything random follows from this number", minimum=0, maximum=2**63 - 1, on=ALL)

    def __post_init__(self) -> None:
        kinds = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = converted(field.name, getattr(self, field.name), kinds[field.name])
            object.__setattr__(self, field.name, value)
            if value is not None:
                check_limits(field.name, value, field.metadata)
        check_scheduler(self.scheduler)
        self._check_counts()

    def _check_counts(self) -> None:
        given = [n for n in ("images_per_class", "total", "per_image") if getattr(self, n) is not None]
        if len(given) > 1:
            raise RecipeError(f"{' and '.join(map(flag, given))} each say how many images to make: give one of them")
        if self.balance and self.total is None:
            raise RecipeError("--balance goes with --total: say how many images there are to share out")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Raises RecipeError for an unknown key, with the nearest known one."""
        check_known(values, [field.name for field in dataclasses.fields(cls)])
        return cls(**values)

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a recipe from YAML, or from JSON where the name ends in .json."""
        from .files import read_settings

        return cls.from_dict(read_settings(path))

    def to_dict(self, *stages: str) -> dict[str, Any]:
        """All settings, or those of the given stages, in the order of their declaration."""
        return {f.name: getattr(self, f.name) for f in self._fields(*stages)}

    def save(self, path: str | Path) -> None:
        """Write YAML, or JSON where the name ends in .json."""
        import yaml

        values = self.to_dict()
        if Path(path).suffix == ".json":
            text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        else:
            text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
            if yaml.safe_load(text) != values:  # PyYAML writes U+0085 and its like as they are, and reads line breaks
                text = yaml.safe_dump(values, sort_keys=False)
        Path(path).write_text(text, encoding="utf-8")

    def identity(self, *stages: str) -> dict[str, Any]:
        """The settings that decide what comes out, without those that only say how it is computed."""
        fields = [f for f in self._fields(*stages) if f.metadata["identity"]]
        return {
            f.name: getattr(self, f.name)
            for f in fields
            if not (f.metadata["later"] and getattr(self, f.name) == f.default)
        }

    def _fields(self, *stages: str) -> list[dataclasses.Field]:
        fields = dataclasses.fields(self)
        return [f for f in fields if not stages or set(stages) & set(f.metadata["on"])]
