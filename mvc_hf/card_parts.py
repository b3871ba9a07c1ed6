"""What cards are made of: words from outside as Markdown, YAML and code, licences, and where something came from.

Whatever a class is called, it stays a word: in YAML nothing is lost; in Markdown what does not print is shown escaped,
and long names are cut.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from .source import HUB_ID
from .texts import one_line, visible

LONGEST = 80  # characters of a name in Markdown

# Words that no YAML parser takes for anything but a word, once PyYAML has looked at "yes", "null" and their like.
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
SPECIAL = re.compile(r"[!-~]")
HARMLESS = re.compile(r"[A-Za-z0-9,.'/+=%?();-]")  # within a line
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


class _Dumper(yaml.SafeDumper):
    """PyYAML, but every string that is not a plain word in double quotes.

    Its own choice of quotes is safe for itself only: it leaves 1e3 and 0o17 bare, which are numbers to the YAML 1.2
    parser of the Hub's site, and writes U+0085 as it is, which comes back as a line break.
    """

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None if PLAIN.fullmatch(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _string)


def yaml_text(values: dict[str, Any]) -> str:
    """YAML that comes back verbatim, each string on one line.

    What does not show is escaped, as everywhere: YAML and Python write that alike, within double quotes.
    """
    return visible(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf))


def yaml_code(values: dict[str, Any]) -> str:
    """YAML for a code block. Nothing in it can end the block: a line begins with a space, a dash or a key."""
    return yaml_text(values).replace("<", "\\x3C")  # only ever within double quotes


def python_literal(value: str) -> str:
    """A Python string for a code block: ASCII, on one line, without a tag's bracket."""
    return ascii(value).replace("<", "\\x3c")


def markdown(value: object, longest: int = LONGEST) -> str:
    """A word in a line or a table cell of Markdown: it is shown, and does nothing else.

    All ASCII punctuation that could mean something becomes a character reference, which cannot stand for structure.
    """
    shown = one_line(str(value))
    shown = shown if len(shown) <= longest else shown[: longest - 1] + "…"
    inner = shown.strip(" ")
    left = len(shown) - len(shown.lstrip(" "))
    shown = "␣" * left + inner + "␣" * (len(shown) - left - len(inner))  # Markdown would drop these spaces
    shown = shown.replace("  ", " ␣")
    safe = SPECIAL.sub(lambda c: c[0] if HARMLESS.fullmatch(c[0]) else f"&#{ord(c[0])};", shown)
    return re.sub(r"www(?=\.)", "ww&#119;", safe, flags=re.IGNORECASE) or "(empty)"  # a bare address is a link too


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)


def pairs(head: tuple[str, str], values: dict[str, Any] | None) -> str:
    """A table of names and values from outside."""
    if not values:
        return "Not recorded."
    return table(head, [(markdown(key), markdown(_number(value))) for key, value in values.items()])


def _number(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


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


def hub_id(name: str | None) -> str | None:
    """The "org/name" of a recorded name, without configuration; None where it is not of the Hub."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    match = HUB_ID.fullmatch(name or "")
    try:
        if match:
            validate_repo_id(match["id"])
            return match["id"]
    except HFValidationError:
        pass
    return None


def licence_of(name: str | None, revision: str | None, kind: str) -> dict[str, Any]:
    """What is known of the licence of a model or data set of the Hub, to be recorded with its name; {} for others."""
    found = hub_id(name)
    metadata = cached_metadata(found, revision, kind) if found and revision else {}
    return {key: metadata[key] for key in ("license", "license_name", "license_link") if metadata.get(key)}


def cached_metadata(repo_id: str, revision: str, repo_type: str) -> dict[str, Any]:
    """The metadata of a repository's card as it lies in the local cache; empty where there is none."""
    import yaml
    from huggingface_hub import metadata_load, try_to_load_from_cache

    found = try_to_load_from_cache(repo_id, "README.md", revision=revision, repo_type=repo_type)
    try:
        return metadata_load(found) or {} if isinstance(found, str) else {}
    except (OSError, ValueError, yaml.YAMLError):  # somebody else's card: not ours to mend
        return {}
