"""The embedded demo: its assets, and a short run of it."""

import json

import datasets
import numpy as np
import pytest

from mvc_hf import demo as module
from mvc_hf.demo import assets, demo
from mvc_hf.diffusion import load_base


def images_of(name):
    return datasets.load_dataset("parquet", data_files=str(assets() / f"{name}.parquet"), split="train")


def test_assets_are_small_and_safe():
    files = [path for path in assets().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20 * 2**20
    assert {p.suffix for p in files} <= {".json", ".safetensors", ".parquet", ".csv", ".md", ".txt"}


@pytest.mark.parametrize(("name", "rows"), [("real", 1000), ("test", 2000)])
def test_images_are_the_untouched_originals(name, rows):
    found = images_of(name)
    assert len(found) == rows
    assert found.features["label"].names[0] == "T-shirt/top"
    assert {(image.mode, image.size) for image in found["image"][:100]} == {("L", (28, 28))}
    if name == "real":
        assert np.bincount(found["label"]).tolist() == [100] * 10


def test_captions_vary_within_a_class():
    found = images_of("real")
    for label in range(10):
        captions = {c for c, y in zip(found["caption"], found["label"]) if y == label}
        assert len(captions) >= 50


def test_base_is_in_the_layout_of_stable_diffusion():
    import diffusers

    base = load_base(str(assets() / "base"))
    assert base.resolution == 32 and base.unet.config.in_channels == 4
    assert base.tokenizer.model_max_length == 77
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(assets() / "base")
    assert pipeline.scheduler.config.prediction_type == "epsilon"


def test_a_short_run_leaves_everything_and_goes_on(tmp_path, monkeypatch):
    """The same code as the demo, with few steps and images."""
    monkeypatch.setitem(module.FINETUNING, "max_train_steps", 2)
    monkeypatch.setitem(module.GENERATING, "images_per_class", 2)
    monkeypatch.setitem(module.GENERATING, "num_inference_steps", 2)
    demo(tmp_path / "demo")
    first = {p: p.stat().st_mtime_ns for p in (tmp_path / "demo").rglob("*.parquet")}
    assert (tmp_path / "demo" / "contact_sheet.png").exists()
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert results["images"] == 20 and results["training"]["steps"] == 2
    found = datasets.load_dataset(str(tmp_path / "demo" / "synthetic"), split="train")
    assert len(found) == 20 and found[0]["image"].size == (28, 28) and found[0]["image"].mode == "L"
    demo(tmp_path / "demo")
    assert first == {p: p.stat().st_mtime_ns for p in (tmp_path / "demo").rglob("*.parquet")}
