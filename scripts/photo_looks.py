"""Captions and looks for a base that knows the things of CIFAR-10 and has never seen its colours.

Every picture that the base is trained on is drawn in false colours, which its caption names; natural colours are the
one look that never comes out. The other words are measured in the picture as it is seen, and hold for the data set's
own look as well: how light, how detailed and how rich in contrast it is, and which colours it has in the middle and
around.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

CLASS_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
HUE_NAMES = ["red", "orange", "yellow", "green", "teal", "blue", "purple", "pink"]
HUE_STARTS = np.array([0.0, 0.045, 0.12, 0.2, 0.43, 0.54, 0.7, 0.82, 0.95])  # the last one: red again
LUMA = np.array([0.299, 0.587, 0.114])
TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
GREY = 0.12  # less colour than this is none
TONES = ("very dark", "dark", "", "light", "very light")


def colour_name(rgb: np.ndarray) -> str:
    """One word for one colour in [0, 1]."""
    high, low = rgb.max(), rgb.min()
    if high - low < GREY:
        return "black" if high < 0.25 else "white" if low > 0.8 else "grey"
    hue = colorsys.rgb_to_hsv(*rgb)[0]
    return [*HUE_NAMES, "red"][int(np.searchsorted(HUE_STARTS, hue, "right")) - 1]


def false_colours(picture: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """RGB in [0, 1], (H, W, 3), in colours that it never had, and what a caption calls them."""
    kind = rng.choice(["turned", "turned", "negative", "duotone", "lit"])
    if kind == "turned":
        angle = rng.uniform(np.pi / 3, 5 * np.pi / 3)
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.linalg.inv(TO_YIQ) @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ TO_YIQ
        seen = colour_name((turn @ np.array([0.8, 0.2, 0.2])).clip(0, 1))
        return picture @ turn.T, f"with red shown as {seen}"
    if kind == "negative":
        return 1 - picture, "in negative"
    name = HUE_NAMES[rng.integers(len(HUE_NAMES))]
    bright = np.array(colorsys.hsv_to_rgb(_hue(name, rng), rng.uniform(0.6, 1), rng.uniform(0.8, 1)))
    if kind == "lit":
        return picture * bright, f"under {name} light"
    other = HUE_NAMES[rng.integers(len(HUE_NAMES))]
    deep = np.array(colorsys.hsv_to_rgb(_hue(other, rng), rng.uniform(0.5, 1), rng.uniform(0.0, 0.4)))
    tone = (picture @ LUMA)[..., None]
    return deep + (bright - deep) * tone, f"printed in {name} on dark {other}"


def _hue(name: str, rng: np.random.Generator) -> float:
    i = HUE_NAMES.index(name)
    return float(rng.uniform(HUE_STARTS[i], HUE_STARTS[i + 1]))


def measure(picture: np.ndarray) -> np.ndarray:
    """Lightness; spread of tones; fine detail; how much lighter the middle is than what is around. (4,)"""
    tone = picture @ LUMA
    detail = np.abs(np.diff(tone, axis=0)).mean() + np.abs(np.diff(tone, axis=1)).mean()
    middle = np.zeros(tone.shape, bool)
    middle[8:24, 8:24] = True
    return np.array([tone.mean(), tone.std(), detail, tone[middle].mean() - tone[~middle].mean()])


@dataclass(frozen=True)
class PhotoDescriber:
    """Turns measurements into words: lightness in five steps, everything else by its quarters."""

    tone_edges: np.ndarray  # (4,)
    edges: np.ndarray  # (4, 2): the 25th and 75th percentile of each measurement

    @classmethod
    def fit(cls, pictures: np.ndarray) -> PhotoDescriber:
        values = np.stack([measure(p / 255) for p in pictures])
        return cls(np.percentile(values[:, 0], (12, 35, 65, 88)), np.percentile(values, (25, 75), axis=0).T)

    def caption(self, picture: np.ndarray, label: int, look: str = "", rng: np.random.Generator | None = None) -> str:
        """Of a picture in [0, 1]. With `rng`, each word is left out a quarter of the time."""
        value = measure(picture)
        side = [int(v > high) - int(v < low) for v, (low, high) in zip(value, self.edges)]
        middle, around = picture[10:22, 10:22].mean((0, 1)), np.concatenate([picture[:4], picture[-4:]]).mean((0, 1))
        words = {
            "tone": TONES[int(np.searchsorted(self.tone_edges, value[0]))],
            "detail": {1: "detailed", -1: "smooth", 0: ""}[side[2]],
            "colour": colour_name(middle),
            "ground": f"on a {colour_name(around)} background".replace("a orange", "an orange"),
            "contrast": {1: "with strong contrast", -1: "with little contrast", 0: ""}[side[1]],
            "against": {1: "lighter than its surroundings", -1: "darker than its surroundings", 0: ""}[side[3]],
        }
        if rng is not None:
            words = {k: w if rng.random() < 0.75 else "" for k, w in words.items()}
        noun = " ".join(w for w in (words["tone"], words["detail"], words["colour"], CLASS_NAMES[label]) if w)
        article = "an" if noun[0] in "aeiou" else "a"
        parts = (f"{article} {noun}", words["ground"], words["contrast"], words["against"], look)
        return "a photo of " + ", ".join(w for w in parts if w)
