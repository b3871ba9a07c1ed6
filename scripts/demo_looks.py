"""Captions and looks for the embedded demo base.

The base must know the *things* of Fashion-MNIST without ever having seen its *look* (grey on black). So every
training image is rendered in another look, and the look is named in its caption. The words that describe the garment
itself (tone, texture, proportions) are measured in the picture: they are what differs within a class, and so what
mixing captions can mix.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

# The data set's own names, in its order, and what the captions call the things.
CLASS_NAMES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
NOUNS = ["t-shirt", "pair of trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]

FOREGROUND = 12  # grey level above which a pixel belongs to the garment (the background is exactly 0)
HUES = {
    "red": 0.0, "orange": 0.075, "yellow": 0.15, "green": 0.34,
    "teal": 0.48, "blue": 0.61, "purple": 0.75, "pink": 0.9,
}  # fmt: skip
MEASURES = ("tone", "texture", "stripes", "aspect", "fill", "vertical", "contrast")


def measure(images: np.ndarray) -> np.ndarray:
    """Measurements that the captions are made from.

    Args:
        images: uint8, (N, 28, 28), grey on black.

    Returns:
        float32, (N, len(MEASURES)): mean grey level of the garment; its fine detail; vertical against horizontal
        detail (log ratio); height over width (log); share of its bounding box that it fills; how much lighter its
        upper half is; spread of its grey levels.
    """
    x = images.astype(np.float32) / 255
    mask = images > FOREGROUND
    out = np.zeros((len(x), len(MEASURES)), np.float32)
    for i, (pic, m) in enumerate(zip(x, mask)):
        rows, cols = np.flatnonzero(m.any(1)), np.flatnonzero(m.any(0))
        r0, r1, c0, c1 = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
        inner = m[1:-1, 1:-1] & m[:-2, 1:-1] & m[2:, 1:-1] & m[1:-1, :-2] & m[1:-1, 2:]
        dx = np.abs(pic[1:-1, 2:] - pic[1:-1, :-2])[inner]
        dy = np.abs(pic[2:, 1:-1] - pic[:-2, 1:-1])[inner]
        dx, dy = (dx.mean(), dy.mean()) if inner.any() else (0.1, 0.1)
        grey = pic[m]
        middle = (r0 + r1) // 2
        upper, lower = pic[r0:middle][m[r0:middle]], pic[middle:r1][m[middle:r1]]
        lighter = upper.mean() - lower.mean() if len(upper) and len(lower) else 0.0
        box = (r1 - r0) * (c1 - c0)
        out[i] = (
            grey.mean(), dx + dy, np.log((dx + 0.01) / (dy + 0.01)), np.log((r1 - r0) / (c1 - c0)),
            m.sum() / box, lighter, grey.std(),
        )  # fmt: skip
    return out


@dataclass(frozen=True)
class Describer:
    """Turns measurements into words: tone against all classes, everything else against the image's own class."""

    tone_edges: np.ndarray  # (4,)
    class_edges: np.ndarray  # (classes, len(MEASURES), 2): the 25th and 75th percentile

    @classmethod
    def fit(cls, values: np.ndarray, labels: np.ndarray) -> Describer:
        edges = np.stack([np.percentile(values[labels == c], (25, 75), axis=0).T for c in range(len(CLASS_NAMES))])
        return cls(np.percentile(values[:, 0], (12, 35, 65, 88)), edges)

    def words(self, value: np.ndarray, label: int) -> dict[str, str]:
        """The words that hold for one image, by the place they take in a caption; ordinary values get no word."""
        low, high = self.class_edges[label].T
        side = {name: int(v > h) - int(v < lo) for name, v, lo, h in zip(MEASURES, value, low, high)}
        tone = ("very dark", "dark", "", "light", "very light")[int(np.searchsorted(self.tone_edges, value[0]))]
        texture = {1: "patterned", -1: "plain", 0: ""}[side["texture"]]
        if side["texture"] >= 0 and side["stripes"]:
            texture = {1: "vertically striped", -1: "horizontally striped"}[side["stripes"]]
        return {
            "tone": tone,
            "texture": texture,
            "aspect": {1: "tall", -1: "wide", 0: ""}[side["aspect"]],
            "fill": {1: "full", -1: "slender", 0: ""}[side["fill"]],
            "vertical": {1: "lighter at the top", -1: "lighter at the bottom", 0: ""}[side["vertical"]],
            "contrast": {1: "with strong contrast", -1: "with even shading", 0: ""}[side["contrast"]],
        }


def caption(words: dict[str, str], label: int, *, colour: str = "", look: str = "", size: str = "") -> str:
    """One sentence: "a photo of a small dark red plain tall sandal with even shading, lighter at the top, on …"."""
    before = [size, words["tone"], colour, words["texture"], words["aspect"], words["fill"], NOUNS[label]]
    noun = " ".join(w for w in before if w)
    article = "an" if noun[0] in "aeiou" else "a"
    after = " ".join(w for w in (f"{article} {noun}", words["contrast"]) if w)
    return "a photo of " + ", ".join(w for w in (after, words["vertical"], look) if w)


