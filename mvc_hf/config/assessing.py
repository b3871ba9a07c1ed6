"""How a synthetic split is judged against the real images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from .fields import MOST_AT_A_TIME, Settings, setting

REPORT = "report"
_setting = partial(setting, on=(REPORT,))


@dataclass(frozen=True)
class AssessSettings(Settings):
    """Settings of `mvc-hf report`."""

    features: str | None = _setting(
        None,
        "what the images are seen through: a timm model with weights on the Hub, or classifier, a small network "
        "trained on the real images (default: vit_small_patch14_dinov2.lvd142m; classifier where it cannot be had)",
    )
    feature_weights: str | None = _setting(
        None, "safetensors file with the weights of the timm model, in place of those on the Hub"
    )
    feature_size: int | None = _setting(
        None,
        "side of the squares that the model sees (default: its own, at most 224; of the classifier 32 or 64)",
        minimum=8,
        maximum=1024,
    )
    split: str = _setting("train", "split of SYNTHETIC")
    real_split: str = _setting("train", "split of the real images")
    holdout_split: str | None = _setting(None, "split of the held-out images (default: test, or train where none is)")
    image_column: str | None = _setting(None, "column of the images, of the real ones and the held-out ones")
    label_column: str | None = _setting(None, "column of the labels, of the real ones and the held-out ones")
    fit: str = _setting("crop", "how pictures become squares, as for finetune", choices=("crop", "pad", "stretch"))
    window: str | None = _setting(None, "LOW,HIGH or auto, for grey pictures of more than 8 bits, as for finetune")
    follow_symlinks: bool = _setting(False, "read what links in the folders lead to outside of them, too")
    folds: int = _setting(5, "folds of the real images for the classifier of labels", minimum=2, maximum=20)
    classifier_steps: int | None = _setting(
        None,
        "updates of the small network, for each fold (default: 30 passes over the real images, 300 to 3,000 updates)",
        minimum=1,
        maximum=10**6,
    )
    neighbours: int = _setting(
        5, "k: nearest images for precision, recall, density, coverage and the copy ratio", minimum=2, maximum=100
    )
    batch_size: int = _setting(64, "images that the model sees at a time", minimum=1, maximum=MOST_AT_A_TIME)
    block_size: int = _setting(
        2048, "images that are compared with as many others at a time", minimum=16, maximum=65536
    )
    seed: int = _setting(0, "of folds, resamples and the small network", minimum=0)
