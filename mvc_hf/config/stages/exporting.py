"""How images are exported to files that other trainers read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ...errors import RecipeError
from ..fields import Settings, flag, setting

EXPORT = "export"
_setting = partial(setting, on=(EXPORT,))


@dataclass(frozen=True)
class ExportSettings(Settings):
    """Settings of `mvc-hf export`."""

    layout: str = _setting(
        "imagefolder",
        "imagefolder: a folder for each class, and metadata.jsonl; webdataset: tar shards, as timm's wds/ reads them",
        choices=("imagefolder", "webdataset"),
    )
    where: str | None = _setting(
        None,
        "only images of SYNTHETIC of which this is true, such as 'label_confidence > 0.2 and not looks_like_copy': a "
        "condition on its columns and on those of the scores that mvc-hf report writes",
    )
    scores: str | None = _setting(None, "file of the scores (default: report/scores.parquet beside SYNTHETIC)")
    max_per_class: int | None = _setting(
        None, "at most so many images of each class of SYNTHETIC, which ones by the seed (default: all)", minimum=1
    )
    max_real_per_class: int | None = _setting(None, "the same, of --with-real", minimum=1)
    seed: int = _setting(0, "of which images are taken, and of their order in shards", minimum=0)
    split: str = _setting("train", "split of SYNTHETIC")
    image_column: str | None = _setting(None, "column of its images")
    label_column: str | None = _setting(None, "column of its labels")
    real_split: str = _setting("train", "split of --with-real")
    real_image_column: str | None = _setting(None, "column of its images")
    real_label_column: str | None = _setting(None, "column of its labels")
    window: str | None = _setting(
        None,
        "LOW,HIGH or auto, for grey pictures of more than 8 bits, as for finetune: of --with-real, or of SYNTHETIC "
        "where that is not given",
    )
    follow_symlinks: bool = _setting(False, "read what links in the folders lead to outside of them, too")
    metadata: bool = _setting(
        True, "imagefolder: write metadata.jsonl (datasets then takes labels from it, as texts, not from the folders)"
    )
    shard_size: int | None = _setting(
        None,
        "webdataset: images of a shard (default: 1,000, or as many as make 16 shards)",
        minimum=1,
        maximum=1_000_000,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shard_size is not None and self.layout != "webdataset":
            raise RecipeError("--shard-size means nothing without --layout webdataset")
        if not self.metadata and self.layout != "imagefolder":
            raise RecipeError("--no-metadata means nothing with --layout webdataset")
        if self.scores is not None and self.where is None:
            raise RecipeError("--scores means nothing without --where")

    def refuse_real(self) -> None:
        """Raises RecipeError: something is said of real images, and there are none."""
        given = {"real_split": self.real_split != "train", "real_image_column": self.real_image_column is not None,
                 "real_label_column": self.real_label_column is not None,
                 "max_real_per_class": self.max_real_per_class is not None}  # fmt: skip
        for name in (name for name, is_given in given.items() if is_given):
            raise RecipeError(f"{flag(name)} means nothing without --with-real")
