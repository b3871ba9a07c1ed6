"""Whether the rows of a folder are those of a recipe, and in a person's words where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..storage.manifest import read_manifest
from ..utils.text import counted, one_line
from .growing import of_rows


def refuse_others(folder: Path, known: dict[str, Any], provenance: dict[str, Any] | None) -> None:
    """Refuse a folder of other rows by what is known so far of ours: before anything is loaded or encoded for them.

    Args:
        known: some of what decides the rows.
        provenance: names of what they come from, for the message.

    Raises:
        OutputError: the folder was made by another recipe; what differs is named.
    """
    try:
        manifest = read_manifest(folder)
    except OutputError:  # damaged: whoever writes there says so
        return
    if manifest is not None:
        compare(folder, known, manifest, provenance)


def compare(folder: Path, known: dict[str, Any], manifest: dict[str, Any], provenance: dict[str, Any] | None) -> None:
    """The same, with the manifest of the folder at hand."""
    theirs, before, now = manifest["made_from"], words_of(manifest["provenance"]), words_of(provenance)
    different = [name for name, value in of_rows(known).items() if theirs.get(name) != value]
    if different:
        names = ", ".join(_said(name, theirs.get(name), known[name], before, now) for name in different)
        raise OutputError(f"{folder} was made by another recipe; these differ: {names}; choose another folder")


def words_of(provenance: dict[str, Any] | None) -> dict[str, str]:
    """What stands behind the digests of an identity, as far as it is recorded."""
    of = {name: value for name, value in (provenance or {}).items() if isinstance(value, dict)}
    source, base, steps = of.get("source", {}), of.get("base", {}), of.get("finetune", {}).get("max_train_steps")
    words = {"dataset": source.get("name"), "base": base.get("name")}
    if isinstance(source.get("images"), int):
        words["dataset"] = f"{counted(source['images'], 'image')} of {source.get('name')}"
    if isinstance(steps, int):
        words["checkpoint"] = f"fine-tuned {counted(steps, 'step')}"
    return {name: one_line(text) for name, text in words.items() if isinstance(text, str)}


def _said(name: str, theirs: Any, mine: Any, before: dict[str, str], now: dict[str, str]) -> str:
    if name not in ("dataset", "base", "checkpoint") or None in (theirs, mine):
        return f"{name} ({theirs!r} → {mine!r})"
    was, is_now = before.get(name, "another one"), now.get(name, "this one")
    return f"{name} ({was} → {is_now})" if was != is_now else f"{name} (another one of the same name: {was})"
