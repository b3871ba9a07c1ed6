"""The house: which package may import which. The table is the rule; every file is held against it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EVERYWHERE = {"errors", "utils", "storage"}  # the ground floor: what all may import

# A package → what it may import, besides itself and (all but the ground floor) EVERYWHERE.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": {"utils"},
    "utils": {"errors"},
    "storage": {"errors", "utils"},
    "ending": set(),
    "config": set(),
    "hub": set(),
    "report": set(),
    "mixing": set(),
    "data": {"config", "hub"},
    "augment": {"data"},
    "captions": {"data", "config", "hub"},
    "diffusion": {"captions", "data", "mixing", "hub", "config"},
    "artifacts": {"captions", "data", "config", "hub"},
    "methods": {"diffusion", "mixing", "config"},
    "training": {"diffusion", "artifacts", "captions", "data", "mixing", "hub", "config"},
    "publish": {"methods", "artifacts", "captions", "data", "hub", "report"},
    "generation": {"methods", "publish", "artifacts", "captions", "diffusion", "data", "hub", "config"},
}
MAY_IMPORT["inspection"] = {"generation", "training", "publish", *MAY_IMPORT["generation"], *MAY_IMPORT["training"]}
MAY_IMPORT["inspection"] |= {"report", "augment"}
MAY_IMPORT["workflows"] = set(MAY_IMPORT)
LIBRARY = set(MAY_IMPORT)
MAY_IMPORT["plugins"] = LIBRARY
MAY_IMPORT["cli"] = LIBRARY | {"plugins"}


def modules():
    """Every module as (path, dotted name below mvc_hf)."""
    for top, prefix in (("mvc_hf", ()), ("plugins", ("plugins",)), ("cli", ("cli",))):
        for path in sorted((ROOT / top).rglob("*.py")):
            yield path, (*prefix, *path.relative_to(ROOT / top).with_suffix("").parts)


def imported(path: Path, name: tuple[str, ...]):
    """The modules of ours that a file imports, anywhere in it, as dotted names below mvc_hf."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "mvc_hf":
                    yield node.lineno, tuple(alias.name.split(".")[1:])
        elif isinstance(node, ast.ImportFrom):
            module = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                base = name[: len(name) - node.level] + module
            elif module[:1] == ("mvc_hf",):
                base = module[1:]
            else:
                continue
            for alias in node.names:
                yield node.lineno, (*base, alias.name)


@pytest.mark.parametrize(("path", "name"), [pytest.param(p, n, id=".".join(n)) for p, n in modules()])
def test_arrows_go_one_way(path, name):
    room = name[0]
    if room == "__init__":
        return  # the public face names everything, lazily
    allowed = MAY_IMPORT[room] | {room} | (set() if room in EVERYWHERE else EVERYWHERE)
    for line, target in imported(path, name):
        if target and target[0] not in ("__version__",):
            assert target[0] in allowed, f"{'.'.join(name)}:{line} imports {'.'.join(target)}"
