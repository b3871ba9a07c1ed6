"""What an installation brings, and what it keeps out of the user's namespace."""

import configparser
import email
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
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
    needed = [Requirement(line) for line in parser["options"]["install_requires"].strip().splitlines()]
    newest = {"python_version": "3.11"}
    (bound,) = [
        s for r in needed if r.name == name and (not r.marker or r.marker.evaluate(newest)) for s in r.specifier
    ]
    assert bound.operator == ">=" and Version(bound.version) >= Version(first)
    here = [r for r in needed if r.name == name and (not r.marker or r.marker.evaluate())]
    assert len(here) == 1 and Version(metadata.version(name)) in here[0].specifier


def modules():
    """Every module of the repository, by the name under which it is installed."""
    for folder, prefix in (("mvc_hf", "mvc_hf"), ("cli", "mvc_hf.cli"), ("plugins", "mvc_hf.plugins")):
        for path in (ROOT / folder).rglob("*.py"):
            yield ".".join([prefix, *path.relative_to(ROOT / folder).with_suffix("").parts]).removesuffix(".__init__")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The content of a wheel, built from a copy of the sources."""
    place = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "docs", "benchmarks")
    shutil.copytree(ROOT, place / "source", ignore=ignored, symlinks=True)
    code = f"import setuptools.build_meta as build; build.build_wheel({str(place)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=place / "source", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = place.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(place / "site")
    return place / "site"


def test_a_wheel_holds_every_module_and_each_can_be_imported(installed, tmp_path):
    expected = sorted(modules())
    assert len(expected) > 100
    code = f"""import importlib
for name in {expected!r}:
    if not name.endswith("__main__"):
        module = importlib.import_module(name)
        assert module.__file__.startswith({str(installed)!r}), module.__file__"""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    run = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", code], **run)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_wheel_holds_what_the_code_reads(installed):
    for name in ("assets/real.parquet", "assets/base/model_index.json", "model_card_template.md", "py.typed"):
        assert (installed / "mvc_hf" / name).stat().st_size or name == "py.typed"
    assert not {path.name for path in installed.iterdir()} - {"mvc_hf", f"mvc_hf-{mvc_hf.__version__}.dist-info"}


def about(installed):
    """What the wheel says of itself."""
    folder = installed / f"mvc_hf-{mvc_hf.__version__}.dist-info"
    return email.message_from_string((folder / "METADATA").read_text(encoding="utf-8"))


def test_a_wheel_says_whose_it_is_and_on_which_terms(installed):
    found = about(installed)
    assert found["License-Expression"] == "Apache-2.0" and found["Author"] == "The mvc_hf contributors"
    assert found.get_all("Project-URL") == ["Paper, https://arxiv.org/abs/2412.15358"]
    assert not [line for line in found.get_all("Classifier") if line.startswith("License")]
    assert {"heic", "report", "test", "dev"} <= set(found.get_all("Provides-Extra"))


def test_the_description_of_a_wheel_leads_nowhere_that_is_not_there(installed):
    """It is read outside of the repository, where relative links lead to nothing."""
    text = about(installed).get_payload()
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links and all(link.startswith("https://") for link in links)
    assert "## On your own images" in text and "docs/training.md" in text and "contact_sheet.png" not in text


def test_a_wheel_brings_the_recipes_and_commands_find_them(installed, tmp_path):
    names = sorted(path.name for path in (ROOT / "recipes").glob("*.yaml"))
    assert sorted(path.name for path in (installed / "mvc_hf" / "recipes").glob("*.yaml")) == names
    code = "from mvc_hf import RunRecipe; print(RunRecipe.load('recipes/cifar10.yaml').recipe.dataset)"
    run = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(installed)}, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", code], **run)
    assert done.returncode == 0 and "cifar10" in done.stdout, done.stderr[-2000:]
