"""What goes on the page, and the sheet of pictures for a card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..data.decoding import to_rgb
from ..errors import DataError
from ..report.charts import confusion, histogram
from ..report.contact_sheet import contact_sheet
from ..report.page import picture, render
from ..report.text_layout import set_in
from ..utils.text import one_line, shortened, some
from .definitions import CLASS_FIGURES, FIGURES, definitions
from .findings import FEW, MANY, is_collapsed, is_misread, number
from .sets import ImageSet

if TYPE_CHECKING:
    from .assess import Assessment

PAIRS, TWINS, WORST, STRIP = 12, 6, 18, 8  # pictures of each kind
MOST_CLASSES, MOST_SHEETS, MOST_CONFUSED = 200, 40, 30


def page(found: Assessment) -> str:
    """The page as HTML."""
    figures, sets = found.figures, found.sets
    names = list(sets.class_names)
    order = _worst_first(figures["classes"])
    shown = order[:MOST_CLASSES]
    about = figures["sets"]
    known = [f"{about['synthetic']['images']:,} synthetic images", f"{about['real']['images']:,} real ones of "
             f"{about['real']['name']}"]  # fmt: skip
    if "held-out" in about:
        known.append(f"{about['held-out']['images']:,} held-out ones of {about['held-out']['name']}")
    pictured = [label for label in order if figures["classes"][label]["synthetic"]]
    return render(
        "page.html",
        title=about["synthetic"]["name"],
        subtitle=", ".join(known) + f"; {len(names):,} classes",
        extractor=figures["extractor"],
        findings=figures["findings"],
        notes=figures["notes"],
        reference=figures["reference"]["of"],
        rows=[_row(figures, *figure) for figure in FIGURES if figure[0] in figures["overall"]],
        class_head=[title for _, title, _ in CLASS_FIGURES],
        class_rows=[_class_row(figures["classes"][label]) for label in shown],
        more_classes=len(order) - len(shown),
        copies=_copies(found),
        labels=_labels(found),
        typicality=histogram({"synthetic": found.columns["class_distance"]},
                             "distance to the real images of the class; 1 is that of a typical real one", mark=1.0),
        sheets=[_sheet(found, label) for label in pictured[:MOST_SHEETS]],
        more_sheets=max(0, len(pictured) - MOST_SHEETS),
        how=definitions(figures),
    )  # fmt: skip


def draw_sheet(found: Assessment, *, classes: int = 12, images: int = 6) -> Image.Image:
    """The most and the least typical synthetic images of some classes, for a card: no real image is on it."""
    counts = [c["synthetic"] for c in found.figures["classes"]]
    there = np.flatnonzero(counts)
    shown = there[np.unique(np.linspace(0, len(there) - 1, min(classes, len(there))).round().astype(int))].tolist()
    columns: dict[str, list[list[Image.Image]]] = {"most typical": [], "least typical": []}
    for label in shown:
        ranked = _by_typicality(found, label)
        for title, rows in (("most typical", ranked[:images]), ("least typical", ranked[::-1][:images])):
            columns[title].append([_image(found.sets.synthetic, row) for row in rows])
    names = [set_in(shortened(one_line(found.sets.class_names[label]), 24), 18)[0] or "(empty)" for label in shown]
    return contact_sheet(columns, names)


def _worst_first(classes: list[dict[str, Any]]) -> list[int]:
    """Classes with the lowest agreement of labels first; those without synthetic images last."""

    def key(label: int) -> tuple[bool, float]:
        found = classes[label]
        return not found["synthetic"], found.get("label_agreement", {"value": 2.0})["value"]

    return sorted(range(len(classes)), key=key)


def _row(figures: dict[str, Any], name: str, title: str, scale: float, hint: str) -> dict[str, Any]:
    cells = [_cell(figures[part].get(name), scale) for part in ("overall", "reference")]
    return {"name": title, "cells": cells, "hint": hint}


def _class_row(found: dict[str, Any]) -> dict[str, Any]:
    cells = []
    for name, _, scale in CLASS_FIGURES:
        cell = _cell(found.get(name), scale)
        cell["flag"] = _is_bad(found, name)
        cells.append(cell)
    return {"name": found["class_name"], "synthetic": found["synthetic"], "real": found["real"], "cells": cells}


def _is_bad(found: dict[str, Any], name: str) -> bool:
    figure = found.get(name)
    if name == "label_agreement":
        return is_misread(found)
    if name == "spread_ratio":
        return is_collapsed(found)
    if name == "near_duplicates":
        return figure is not None and found["synthetic"] >= FEW and figure["low"] > MANY
    return name == "copies" and figure is not None and figure["value"] > 0


def _cell(figure: dict[str, Any] | None, scale: float) -> dict[str, Any]:
    if figure is None or figure["value"] is None:
        return {"value": "–", "interval": "", "n": ""}
    interval = ""
    if figure["low"] is not None and figure["high"] is not None:
        interval = f"{number(scale * figure['low'])} to {number(scale * figure['high'])}"
    return {"value": number(scale * figure["value"]), "interval": interval, "n": f"{figure['n']:,}"}


def _copies(found: Assessment) -> dict[str, Any]:
    figures, columns = found.figures["copies"], found.columns
    against, test = figures["against"], figures["test"]
    near, count = found.nearest_made, int(columns["looks_like_copy"].sum())
    shown = figures["suspects"][:PAIRS] or [
        {
            "row": row,
            "nearest_row": int(near.row[row]),
            "by": "features",
            "distance": near.distance[row],
            "ratio": near.ratio[row],
        }
        for row in np.argsort(near.distance, kind="stable")[:PAIRS].tolist()
    ]
    title = f"{count:,} that look like copies" if count else "The nearest pairs: none looks like a copy"
    words = "There are too few images in common classes for a test."
    if test["p"] is not None:
        words = (
            f"Each synthetic image and each of the {against} has a nearest training image. In "
            f"{100 * test['closer']:.1f} of 100 pairs of one class the synthetic image is the closer one (50 where "
            f"there is no difference; one-sided p = {test['p']:.2g}); measured by how far the nearest stands out from "
            f"the next ones, in {100 * test['standing_out']:.1f} (p = {test['p_standing_out']:.2g}). With "
            f"{test['n']:,} and {test['m']:,} images, {100 * test['detectable']:.1f} of 100 would be noticed with a "
            f"probability of 80 %. {test['below']:,} synthetic images are closer than all of the {against} (the "
            f"dashed line); {test['below_detectable']:,} or more would be beyond chance. A distance near zero looks "
            "like a copy; a large one proves nothing."
        )
    real = "held-out" if "held-out" in found.figures["sets"] else "real among themselves"
    return {
        "words": words, "title": title,
        "distances": histogram({"synthetic": found.nearest_made.distance, real: found.nearest_held.distance},
                               "distance to the nearest training image", mark=figures["floor"]),
        "ratios": histogram({"synthetic": found.nearest_made.ratio, real: found.nearest_held.ratio},
                            "copy ratio: that distance over the mean of the k nearest"),
        "pairs": [_pair(found, s["row"], found.sets.real, s["nearest_row"], _how_near(s)) for s in shown],
        "twins": _twins(found) if columns["duplicate_row"] is not None else [],
    }  # fmt: skip


def _how_near(suspect: dict[str, Any]) -> str:
    by = "" if suspect["by"] == "features" else " by pixels"
    return f"distance {suspect['distance']:.3f}{by}, ratio {suspect['ratio']:.2f}"


def _twins(found: Assessment) -> list[dict[str, Any]]:
    pairs: list[dict[str, Any]] = []
    seen: set[tuple[int, ...]] = set()
    for row in np.argsort(found.within.distance, kind="stable")[: 8 * TWINS].tolist():
        other = int(found.within.row[row])
        key = tuple(sorted((row, other)))
        if key not in seen and len(pairs) < TWINS:
            seen.add(key)
            pairs.append(_pair(found, row, found.sets.synthetic, other, f"distance {found.within.distance[row]:.3f}"))
    return pairs


def _pair(found: Assessment, row: int, other: ImageSet, other_row: int, text: str) -> dict[str, Any]:
    name = found.sets.class_names[found.sets.synthetic.labels[row]]
    return {
        "left": _drawn(found.sets.synthetic, row),
        "right": _drawn(other, other_row),
        "text": f"row {row} ({name}) and {other.role} row {other_row}: {text}",
    }


def _labels(found: Assessment) -> dict[str, Any]:
    figures, columns, names = found.figures, found.columns, list(found.sets.class_names)
    confidence, given = columns["label_confidence"], found.sets.synthetic.labels
    read = np.array(columns["predicted_class"], dtype=object)
    wrong = np.flatnonzero(read != np.array(names, dtype=object)[given])
    worst = wrong[np.argsort(confidence[wrong], kind="stable")][:WORST].tolist()
    counts = figures["confusion"]
    small = counts is not None and len(names) <= MOST_CONFUSED
    words = (
        f"The judge is {figures['judge']}: trained {figures['settings']['folds']} times, each time without a fold of "
        "the real images, on which it is then tried; of a synthetic image the mean of them all is taken. What it "
        f"believes is calibrated on the images left out (temperature {figures['temperature']:.2f}). It errs, too: see "
        "how it reads real images."
    )
    return {
        "words": words,
        "confidence": histogram({"synthetic": confidence}, "probability of the label, by the judge"),
        "confusion": confusion(counts["synthetic"], names, "label", "read as") if small else "",
        "real_confusion": confusion(counts["real"], names, "label", "read as") if small else "",
        "confused": "" if small else _confused(given, read, names),
        "worst": [
            {"image": _drawn(found.sets.synthetic, row),
             "text": f"row {row}: labelled {names[given[row]]} ({confidence[row]:.2f}), read as {read[row]}"}
            for row in worst
        ],
    }  # fmt: skip


def _confused(given: np.ndarray, read: np.ndarray, names: list[str]) -> str:
    from collections import Counter

    pairs = Counter((names[label], name) for label, name in zip(given, read) if names[label] != name)
    return "; ".join(f"{some([a])} read as {some([b])}: {count}" for (a, b), count in pairs.most_common(12))


def _sheet(found: Assessment, label: int) -> dict[str, Any]:
    ranked = _by_typicality(found, label)
    real = np.flatnonzero(found.sets.real.labels == label)[:STRIP].tolist()
    strips = [("real", found.sets.real, real), ("most typical", found.sets.synthetic, ranked[:STRIP])]
    if len(ranked) > STRIP:
        strips.append(("least typical", found.sets.synthetic, ranked[::-1][: min(STRIP, len(ranked) - STRIP)]))
    return {
        "name": found.sets.class_names[label],
        "strips": [{"name": n, "images": [_drawn(part, row) for row in rows]} for n, part, rows in strips if rows],
    }


def _by_typicality(found: Assessment, label: int) -> list[int]:
    """The synthetic images of a class, those nearest to its real ones first; by belief where that is not known."""
    rows = np.flatnonzero(found.sets.synthetic.labels == label)
    distance = found.columns["class_distance"][rows]
    key = distance if np.isfinite(distance).all() else -found.columns["label_confidence"][rows]
    return rows[np.argsort(key, kind="stable")].tolist()


def _drawn(part: ImageSet, row: int) -> Any:
    return picture(_image(part, row), f"{part.role} row {row}: {part.source.describe_row(row)}")


def _image(part: ImageSet, row: int) -> Image.Image:
    try:
        return to_rgb(part.source.image(row))
    except DataError as error:
        raise DataError(f"{part.source.describe_row(row)}: {error}") from error
