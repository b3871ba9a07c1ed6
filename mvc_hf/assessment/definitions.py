"""What each figure is called, how it is read, and how it was measured: in one place for page, card and terminal."""

from __future__ import annotations

from typing import Any

from .copies import SMALL, STANDS_OUT
from .findings import number

PARTS = (("synthetic", "overall"), ("reference", "reference"))
# Name in report.json, title, factor by which it is shown, how to read it.
FIGURES: tuple[tuple[str, str, float, str], ...] = (
    (
        "kernel_distance",
        "kernel distance × 10³",
        1000,
        "0 for sets that are alike; unbiased, so small sets count, too",
    ),
    ("frechet_distance", "Fréchet distance", 1, "smaller is nearer; biased upwards the fewer images there are"),
    ("precision", "precision, %", 100, "synthetic images that lie where real ones do"),
    ("recall", "recall, %", 100, "real images that lie where synthetic ones do"),
    ("density", "density", 1, "as precision, but counts how many real images are near; 1 for sets that are alike"),
    ("coverage", "coverage, %", 100, "real images with a synthetic one as near as their k-th real neighbour"),
    ("spread_ratio", "spread, of the real one", 1, "below 1: less diverse than the real images"),
    ("vendi", "Vendi score", 1, "how many different images there are, as it were, at equal numbers"),
    ("vendi_real", "Vendi score of the real images", 1, "what to compare it with"),
    ("label_agreement", "label agreement, %", 100, "images that the judge reads as their label says"),
    ("copies", "look like copies, %", 100, "closer to one training image than real images ever are"),
    ("near_duplicates", "near-duplicates, %", 100, "nearer to another one than 99 % of real images are to a real one"),
)
CLASS_FIGURES: tuple[tuple[str, str, float], ...] = (
    ("label_agreement", "labels, %", 100),
    ("real_agreement", "of real ones, %", 100),
    ("kernel_distance", "kernel dist. × 10³", 1000),
    ("precision", "precision, %", 100),
    ("recall", "recall, %", 100),
    ("density", "density", 1),
    ("coverage", "coverage, %", 100),
    ("spread_ratio", "spread", 1),
    ("vendi", "Vendi", 1),
    ("vendi_real", "Vendi, real", 1),
    ("near_duplicates", "near-dupl., %", 100),
    ("copies", "copies, %", 100),
)
FEATURES = (
    "{dimension:,} numbers a picture, from {extractor}. Distances are between them. What they do not see, no figure "
    "here sees."
)
KERNEL = (
    "Unbiased squared maximum mean discrepancy with the kernel (x·y / d + 1)³. It would be KID with Inception's "
    "features, and is not comparable with KID. Interval by the bootstrap of both sets; at most 5,000 images of each."
)
FRECHET = (
    "Of normal distributions with the means and covariances of the features, by torchmetrics, where both sets have "
    "more images than features have dimensions. It would be FID with Inception's features, and is not comparable with "
    "FID. No interval: resampling shifts it."
)
BALLS = (
    "By balls around each image that reach to its nearest {k} of its own set (Kynkäänniemi et al., 2019; Naeem et "
    "al., 2020), at equal numbers of images."
)
SPREAD = "Mean squared distance of features to their mean, synthetic over real, unbiased, with a bootstrap of both."
VENDI = (
    "Exponential of the entropy of the eigenvalues of the matrix of cosines (Friedman and Dieng, 2023), at equal "
    "numbers of images."
)
COPIES = (
    "The copy ratio is the distance to the nearest training image over the mean distance to the nearest {k}. Looks "
    "like a copy: nearer to a training image than any real image is to another one that is not the very same, with a "
    "ratio below {ratio} and below those of 99 % of real ones; or no difference at all. Looked for by features, and "
    "by the pictures themselves at {small}×{small} pixels, grey, whatever brightness and contrast. Copies that were "
    "changed much, or that neither recognises, are not found: nothing here says that a split is private."
)
TEST = (
    "Stratified rank test by classes (van Elteren), one-sided, normal approximation. It takes images for independent "
    "of one another: many near-duplicates make p too small."
)


def main_figures(figures: dict[str, Any]) -> list[dict[str, str]]:
    """The figures of all images as words, for the card: {"name", "synthetic", "reference"}."""

    def words(figure: dict[str, Any] | None, scale: float) -> str:
        if figure is None or figure["value"] is None:
            return "–"
        value, low, high = (
            None if figure[part] is None else number(scale * figure[part]) for part in ("value", "low", "high")
        )
        return f"{value} ({low} to {high})" if low and high else str(value)

    return [
        {"name": title, **{role: words(figures[part].get(name), scale) for role, part in PARTS}}
        for name, title, scale, _ in FIGURES
        if name in figures["overall"]
    ]


def definitions(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """How it was measured: pairs of a name and a text."""
    settings, k = figures["settings"], figures["settings"]["neighbours"]
    frechet = "" if "frechet_distance" in figures["overall"] else f" Not shown here: {_why_no_frechet(figures)}."
    return [
        *((f"{role} images", _set(about)) for role, about in figures["sets"].items()),
        ("Features", FEATURES.format(**figures)),
        ("Kernel distance", KERNEL),
        ("Fréchet distance", FRECHET + frechet),
        ("Precision, recall, density, coverage", BALLS.format(k=k)),
        ("Spread", SPREAD),
        ("Vendi score", VENDI),
        ("Copies", COPIES.format(k=k, small=SMALL, ratio=STANDS_OUT)),
        ("Test of copies", TEST),
        ("Labels", f"{figures['judge']}, in {settings['folds']} folds. Shares have Wilson's intervals."),
        ("Settings", ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)),
    ]


def _set(about: dict[str, Any]) -> str:
    return f"{about['images']:,} of {about['name']}" + (f" at {about['revision']}" if about["revision"] else "")


def _why_no_frechet(figures: dict[str, Any]) -> str:
    from .fidelity import FRECHET_NEEDS, has_torchmetrics

    if not has_torchmetrics():
        return FRECHET_NEEDS
    fewest = min(about["images"] for role, about in figures["sets"].items() if role != "held-out")
    return f"it needs more than {figures['dimension']:,} images of each set, and there are {fewest:,}"
