"""What the figures say, in sentences: each a finding that one may act on, or that all is as it should be."""

from __future__ import annotations

from typing import Any

from ..utils.text import some

FEW = 8  # images of a class below which nothing is said of it
COLLAPSED = 0.5  # of the real spread: an interval that lies below it
WARNING, GOOD, NOTE = "warning", "good", "note"


def findings(figures: dict[str, Any]) -> list[dict[str, str]]:
    """Findings in the order of their weight: {"level": warning | good | note, "text": ...}."""
    found = [*_copies(figures), *_labels(figures), *_diversity(figures), *_fidelity(figures)]
    order = (WARNING, GOOD, NOTE)
    return sorted(({"level": level, "text": text} for level, text in found), key=lambda f: order.index(f["level"]))


def _copies(figures: dict[str, Any]) -> list[tuple[str, str]]:
    copies, test = figures["copies"], figures["copies"]["test"]
    found: list[tuple[str, str]] = []
    count, against = figures["overall"]["copies"], copies["against"]
    suspects = round(count["value"] * count["n"])
    if suspects:
        rows = ", ".join(str(s["row"]) for s in copies["suspects"][:5])
        found.append((WARNING, f"{_images(suspects)} of {count['n']:,} {_looks(suspects)} like a copy of a training "
                      f"image (rows {rows}{', …' if suspects > 5 else ''}): look at the pairs below."))  # fmt: skip
    if test["p"] is not None:
        closer = f"in {100 * test['closer']:.0f} of 100 pairs the synthetic image is the closer one"
        if test["p"] < 0.01:
            found.append((WARNING, f"Synthetic images lie closer to the training images than {against} do: {closer} "
                          f"({_p(test['p'])}). Fewer fine-tuning steps, or --early-stopping, may help."))  # fmt: skip
        else:
            found.append((GOOD if not suspects else NOTE,
                          f"As a whole, synthetic images are no closer to the training images than {against}: {closer} "
                          f"({_p(test['p'])}); {100 * test['detectable']:.0f} of 100 would be found with a probability "
                          "of 80 %."))  # fmt: skip
        if test["below"] and test["p_below"] < 0.01 and not suspects:
            found.append((WARNING, f"{_images(test['below'])} are closer to a training image than any of the {against}"
                          f" ({_p(test['p_below'])} by chance)."))  # fmt: skip
    if copies["leaked"]:
        found.append((WARNING, f"{copies['leaked']} held-out images are among the training images, too: they are no "
                      "held-out images; remove them."))  # fmt: skip
    twins = figures["overall"]["near_duplicates"]
    if twins["low"] > 0.05:
        found.append((WARNING, f"{_percent(twins)} of the synthetic images are near-duplicates of another one."))
    return found


def _labels(figures: dict[str, Any]) -> list[tuple[str, str]]:
    made, real = figures["overall"]["label_agreement"], figures["reference"]["label_agreement"]
    words = (
        f"The judge reads {_percent(made)} of the synthetic images as their label says, where it reads "
        f"{_percent(real)} of real images that it has not seen"
    )
    low = [
        c["class_name"] for c in figures["classes"]
        if c["synthetic"] >= FEW and "real_agreement" in c and c["label_agreement"]["high"] < c["real_agreement"]["low"]
    ]  # fmt: skip
    where = f"; lower than real ones beyond chance: {some(low, 8)}" if low else ""
    return [(WARNING if made["high"] < real["low"] else GOOD, words + where + ".")]


def _diversity(figures: dict[str, Any]) -> list[tuple[str, str]]:
    known = [c for c in figures["classes"] if "spread_ratio" in c and min(c["synthetic"], c["real"]) >= FEW]
    low = [c for c in known if c["spread_ratio"]["high"] < COLLAPSED]
    same = [
        c for c in figures["classes"]
        if c["synthetic"] >= FEW and c["near_duplicates"]["low"] > 0.5 and c not in low
    ]  # fmt: skip
    found = []
    if low:
        shown = ", ".join(f"{some([c['class_name']])} {100 * c['spread_ratio']['value']:.0f} %" for c in low[:8])
        found.append((WARNING, f"{len(low)} of {len(known)} classes have collapsed to less than half the spread of the "
                      f"real ones: {shown}{', …' if len(low) > 8 else ''}."))  # fmt: skip
    if same:
        found.append((WARNING, "Most images are near-duplicates of one another in "
                      f"{some([c['class_name'] for c in same], 8)}."))  # fmt: skip
    if known and not found:
        found.append((GOOD, f"No class has collapsed: all {len(known)} keep half the spread of the real ones or more, "
                      "or cannot be told from it."))  # fmt: skip
    missing = [c["class_name"] for c in figures["classes"] if c["real"] and not c["synthetic"]]
    if missing:
        found.append((NOTE, f"{len(missing)} classes have no synthetic images: {some(missing, 8)}."))
    return found


def _fidelity(figures: dict[str, Any]) -> list[tuple[str, str]]:
    made, real = figures["overall"].get("kernel_distance"), figures["reference"].get("kernel_distance")
    if made is None or real is None:
        return []
    return [(NOTE, f"Kernel distance to the real images {_thousandths(made)}, where {figures['reference']['of']} has "
             f"{_thousandths(real)} (× 10⁻³, seen through {figures['extractor']}).")]  # fmt: skip


def _images(count: int) -> str:
    return f"{count:,} image{'s' if count != 1 else ''}"


def _looks(count: int) -> str:
    return "look" if count != 1 else "looks"


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _percent(figure: dict[str, Any]) -> str:
    return f"{100 * figure['value']:.1f} % ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})"


def _thousandths(figure: dict[str, Any]) -> str:
    return f"{1000 * figure['value']:.3g} ({1000 * figure['low']:.3g} to {1000 * figure['high']:.3g})"
