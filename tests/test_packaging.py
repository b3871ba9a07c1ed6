"""What an installation brings, and what it keeps out of the user's namespace."""

import ast
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


@pytest.mark.parametrize(("folder", "never"), [("mvc_hf", ("plugins", "cli")), ("plugins", ("cli",))])
def test_arrows_go_one_way(folder, never):
    """cli → plugins → mvc_hf: a file that imports upwards ties a knot."""
    for path in (ROOT / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                parts = {part for name in names for part in name.split(".")}
                assert not parts & set(never), f"{path.name} imports {parts & set(never)}"
