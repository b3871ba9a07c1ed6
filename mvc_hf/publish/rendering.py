"""What both kinds of cards share: the template, the class table, the samples, the snippets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError
from ..hub.ids import hub_id
from ..storage.notes import atomic_write
from ..utils.text import one_line
from .markup import markdown, table, yaml_code
from .provenance import Origin

if TYPE_CHECKING:
    import numpy as np

SAMPLES = "samples.png"
PICTURES = (SAMPLES, "contact_sheet.png")  # shown where they lie beside the card
TABLE_ROWS = 100  # of the class table; a data set's metadata always has all names
CITATION = """```bibtex
@misc{alrahat2024mvc,
  title         = {Dataset Augmentation by Mixing Visual Concepts},
  author        = {Al Rahat, Abdullah and Venkateswara, Hemanth},
  year          = {2024},
  eprint        = {2412.15358},
  archivePrefix = {arXiv}
}
```"""


def snippet_address(folder: Path, repo_id: str | None) -> str:
    """What the snippets load: the repository, or the folder by its name, where it can stand in them as it is."""
    if repo_id is None:
        name = folder.resolve().name
        return name if re.fullmatch(r"\w[\w.-]*", name, re.ASCII) else "path/to/this/folder"
    if hub_id(repo_id) != repo_id:
        raise RecipeError(f"{repo_id!r} is not a Hub id: give it as org/name, in letters, digits, '-', '_' and '.'")
    return repo_id


def filled(template: str, **values: object) -> str:
    text = (resources.files("mvc_hf") / template).read_text(encoding="utf-8")
    return Template(text).substitute(values)


def write_readme(folder: Path, text: str) -> Path:
    with atomic_write(folder / "README.md") as temporary:
        temporary.write_bytes(text.encode())
    return folder / "README.md"


def samples_section(folder: Path) -> str:
    found = [name for name in PICTURES if (folder / name).is_file()]
    return "\n\n".join(f"![Sample pictures, one row for each class]({name})" for name in found) or "No pictures here."


def short_name(name: str) -> str:
    """A class name beside a row of pictures: one line of what most fonts have."""
    name = one_line(name)
    return (name if len(name) <= 24 else name[:23] + "…") or "(empty)"


def origins_table(parts: dict[str, Origin]) -> str:
    return table(("", "name", "revision", "licence"), [[what, *origin.row()] for what, origin in parts.items()])


def with_spaces(values: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("_", " "): value for key, value in values.items()}


def finetuning_section(recipe: Any) -> str:
    return f"\nThe checkpoint was fine-tuned with:\n\n```yaml\n{yaml_code(recipe)}```\n" if recipe else ""


def class_table(names: Sequence[str], counts: Sequence[int] | np.ndarray, what: str, where: str) -> str:
    rows = [(label, markdown(name), f"{counts[label]:,}") for label, name in enumerate(names[:TABLE_ROWS])]
    more = len(names) - len(rows)
    rest = f"\n\n… and {more:,} more of {len(names):,}; all names are in {where}." if more else ""
    return table(("label", "class", what), rows) + rest


def timm_data(source: Origin) -> str:
    """timm takes a data set of the Hub without a configuration only."""
    plain = source.hub_id and source.hub_id == source.name
    return f"--dataset hfds/{source.hub_id}" if plain else "--data-dir path/to/your/images"
