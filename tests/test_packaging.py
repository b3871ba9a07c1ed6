"""What an installation brings, and what it keeps out of the user's namespace."""

import ast
import configparser
import importlib.util
from importlib import metadata, resources
from pathlib import Path

import pytest

import mvc_hf

ROOT = Path(__file__).parents[1]


def test_the_command_and_the_version():
    (entry,) = [e for e in metadata.entry_points(group="console_scripts") if e.name == "mvc-hf"]
    assert entry.value == "mvc_hf.cli:main"
    assert metadata.version("mvc_hf") == mvc_hf.__version__


def test_no_top_level_name_but_ours():
    assert importlib.util.find_spec("mvc_hf.cli") is not None
    for name in ("cli", "plugins", "tests", "benchmarks", "scripts"):
        spec = importlib.util.find_spec(name)
        assert spec is None or "mvc" not in str(spec.origin)


def test_assets_are_package_data():
    folder = resources.files("mvc_hf") / "assets"
    for name in ("real.parquet", "test.parquet", "README.md", "LICENSES.txt", "base/model_index.json"):
        assert (folder / name).is_file(), name


# The first versions without the holes that setup.cfg names.
SAFE = {"diffusers": "0.42.1", "filelock": "4.2.1", "pillow": "13.0", "datasets": "5.2", "pyarrow": "23.0.1",
        "transformers": "5.3", "tqdm": "4.66.3", "torch": "2.11"}  # fmt: skip


@pytest.mark.parametrize(("name", "first"), SAFE.items())
def test_what_is_known_to_be_open_is_not_installed(name, first):
    from packaging.requirements import Requirement
    from packaging.version import Version

    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    needed = [Requirement(line) for line in parser["options"]["install_requires"].split()]
    (bound,) = [specifier for r in needed if r.name == name for specifier in r.specifier]
    assert bound.operator == ">=" and Version(bound.version) >= Version(first)
    assert Version(metadata.version(name)) in needed[[r.name for r in needed].index(name)].specifier


@pytest.mark.parametrize(("folder", "never"), [("mvc_hf", ("plugins", "cli")), ("plugins", ("cli",))])
def test_arrows_go_one_way(folder, never):
    """cli → plugins → mvc_hf: a file that imports upwards ties a knot."""
    for path in (ROOT / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                parts = {part for name in names for part in name.split(".")}
                assert not parts & set(never), f"{path.name} imports {parts & set(never)}"
