"""The public interface: sorted, lazy, typed, and no wider than it is meant to be."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import mvc_hf

ERRORS = ["DataError", "HostError", "ModelError", "MvcError", "OutputError", "RecipeError", "Stopped"]
SETTINGS = ["AssessSettings", "ExportSettings", "Recipe", "RunRecipe"]
FUNCTIONS = [
    "assess",
    "caption",
    "export",
    "finetune",
    "generate",
    "mix_datasets",
    "open_dataset",
    "preview",
    "push",
    "replay",
    "run",
]
PUBLIC = sorted([*ERRORS, *SETTINGS, *FUNCTIONS, "mixing"])
HEAVY = ("torch", "diffusers", "transformers", "datasets", "timm", "numpy", "PIL", "huggingface_hub", "yaml")


def test_what_is_exported():
    assert mvc_hf.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(mvc_hf))


def test_every_name_is_there_and_is_what_its_module_defines():
    for name in PUBLIC:
        value = getattr(mvc_hf, name)
        if name != "mixing":
            assert value.__name__ == name and value.__module__.startswith("mvc_hf."), name
            assert value is getattr(importlib.import_module(value.__module__), name)
            assert value.__doc__, f"{name} has no docstring"


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(mvc_hf.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = [alias.asname for node in block.body for alias in node.names]
    assert sorted(seen) == PUBLIC
    assert (Path(mvc_hf.__file__).parent / "py.typed").exists()


def test_importing_it_imports_nothing_else():
    code = f"import sys, mvc_hf; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_that_is_not_there():
    assert not hasattr(mvc_hf, "finetuned")
