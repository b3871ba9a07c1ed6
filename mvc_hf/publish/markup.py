"""Words from outside as Markdown, YAML and code.

Whatever a class is called, it stays a word: in YAML nothing is lost; in Markdown what does not print is shown escaped,
and long names are cut.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from ..utils.text import one_line, visible

LONGEST = 80  # characters of a name in Markdown
# Words that no YAML parser takes for anything but a word, once PyYAML has looked at "yes", "null" and their like.
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
SPECIAL = re.compile(r"[!-~]")
HARMLESS = re.compile(r"[A-Za-z0-9,.'/+=%?();-]")  # within a line


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
