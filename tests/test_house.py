"""The house: which package may import which. The table is the rule; every file is held against it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mvc_hf

ROOT = Path(__file__).parents[1]
EVERYWHERE = {"errors", "utils", "storage"}  # the ground floor: what all may import
MOST_MODULES = 9  # of a package, `__init__` aside; plugins and cli have a file for each host and command

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
    "features": {"data", "config", "hub"},
    "augment": {"data", "hub"},
    "assessment": {"features", "augment", "data", "config", "report"},
    "comparison": {"data", "config"},
    "exporting": {"augment", "data", "config"},
    "captions": {"data", "config", "hub"},
    "diffusion": {"captions", "data", "mixing", "hub", "config"},
    "artifacts": {"diffusion", "captions", "data", "config", "hub"},
    "methods": {"diffusion", "mixing", "config"},
    "training": {"methods", "diffusion", "artifacts", "captions", "data", "mixing", "hub", "config"},
    "publish": {"methods", "artifacts", "augment", "captions", "config", "data", "hub", "report"},
    "generation": {"methods", "publish", "artifacts", "captions", "diffusion", "data", "hub", "config"},
}
MAY_IMPORT["scaling"] = {"ending", "generation", "artifacts", "data", "config"}
MAY_IMPORT["inspection"] = {"generation", "training", "publish", *MAY_IMPORT["generation"], *MAY_IMPORT["training"]}
MAY_IMPORT["inspection"] |= {"report", "augment"}
MAY_IMPORT["workflows"] = set(MAY_IMPORT)
LIBRARY = set(MAY_IMPORT)
MAY_IMPORT["plugins"] = LIBRARY
MAY_IMPORT["cli"] = LIBRARY | {"plugins"}


def table() -> str:
    """The packages as CONTRIBUTING.md shows them."""
    rows = ["| package | what it is | imports |", "|---|---|---|"]
    for name, allowed in MAY_IMPORT.items():
        if name in ("plugins", "cli"):
            place, others = ROOT / name, "the library" + (", plugins" if "plugins" in allowed else "")
        else:
            place, others = ROOT / "mvc_hf" / name, ", ".join(sorted(allowed - EVERYWHERE)) or "–"
            others = "all of the library" if allowed >= LIBRARY - {name} else others
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        what = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))).splitlines()[0]
        rows.append(f"| `{place.relative_to(ROOT)}` | {what.rstrip('.')} | {others} |")
    return "\n".join(rows)


def test_contributing_shows_the_table():
    assert table() in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), f"it is to be:\n{table()}"


def test_every_package_is_in_the_table():
    packages = {path.parent.name for path in (ROOT / "mvc_hf").glob("*/__init__.py")}
    files = {path.stem for path in (ROOT / "mvc_hf").glob("*.py")} - {"__init__", "__main__"}
    assert packages | files == LIBRARY


def test_no_package_has_more_modules_than_a_reader_takes_in():
    packages = [path.parent for path in (ROOT / "mvc_hf").rglob("__init__.py") if path.parent != ROOT / "mvc_hf"]
    found = {p.relative_to(ROOT).as_posix(): len([*p.glob("*.py")]) - 1 for p in packages}
    assert {name: count for name, count in found.items() if count > MOST_MODULES} == {}


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
    if room in ("__init__", "__main__"):
        return  # the public face names everything, lazily; and `-m` is the command line's
    allowed = MAY_IMPORT[room] | {room} | (set() if room in EVERYWHERE else EVERYWHERE)
    for line, target in imported(path, name):
        if target and target[0] not in ("__version__",):
            assert target[0] in allowed, f"{'.'.join(name)}:{line} imports {'.'.join(target)}"


NAMED = re.compile(
    r"\bmvc_hf((?:\.[a-z][a-z_0-9]*)+)\b|\b((?:mvc_hf|plugins|cli|scripts|benchmarks|tests)/[\w/]+\.py)\b"
)
FROM_ROOT = re.compile(r"from mvc_hf import (\w+(?:, \w+)*)")
TEXTS = ("*.md", "docs/*.md", "recipes/*", "setup.py", "mvc_hf/**/*.py", "plugins/*.py", "cli/*.py", "tests/**/*.py",
         "scripts/*.py", "benchmarks/*.py")  # fmt: skip


def _is_there(dotted: str) -> bool:
    """Whether `.a.b.c` names a module of ours, or something in one."""
    here = ROOT / "mvc_hf"
    for i, part in enumerate(dotted[1:].split(".")):
        here = ROOT / part if i == 0 and part in ("plugins", "cli") else here / part
        if here.is_dir():
            continue
        return here.with_suffix(".py").exists() or (i == 0 and part in mvc_hf.__all__)
    return True


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(ROOT))) for t in TEXTS for p in ROOT.glob(t)])
def test_every_module_that_is_named_is_there(path):
    """In code, comments, documentation and the texts of tests: modules move, and what names them has to follow."""
    text = path.read_text(encoding="utf-8")
    imported = [f".{name.strip()}" for names in FROM_ROOT.findall(text) for name in names.split(",")]
    for dotted, file in [*NAMED.findall(text), *((name, "") for name in imported)]:
        there = _is_there(dotted) if dotted else (ROOT / file).exists()
        assert there, f"{path.relative_to(ROOT)} names mvc_hf{dotted}{file}, which is not there"
