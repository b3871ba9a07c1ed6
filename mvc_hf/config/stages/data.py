"""Which images, and how a run sees them."""

from __future__ import annotations

from dataclasses import dataclass

from ..fields import ALL, BOTH, CAPTIONED, FINETUNE, Settings, setting

LONGEST_SIDE = 8192  # of a picture, in pixels


@dataclass(frozen=True)
class DataSettings(Settings):
    """Where the labelled images lie."""

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


@dataclass(frozen=True)
class ViewSettings(Settings):
    """Which of the images a run takes, and how they become squares of eight bits."""

    resolution: int | None = setting(
        None,
        "side of the square training images (default: the base's own)",
        minimum=8,
        maximum=LONGEST_SIDE,
        on=(FINETUNE,),
    )
    fit: str = setting(
        "crop",
        "how pictures become squares: cut to their middle (crop), with black bars (pad), or stretched; what is "
        "generated has their proportions again",
        choices=("crop", "pad", "stretch"),
        on=(FINETUNE,),
    )
    window: str | None = setting(
        None,
        "LOW,HIGH: the values of grey pictures of more than 8 bits that become black and white, or auto: the 0.5th "
        "and the 99.5th percentile of a sample (default: 0,65535)",
        on=CAPTIONED,
    )
    max_images_per_class: int | None = setting(
        None,
        "take this many images of each class, chosen by --seed (default: all)",
        minimum=1,
        on=CAPTIONED,
    )
    group_column: str | None = setting(
        None,
        "column of what belongs together (patient, series): finetune keeps whole groups aside, generate adds the "
        "group of the condition image as a column",
        on=BOTH,
    )
    max_broken: int = setting(10, "skip at most this many image files that cannot be read", minimum=0, on=ALL)
