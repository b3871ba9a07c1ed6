"""The embedded demo: its assets, and a short run of it."""

import json

import datasets
import numpy as np
import pytest

from mvc_hf.diffusion.model import load_base
from mvc_hf.errors import OutputError
from mvc_hf.storage import locks
from mvc_hf.workflows import demo as module
from mvc_hf.workflows.demo import assets, demo


def images_of(name):
    return datasets.load_dataset("parquet", data_files=str(assets() / f"{name}.parquet"), split="train")


def test_assets_are_small_and_safe():
    files = [path for path in assets().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20 * 2**20
    assert {p.suffix for p in files} <= {".json", ".safetensors", ".parquet", ".csv", ".md", ".txt"}


@pytest.mark.parametrize(("name", "rows"), [("real", 200), ("test", 2000)])
def test_images_are_the_untouched_originals(name, rows):
    found = images_of(name)
    assert len(found) == rows
    assert found.features["label"].names[0] == "T-shirt/top"
    assert {(image.mode, image.size) for image in found["image"][:100]} == {("L", (28, 28))}
    if name == "real":
        assert np.bincount(found["label"]).tolist() == [20] * 10


def test_captions_vary_within_a_class():
    found = images_of("real")
    for label in range(10):
        captions = {c for c, y in zip(found["caption"], found["label"]) if y == label}
        assert len(captions) >= 15


def test_base_is_in_the_layout_of_stable_diffusion():
    import diffusers

    base = load_base(str(assets() / "base"))
    assert base.resolution == 32 and base.unet.config.in_channels == 12
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


@pytest.mark.parametrize("name", ["thesis.tex", "checkpoint", "results.json", "demo.json"])
def test_a_folder_that_is_not_the_demos_is_refused(tmp_path, name):
    (tmp_path / name).write_text('{"made_by": "me"}')
    with pytest.raises(OutputError, match=f"holds '{name}' and is not the demo's"):
        demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("damage", [b"", b"\xff\x00", b"[]"])
def test_the_demo_knows_its_folder_again_without_its_marker(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(module, "_run", lambda out: (out / "checkpoint").mkdir(exist_ok=True))
    demo(tmp_path / "out")
    (tmp_path / "out" / "demo.json").write_bytes(damage)
    demo(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["checkpoint", "demo.json"]


def test_a_second_demo_in_the_same_folder_is_told_of_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with locks.locked_folder(tmp_path), pytest.raises(OutputError, match="another mvc-hf"):
        demo(tmp_path)


def test_a_demo_into_a_file(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="is a file: choose a folder"):
        demo(tmp_path / "out")
