"""What a plan counts is what the run comes to."""

import pytest
from PIL import Image
from sources import parquet, png

from mvc_hf.config.recipe import Recipe
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.data.groups import Groups
from mvc_hf.data.loading import open_for
from mvc_hf.diffusion.model import load_base
from mvc_hf.errors import DataError
from mvc_hf.inspection import estimate
from mvc_hf.inspection.estimate import plan
from mvc_hf.inspection.measuring import Sample
from mvc_hf.inspection.stage_costs import measure_finetuning, training_images
from mvc_hf.training.finetune import captioner_of, captions_of, finetune


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """40 and 9 pictures, of patients with four each; those of the last class are too few to keep any aside."""
    labels = ["healthy"] * 40 + ["ill"] * 9
    images = [{"bytes": png(3 * i), "path": None} for i in range(len(labels))]
    extra = {"patient": [f"p{i // 4}" for i in range(len(labels))]}
    return str(parquet(tmp_path_factory.mktemp("scans") / "scans.parquet", labels, images, extra=extra))


@pytest.mark.parametrize(
    "more", [{}, {"group_column": "patient"}, {"holdout_fraction": 0}, {"max_images_per_class": 20}]
)
def test_images_that_are_kept_aside_are_counted_as_the_run_does(scans, tiny_base, tmp_path, more):
    settings = {"holdout_fraction": 0.25, "group_column": None, "train_batch_size": 2, "max_train_steps": 1, **more}
    recipe = Recipe(dataset=scans, base=str(tiny_base), **settings)
    source = open_for(recipe)
    groups = Groups.of(source, recipe.group_column) if recipe.group_column else None
    table = captions_of(recipe, captioner_of(recipe), source)
    counted = training_images(recipe, load_base(str(tiny_base)), table, source, groups)
    notes = finetune(recipe, tmp_path / "out")
    assert counted == (notes.training["images"], notes.training["held_out"])
    assert bool(counted[1]) == bool(recipe.holdout_fraction)


def test_a_column_that_is_not_there_is_told_before_anything_is_measured(scans, tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "_measure", lambda *_: pytest.fail("measured"))
    settings = {"dataset": scans, "base": str(tiny_base), "output": str(tmp_path / "out"), "group_column": "doctor"}
    with pytest.raises(DataError, match="no column 'doctor'"):
        plan(RunRecipe.from_dict(settings))


@pytest.mark.parametrize(("fit", "size"), [("crop", (20, 20)), ("pad", (20, 10)), ("stretch", (20, 10))])
def test_pictures_are_planned_in_the_shape_that_they_will_have(tiny_base, tmp_path, monkeypatch, fit, size):
    for name in ("a", "b"):
        (tmp_path / "wide" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("L", (32, 16), 40 * i).save(tmp_path / "wide" / name / f"{i}.png")
    seen, measure = [], estimate.measure_generating
    monkeypatch.setattr(estimate, "measure_generating", lambda *a: seen.append(a[0]) or measure(*a))
    plan(RunRecipe.from_dict({
        "dataset": str(tmp_path / "wide"), "base": str(tiny_base), "output": str(tmp_path / "out"), "fit": fit,
        "image_size": 20, "images_per_class": 2, "max_train_steps": 1, "train_batch_size": 2,
        "num_inference_steps": 2,
    }))  # fmt: skip
    (generator,) = seen
    assert generator.size == size
    made = generator.finished(Image.new("RGB", (16, 16)))
    assert (made.size, made.mode) == (size, "L")


def test_of_adapters_what_is_trained_is_counted_and_generating_is_measured_without_them(scans, tiny_base, tmp_path):
    pytest.importorskip("peft")
    settings = {"lora_rank": 4, "train_batch_size": 2, "max_train_steps": 2, "checkpoints_total_limit": 1}
    recipe = Recipe(dataset=scans, base=str(tiny_base), **settings)
    source, model = open_for(recipe), load_base(str(tiny_base))
    table = captions_of(recipe, captioner_of(recipe), source)
    (tmp_path / "measured").mkdir()
    cost, _ = measure_finetuning(recipe, model, table, Sample.of(source), None, 16, tmp_path / "measured")
    assert not getattr(model.unet, "peft_config", None)
    finetune(recipe, tmp_path / "out")
    kept = sum(path.stat().st_size for path in (tmp_path / "out" / "checkpoints").rglob("*.safetensors"))
    assert cost.disk["training state"] == pytest.approx(kept, rel=0.2)
