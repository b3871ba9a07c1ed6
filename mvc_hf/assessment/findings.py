"""What the figures say, in sentences: each a finding that one may act on, or that all is as it should be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..utils.text import some

FEW = 8  # images of a class below which nothing is said of it
COLLAPSED = 0.5  # of the real spread: an interval that lies below it
SURE = 0.01  # p below which chance is not believed in
MANY = 0.05  # share of near-duplicates
WARNING, GOOD, NOTE = "warning", "good", "note"
SHOWN = 8  # classes in a sentence


def findings(figures: dict[str, Any]) -> list[dict[str, str]]:
    """Findings, the grave ones first: {"level": warning | good | note, "text": ...}."""
    found = [*_copies(figures), *_labels(figures), *_diversity(figures), *_fidelity(figures)]
    order = (WARNING, GOOD, NOTE)
    return sorted(found, key=lambda finding: order.index(finding["level"]))


def warning(text: str) -> dict[str, str]:
    return {"level": WARNING, "text": text}


def good(text: str) -> dict[str, str]:
    return {"level": GOOD, "text": text}


def note(text: str) -> dict[str, str]:
    return {"level": NOTE, "text": text}


def _copies(figures: dict[str, Any]) -> Iterator[dict[str, str]]:
    copies, test, count = figures["copies"], figures["copies"]["test"], figures["overall"]["copies"]
    suspects, against = round(count["value"] * count["n"]), copies["against"]
    if suspects:
        rows = ", ".join(str(s["row"]) for s in copies["suspects"][:5]) + (", …" if suspects > 5 else "")
        many, one = "images look like copies of training images", "image looks like a copy of a training image"
        what = many if suspects > 1 else one
        chance = f"; by chance up to {copies['by_chance']:.1g} may" if copies["by_chance"] > 0.1 else ""
        yield warning(
            f"{suspects:,} synthetic {what} (of {count['n']:,}{chance}; rows {rows}): look at the pairs on the page."
        )
    twins = figures["overall"]["near_duplicates"]
    unsure = "; near-duplicates make that look surer than it is" if twins["low"] > MANY else ""
    if test["p"] is not None:
        pairs = f"in {100 * test['closer']:.0f} of 100 pairs the synthetic image is the closer one"
        closer = f"{pairs} ({_p(test['p'])}{unsure})"
        if test["p"] < SURE:
            yield warning(
                f"Synthetic images lie closer to the training images than {against} do: {closer}. Fewer "
                "fine-tuning steps, or --early-stopping, may help."
            )
        else:
            tell = note if suspects else good
            yield tell(
                f"As a whole, synthetic images are no closer to the training images than {against}: {closer}; "
                f"{100 * test['detectable']:.0f} of 100 would be noticed with a probability of 80 %."
            )
        if test["p_standing_out"] < SURE <= test["p"]:
            yield warning(
                f"The nearest training image stands out from the next ones more than that of {against} does: in "
                f"{100 * test['standing_out']:.0f} of 100 pairs ({_p(test['p_standing_out'])}{unsure}). Single "
                "images may have been learned by heart."
            )
        if test["below"] and test["p_below"] < SURE and not suspects:
            yield warning(
                f"{test['below']:,} synthetic images are closer to a training image than any of the {against} "
                f"({_p(test['p_below'])})."
            )
    if copies["leaked"]:
        yield warning(
            f"{copies['leaked']:,} of the held-out images are among the training images, too: they hold nothing "
            "out; remove them."
        )
    if twins["low"] > MANY:
        yield warning(f"{_percent(twins)} of the synthetic images are near-duplicates of another one.")


def _labels(figures: dict[str, Any]) -> Iterator[dict[str, str]]:
    made, real = figures["overall"]["label_agreement"], figures["reference"]["label_agreement"]
    low = [c["class_name"] for c in figures["classes"] if is_misread(c)]
    where = f"; lower than of real ones, beyond chance: {some(low, SHOWN)}" if low else ""
    tell = warning if low or made["high"] < real["low"] else good
    yield tell(
        f"The judge reads {_percent(made)} of the synthetic images as their label says, where it reads "
        f"{_percent(real)} of real images that it has not seen{where}."
    )


def _diversity(figures: dict[str, Any]) -> Iterator[dict[str, str]]:
    known = [c for c in figures["classes"] if "spread_ratio" in c and c["synthetic"] >= FEW]
    low = [c for c in known if is_collapsed(c)]
    same = [
        c["class_name"]
        for c in figures["classes"]
        if c["synthetic"] >= FEW and c["near_duplicates"]["low"] > 0.5 and c not in low
    ]
    if low:
        shown = ", ".join(f"{some([c['class_name']])} {_percent(c['spread_ratio'])}" for c in low[:SHOWN])
        yield warning(
            f"{len(low):,} of {len(known):,} classes have collapsed to less than half the spread of the real "
            f"ones: {shown}{', …' if len(low) > SHOWN else ''}."
        )
    if same:
        yield warning(f"Most images are near-duplicates of one another in {some(same, SHOWN)}.")
    if known and not low and not same:
        yield good(
            f"No class has collapsed: of {len(known):,}, none has certainly less than half the spread of the real "
            "ones."
        )


def _fidelity(figures: dict[str, Any]) -> Iterator[dict[str, str]]:
    made, real = figures["overall"].get("kernel_distance"), figures["reference"].get("kernel_distance")
    if made is not None and real is not None:
        yield note(
            f"Kernel distance to the real images {_thousandths(made)}, where {figures['reference']['of']} has "
            f"{_thousandths(real)} (× 10⁻³, seen through {figures['extractor']})."
        )


def is_misread(found: dict[str, Any]) -> bool:
    """Whether the labels of a class agree less than those of its real images, beyond chance."""
    if found["synthetic"] < FEW or "real_agreement" not in found:
        return False
    return found["label_agreement"]["high"] < found["real_agreement"]["low"]


def is_collapsed(found: dict[str, Any]) -> bool:
    """Whether the spread of a class is certainly less than half that of its real images."""
    figure = found.get("spread_ratio")
    return figure is not None and min(found["synthetic"], found["real"]) >= FEW and figure["high"] < COLLAPSED


def number(value: float) -> str:
    """A figure with three digits that count, or all those before the point."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if abs(value) < 100 else 0
    return f"{value:,.{min(digits, 3)}f}".replace("-", "−")


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _percent(figure: dict[str, Any]) -> str:
    return f"{100 * figure['value']:.1f} % ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})"


def _thousandths(figure: dict[str, Any]) -> str:
    value, low, high = (number(1000 * figure[part]) for part in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
