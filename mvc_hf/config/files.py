"""Settings in files: YAML or JSON, read strictly, compared, fingerprinted."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from ..errors import RecipeError
from ..utils.text import brief, collapsed, shortened, unreadable


def fingerprint(values: dict[str, Any]) -> str:
    """Hex digest of a dictionary of JSON values; the order of keys does not matter."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, allow_nan=False, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def differing(mine: dict[str, Any], theirs: dict[str, Any]) -> str:
    """The fields in which two dictionaries differ, as "name (theirs → mine)", for a message."""
    names = [k for k in {**theirs, **mine} if mine.get(k) != theirs.get(k)]
    return ", ".join(f"{k} ({theirs.get(k)!r} → {mine.get(k)!r})" for k in names)


BROUGHT = re.compile(r"recipes/([\w-]+\.yaml)", re.ASCII)
LARGEST = 1 << 20  # bytes; the longest recipes have a few thousand
DEEPEST = 10  # levels of YAML; settings are on the first one


def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings of a recipe file by name, not yet checked. Raises RecipeError."""
    path = brought_along(path)
    return parse_settings(read_text(path), str(path))


def brought_along(path: str | Path) -> str | Path:
    """The path; where nothing is there and it says "recipes/NAME.yaml", the recipe of that name in the package."""
    found = BROUGHT.fullmatch(str(path))
    if found and not os.path.lexists(path):
        inside = resources.files("mvc_hf") / "recipes" / found[1]
        if inside.is_file():
            return str(inside)
    return path


def read_text(path: str | Path, what: str = "recipe") -> str:
    """The text of a recipe, or of another file of settings.

    Devices and pipes are not opened: they may have no end, or never begin.

    Raises:
        RecipeError: it is not a file, is too large, or not text in UTF-8.
    """
    name = shortened(str(path))
    if why := unreadable(str(path)):
        raise RecipeError(f"cannot read the {what} {name}: {why}")
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise RecipeError(f"cannot read the {what} {name}: it is {what}; name a YAML or JSON file")
        if found.st_size > LARGEST:
            raise RecipeError(f"{name} is not a {what}: it has {found.st_size:,} bytes, a {what} at most {LARGEST:,}")
        with open(path, "rb") as file:
            return decoded(file.read(LARGEST + 1), name, what)
    except OSError as error:
        raise RecipeError(f"cannot read the {what} {name}: {error.strerror or error}") from error


def decoded(data: bytes, name: str, what: str = "recipe") -> str:
    """The text of some bytes. Raises RecipeError where they are too many, or not UTF-8."""
    if len(data) > LARGEST:
        raise RecipeError(f"{name} is not a {what}: it has more than {LARGEST:,} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{name} is not a {what}: it is not text in UTF-8") from error


def parse_settings(text: str, name: str) -> dict[str, Any]:
    """The settings in the text of a recipe: YAML, or JSON where its name ends in .json. Only plain values are built.

    Raises:
        RecipeError: it is neither, gives a setting twice, or holds none.
    """
    kind = "JSON" if name.endswith(".json") else "YAML"
    name = shortened(name)
    try:
        values = _from_json(text) if kind == "JSON" else _from_yaml(text)
    except _Refused as error:
        raise RecipeError(f"{name}{error}") from error
    except RecursionError as error:
        raise RecipeError(f"{name}: values are nested too deep; a setting has one value") from error
    except Exception as error:  # PyYAML fails in many ways at tags such as !!timestamp
        why = shortened(collapsed(str(error)), 300) or type(error).__name__
        raise RecipeError(f"{name} is not valid {kind}: {why}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{name} holds no settings: write one 'name: value' a line")
    return values


class _Refused(Exception):
    """What follows the name of the file in a message."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, without what a recipe has no use for and a hostile one lives on."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Aliases of lists and maps multiply: nine lines of them make a billion values."""
        line = self.peek_event().start_mark.line + 1
        is_alias = self.check_event(yaml.AliasEvent)
        if self._depth >= DEEPEST:
            raise _Refused(f", line {line}: values are nested too deep; a setting has one value")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and not isinstance(node, yaml.ScalarNode):
            raise _Refused(f", line {line}: an alias can stand for one value only, not for several; write them out")
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """PyYAML takes the last of equal keys without a word. Dashes and underscores are the same in a recipe."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line, known = key.start_mark.line + 1, lines.get(plain := key.value.replace("-", "_"))
            if known:
                raise _Refused(f" gives {brief(key.value)} twice, in line {known} and in line {line}: keep one")
            lines[plain] = line
        return super().construct_mapping(node, deep)


def _from_yaml(text: str) -> Any:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _from_json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names: set[str] = set()
        for key, _ in pairs:
            if (plain := key.replace("-", "_")) in names:
                raise _Refused(f" gives {brief(key)} twice{_lines_of(plain, text)}: keep one")
            names.add(plain)
        return dict(pairs)

    def no_number(word: str) -> Any:
        raise _Refused(f" holds {word}, which is no number in JSON: write one")

    return json.loads(text, object_pairs_hook=unique, parse_constant=no_number)


def _lines_of(key: str, text: str) -> str:
    """Where a key stands. The parser does not say; one that is written with escapes is not found."""
    written = re.escape(json.dumps(key, ensure_ascii=False)).replace("_", "[-_]")
    lines = [text.count("\n", 0, found.start()) + 1 for found in re.finditer(rf"{written}\s*:", text)]
    return f", in line {' and in line '.join(map(str, lines[:2]))}" if len(lines) > 1 else ""