@dataclass
class Look:
    """One way to draw a garment. Colours are RGB in [0, 1]."""

    kind: str  # "tint" (item composited on a background), "negative" (its tones inverted too) or "duotone"
    dark: np.ndarray
    light: np.ndarray
    background: np.ndarray
    background2: np.ndarray  # the other end of a graded background
    graded: str  # "", "down" or "across"
    angle: float  # degrees, counter-clockwise
    scale: float
    shift: np.ndarray  # (2,), share of the picture
    colour: str = ""
    words: str = ""
    size: str = ""


def _colour(rng: np.random.Generator, names: tuple[str, ...]) -> tuple[str, np.ndarray]:
    name = names[rng.integers(len(names))]
    if name == "white":
        return name, np.full(3, rng.uniform(0.92, 1.0))
    if name == "grey":
        return name, np.full(3, rng.uniform(0.5, 0.75))
    if name == "brown":
        return name, np.array(
            colorsys.hsv_to_rgb(rng.uniform(0.05, 0.09), rng.uniform(0.5, 0.7), rng.uniform(0.4, 0.6))
        )
    hue = HUES[name] + rng.normal(0, 0.012)
    return name, np.array(colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.55, 1), rng.uniform(0.55, 1)))


BACKGROUNDS = (*HUES, "brown", "white", "grey")  # never black
ITEMS = (*HUES, "brown", "white", "grey")
UPRIGHT = 0.5  # share of the looks that are not turned, scaled or shifted


def draw_look(rng: np.random.Generator) -> Look:
    """A random look. The one look that can never come out is the data set's own: grey tones on black."""
    kind = rng.choice(["tint", "tint", "tint", "tint", "negative", "duotone"])
    ground, background = _colour(rng, BACKGROUNDS)
    item, light = _colour(rng, ITEMS)
    while item == ground:
        item, light = _colour(rng, ITEMS)
    graded, background2, words = "", background, f"on a {ground} background"
    if kind == "tint" and rng.random() < 0.35:
        other, background2 = _colour(rng, BACKGROUNDS)
        if other != ground:
            graded = str(rng.choice(["down", "across"]))
            words = f"on a graded {ground} and {other} background"
    if kind == "negative":
        words = f"in negative {words}"
    if kind == "duotone":
        words = f"printed in {item} on {ground}"
    dark = light * rng.uniform(0.0, 0.15) if kind != "duotone" else background
    upright = rng.random() < UPRIGHT
    angle = float(rng.uniform(-25, 25)) if not upright and rng.random() < 0.6 else 0.0
    scale = float(rng.uniform(0.65, 1.0)) if not upright and rng.random() < 0.5 else 1.0
    if abs(angle) > 8:
        words += ", turned left" if angle > 0 else ", turned right"
    room = 0.0 if upright else (1 - scale) / 2 + 0.03
    return Look(
        kind, dark, light, background, background2, graded, angle, scale, rng.uniform(-room, room, 2),
        colour=item, words=words.replace("a orange", "an orange"), size="small" if scale < 0.8 else "",
    )  # fmt: skip


def render(
    images: np.ndarray, looks: list[Look], size: int = 32, *, sharp: bool = False, device: str = "cpu"
) -> torch.Tensor:
    """Draw each image in its look.

    Args:
        images: uint8, (N, 28, 28).
        sharp: take the nearest pixel, where else neighbours are weighed.

    Returns:
        float32 RGB in [-1, 1], (N, 3, size, size).
    """
    x = torch.from_numpy(images.astype(np.float32) / 255)[:, None].to(device)
    mask = (x * 255 > FOREGROUND).float()
    mask = F.max_pool2d(mask, 3, 1, 1) * -F.max_pool2d(-F.max_pool2d(mask, 3, 1, 1), 3, 1, 1)  # closes pinholes
    column = lambda values: torch.tensor(np.stack(values), dtype=torch.float32).to(device)  # noqa: E731
    flag = lambda values: torch.tensor(values, device=device)[:, None, None, None]  # noqa: E731
    angle = column([np.deg2rad(look.angle) for look in looks])
    scale = column([look.scale for look in looks])
    shift = column([2 * look.shift for look in looks])
    cos, sin = angle.cos() / scale, angle.sin() / scale
    theta = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(theta, (len(looks), 1, size, size), align_corners=False)
    x = F.grid_sample(x, grid, mode="nearest" if sharp else "bicubic", align_corners=False).clamp(0, 1)
    mask = F.grid_sample(mask, grid, mode="nearest" if sharp else "bilinear", align_corners=False)

    negative = flag([look.kind == "negative" for look in looks])
    duotone = flag([look.kind == "duotone" for look in looks])
    tone = torch.where(negative, 1 - x, x)
    dark = column([look.dark for look in looks])[..., None, None]
    light = column([look.light for look in looks])[..., None, None]
    item = dark + (light - dark) * tone

    ramp = torch.linspace(0, 1, size, device=device)
    down = flag([look.graded == "down" for look in looks])
    ramp = torch.where(down, ramp[None, None, :, None], ramp[None, None, None, :])
    ground = column([look.background for look in looks])[..., None, None]
    ground2 = column([look.background2 for look in looks])[..., None, None]
    ground = ground + (ground2 - ground) * ramp
    picture = torch.where(duotone, item, ground + (item - ground) * mask)
    return picture.clamp(0, 1) * 2 - 1
