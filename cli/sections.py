"""Help in sections: what a command has many options of is shown under a heading for each subject."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from ..config.stages.captions import CaptionModelSettings, CaptionSettings
from ..config.stages.data import DataSettings, ViewSettings
from ..config.stages.finetuning import FinetuneSettings
from ..config.stages.generating import GenerateSettings
from ..config.stages.mixing import MixingSettings

OWN = "Options"
EXECUTOR = "Executor"
LOOKS, OPTIMIZER, NUMBERS = "Looks and checkpoints", "Optimizer", "How many images"
OF_CLASS = {
    DataSettings: "Images", ViewSettings: "Images", CaptionSettings: "Captions", CaptionModelSettings: "Captions",
    MixingSettings: "Mixing", FinetuneSettings: "Training", GenerateSettings: "Sampling",
}  # fmt: skip
# What the training scripts of diffusers have, and what there is here in its place.
ELSEWHERE = {
    "--resume-from-checkpoint": "give the same command again: it goes on from its last checkpoint",
    "--report-to": "training_log.csv has the losses of every step; --validation-images draws images",
    "--logging-dir": "training_log.csv in the folder of the checkpoint has the losses of every step",
    "--random-flip": "images are encoded once: put mirrored ones into the data set where their class bears it",
    "--center-crop": "--fit crop, the default",
    "--train-data-dir": "the data set is the first argument",
    "--dataset-name": "the data set is the first argument",
    "--caption-column": "--captions column:NAME",
    "--validation-prompt": "--validation-images N draws N images of fixed addresses at each look",
    "--num-validation-images": "--validation-images",
    "--validation-epochs": "--validation-steps",
    "--revision": "--base org/name@revision",
    "--use-8bit-adam": "AdamW is torch's own; --gradient-checkpointing and --mixed-precision need less memory",
    "--enable-xformers-memory-efficient-attention": "PyTorch's own attention needs no more memory",
    "--max-train-samples": "--max-images-per-class",
    "--num-images": "--images-per-class or --total",
}
BEGINNINGS = {
    ("base", "variant"): "Model",
    ("adam_", "lr_", "learning_rate", "max_grad_norm", "use_ema", "ema_"): OPTIMIZER,
    ("holdout_", "validation_", "early_stopping", "checkpoint"): LOOKS,
    ("images_per_class", "total", "balance", "per_image", "shard_size"): NUMBERS,
}
ORDER = (
    OWN,
    "Model",
    "Images",
    "Captions",
    "Mixing",
    "Training",
    OPTIMIZER,
    LOOKS,
    NUMBERS,
    "Sampling",
    "Machine",
    EXECUTOR,
)


def section_of(name: str) -> str:
    """The heading under which a setting of a recipe is shown."""
    for beginnings, section in BEGINNINGS.items():
        if name.startswith(beginnings):
            return section
    for settings, section in OF_CLASS.items():
        if name in {field.name for field in dataclasses.fields(settings)}:
            return section
    return "Machine"  # precision and seed


class SectionedOption(click.Option):
    """An option that belongs under a heading."""

    def __init__(self, *args: Any, section: str = "", **settings: Any):
        super().__init__(*args, **settings)
        self.section = section or OWN


class SectionedCommand(click.Command):
    """Shows its options under the headings that they belong to; those of its own come first. Knows what others call
    what it does, and says so.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            answer = ELSEWHERE.get(error.option_name.replace("_", "-"))
            if answer is None:
                raise
            raise click.UsageError(f"No such option: {error.option_name} ({answer})", ctx) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(param, "section", OWN), []).append(record)
        for name in sorted(sections, key=ORDER.index):
            with formatter.section(name):
                formatter.write_dl(sections[name])
