"""Tests mirror the sources: those of a module lie in test_ and its name, at the same place below tests/mvc_hf."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = {"storage/layout.py"}  # names alone: there is nothing to test

# Modules that are tested through others, and have no file of their own yet. Only to be made shorter.
STILL_WITHOUT = {
    "captions/cache.py",
    "captions/caption.py",
    "captions/loading.py",
    "captions/prefetch.py",
    "captions/table.py",
    "captions/token_lengths.py",
    "config/stages/captions.py",
    "config/stages/data.py",
    "config/fields.py",
    "config/stages/finetuning.py",
    "config/stages/generating.py",
    "config/stages/mixing.py",
    "config/run_recipe.py",
    "data/base.py",
    "diffusion/banks/latents.py",
    "diffusion/banks/on_demand.py",
    "diffusion/saving.py",
    "diffusion/banks/text.py",
    "diffusion/unet.py",
    "generation/generator.py",
    "generation/inputs.py",
    "generation/request.py",
    "inspection/cost_table.py",
    "inspection/measuring.py",
    "inspection/preview_options.py",
    "methods/mvc.py",
    "methods/pretrained.py",
}


def sources() -> set[str]:
    paths = (path.relative_to(ROOT / "mvc_hf") for path in (ROOT / "mvc_hf").rglob("*.py"))
    return {path.as_posix() for path in paths if path.name != "__init__.py"} - DATA


def mirrored() -> set[str]:
    paths = (path.relative_to(ROOT / "tests" / "mvc_hf") for path in (ROOT / "tests" / "mvc_hf").rglob("test_*.py"))
    return {path.with_name(path.name.removeprefix("test_")).as_posix() for path in paths}


def test_every_module_has_a_test_file_at_the_mirrored_place():
    assert sources() - mirrored() - STILL_WITHOUT == set()


def test_the_table_of_those_without_is_no_longer_than_it_must_be():
    assert STILL_WITHOUT & mirrored() == set() and sources() >= STILL_WITHOUT
