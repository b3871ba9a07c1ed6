"""Where something came from, and under which licence, as far as that may be published."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..hub.ids import hub_id
from ..hub.metadata import licence_of
from ..utils.text import one_line
from .markup import markdown

LOCAL_PATH = re.compile(r"/|~|\.\.?[\\/]|[A-Za-z]:[\\/]|\\\\|file:")
TOKEN = re.compile(r"hf_[A-Za-z0-9]{16,}")
# What the Hub's validation takes for `license` (its own message lists them, huggingface_hub issue 4218, May 2026).
# A newer one that is not among them is written as "other" with its name, which is valid too.
LICENSES = frozenset([
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0",
    "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0",
    "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1",
    "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "h-research",
    "intel-research", "lppl-1.3c", "ms-pl", "apple-ascl", "apple-amlr", "mpl-2.0", "odc-by", "odbl", "openmdw-1.0",
    "openrail++", "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl", "lgpl-lr",
    "deepfloyd-if-license", "fair-noncommercial-research-license", "llama2", "llama3", "llama3.1", "llama3.2",
    "llama3.3", "llama4", "grok2-community", "gemma", "unknown", "other",
])  # fmt: skip


def publishable(value: Any) -> Any:
    """What was recorded, without what must not be published: of a local path its last part stays, of a token nothing.

    Neither should have been recorded in the first place; a card is public, so it is made sure of here once more.
    """
    if isinstance(value, dict):
        return {key: publishable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [publishable(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if LOCAL_PATH.match(value):
        value = re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return TOKEN.sub("(a token was here)", value)


@dataclass(frozen=True)
class Licence:
    """Licence identifiers as the Hub takes them; none where nothing is known. `name` and `link` go with "other"."""

    ids: tuple[str, ...] = ()
    name: str | None = None
    link: str | None = None

    @classmethod
    def of(cls, metadata: Any) -> Licence:
        """From the metadata of somebody's card, or what was recorded of it; anything odd becomes "other"."""
        metadata = metadata if isinstance(metadata, dict) else {}
        given = metadata.get("license")
        words = [str(word) for word in (given if isinstance(given, list) else [given]) if word]
        ids = tuple(dict.fromkeys(w.lower() if w.lower() in LICENSES else "other" for w in words))
        if "other" not in ids:
            return cls(() if ids == ("unknown",) else ids)
        name = metadata.get("license_name") or next((w for w in words if w.lower() not in LICENSES), None)
        link = str(metadata.get("license_link") or "")
        return cls(ids, one_line(str(name)) if name else None, link if link.startswith("https://") else None)

    @classmethod
    def of_all(cls, parts: Iterable[Licence]) -> Licence:
        """Of something made from several: all of them, or nothing where one is not known."""
        parts = list(parts)
        if not all(part.ids for part in parts):
            return cls()
        other = next((part for part in parts if "other" in part.ids), cls())
        return cls(tuple(dict.fromkeys(i for part in parts for i in part.ids)), other.name, other.link)

    def metadata(self) -> dict[str, Any]:
        """Keys of a card's metadata; "unknown" is the Hub's own word where nothing is known."""
        ids = list(self.ids) or ["unknown"]
        return {
            "license": ids[0] if len(ids) == 1 else ids, "license_name": self.name, "license_link": self.link
        }  # fmt: skip

    def __str__(self) -> str:
        """As Markdown."""
        words = [markdown(self.name) if i == "other" and self.name else f"`{i}`" for i in self.ids]
        return ", ".join(words) or "not known"


NOT_KNOWN = Licence()


@dataclass(frozen=True)
class Origin:
    """A model or data set that something was made from, as far as it was recorded."""

    name: str | None = None
    revision: str | None = None
    fingerprint: str | None = None
    hub_id: str | None = None
    licence: Licence = NOT_KNOWN
    kind: str = "model"

    @classmethod
    def of(cls, recorded: Any, kind: str) -> Origin:
        """From {name, revision, fingerprint, license}; `kind` is the Hub's repo_type, "model" or "dataset"."""
        recorded = publishable(recorded) if isinstance(recorded, dict) else {}
        name, revision = recorded.get("name"), recorded.get("revision")
        found = hub_id(name)
        licence = Licence.of(recorded)
        if not licence.ids:
            licence = Licence.of(licence_of(name, revision, kind))
        return cls(name, revision, recorded.get("fingerprint"), found, licence, kind)

    @property
    def address(self) -> str | None:
        """What a snippet can give to a command: "org/name" or "org/name:config"; None where it is not of the Hub."""
        plain = self.hub_id and re.fullmatch(r"[\w./:-]+", self.name or "", re.ASCII)
        return self.name if plain else self.hub_id

    def row(self) -> list[str]:
        """Name, revision and licence as cells."""
        if self.name is None:
            return ["not recorded", "", "not known"]
        if self.hub_id is None:
            print_ = f", fingerprint {markdown(self.fingerprint)}" if self.fingerprint else ""
            return [markdown(self.name), f"local{print_}", str(self.licence)]
        folder = "datasets/" if self.kind == "dataset" else ""
        link = f"[{markdown(self.name)}](https://huggingface.co/{folder}{self.hub_id})"
        return [link, markdown(self.revision or "not known"), str(self.licence)]
