"""What a preview shows is what `generate` makes."""

import datasets
import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from mvc_hf.artifacts.checkpoint import load_captions
from mvc_hf.config.recipe import Recipe
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError, DivergedError, ModelError, MvcError, RecipeError
from mvc_hf.generation import generator as generating
from mvc_hf.generation import opening
from mvc_hf.generation.generate import generate
from mvc_hf.inspection import preview as module
from mvc_hf.inspection.preview import MAX_ROWS, preview
from mvc_hf.inspection.preview_options import MAX_SETTINGS
from mvc_hf.training.finetune import finetune

SETTINGS = "0,0 2,8 3,5 2,64"


@pytest.fixture
def recipe(photos):
    return Recipe(dataset=str(photos), num_inference_steps=3, batch_size=4, seed=5)


def change(recipe, **settings):
    return Recipe(**(recipe.to_dict() | settings))


def made(recipe, checkpoint, out, **settings):
    """Rows that `generate` makes, by address."""
    generate(change(recipe, images_per_class=3, **settings), checkpoint, out)
    found = datasets.load_dataset(str(out), split="train")
    return {(row["label"], row["index"]): row for row in found}


def difference(a, b):
    assert (a.size, a.mode) == (b.size, b.mode)
    return np.abs(np.asarray(a, int) - np.asarray(b, int)).max()


@pytest.mark.parametrize(
    "settings",
    [{}, {"image_guidance_scale": 1.5, "scheduler": "EulerAncestralDiscreteScheduler"}, {"image_size": 24}],
)
def test_columns_are_what_generate_makes(recipe, checkpoint, photos, tiny_base, tmp_path, settings):
    recipe = change(recipe, **settings)
    found = preview(
        change(recipe, base=str(tiny_base)), checkpoint, classes=["plum, apple"], rows=3, settings=SETTINGS
    )
    own = made(recipe, checkpoint, tmp_path / "own")
    others = made(recipe, checkpoint, tmp_path / "others", coarse=3, fine=5)
    plain = made(recipe, checkpoint, tmp_path / "plain", method="pretrained", base=str(tiny_base))
    source, captions = open_dataset(str(photos)), load_captions(checkpoint, ("apple", "pear", "plum")).captions
    assert found.settings == ((0, 0), (2, 8), (3, 5), (2, 64)) and found.own == 1
    assert [(row.class_name, row.label, row.index) for row in found.rows] == [
        *(("plum", 2, index) for index in range(3)), *(("apple", 0, index) for index in range(3))
    ]  # fmt: skip
    for row in found.rows:
        address = row.label, row.index
        assert row.caption == own[address]["prompt"] == plain[address]["prompt"]
        assert difference(row.condition, source.image(own[address]["condition"])) == 0
        assert difference(row.images[1], own[address]["image"]) <= 1
        assert difference(row.images[2], others[address]["image"]) <= 1
        assert difference(row.pretrained, plain[address]["image"]) <= 1
        mix = own[address]["mix"]
        given = {captions[copy["source"]] for copy in mix["coarse"] + mix["fine"]}
        assert {part.caption for part in row.mixtures[1].parts} <= given and row.mixtures[1].parts
        assert row.mixtures[0].parts == ()
    assert max(difference(row.images[0], row.images[3]) for row in found.rows) > 1  # or mixing did nothing here


def test_only_the_mix_differs_within_a_row(recipe, checkpoint, monkeypatch):
    seen, sample = [], generating.sample

    def watched(unet, scheduler, latents, prompt_embeds, null, image_latents, *args, **options):
        seen.append((latents.clone(), prompt_embeds.clone(), image_latents.clone()))
        return sample(unet, scheduler, latents, prompt_embeds, null, image_latents, *args, **options)

    monkeypatch.setattr(generating, "sample", watched)
    preview(recipe, checkpoint, classes=["2"], rows=3, settings="0,0 2,8 8,8", pretrained=False)
    assert [len(latents) for latents, _, _ in seen] == [4, 4, 4, 4, 2]  # batches reach over rows and settings
    latents, embeds, conditions = (torch.cat(parts).reshape(3, 6, -1) for parts in zip(*seen))
    for same in (latents, conditions):
        assert (same == same[0]).all() and len(same[0].unique(dim=0)) > 1
    assert all((embeds[a] != embeds[b]).any(1).all() for a, b in ((0, 1), (1, 2), (0, 2)))


def test_each_model_is_loaded_once_and_nothing_is_encoded_that_is_not_shown(
    recipe, checkpoint, tiny_base, monkeypatch, tmp_path
):
    loaded, images, load = [], [], opening.load_base

    def watched(name, variant=None):
        loaded.append(name)
        base = load(name, variant)
        encode = base.encode_images
        base.encode_images = lambda pixels: images.append(len(pixels)) or encode(pixels)
        return base

    monkeypatch.setattr(opening, "load_base", watched)
    monkeypatch.setenv("MVC_HF_CACHE", str(tmp_path / "cache"))
    preview(change(recipe, base=str(tiny_base)), checkpoint, classes=["3"], rows=1)
    assert loaded == [str(checkpoint), str(tiny_base)]
    assert sum(images) <= 3
    assert not (tmp_path / "cache").exists()


def test_images_that_cannot_be_read_are_left_out_as_generate_does(recipe, checkpoint, tmp_path, capsys):
    broken = tiny.image_folder(tmp_path / "photos", {"apple": 9, "pear": 3, "plum": 3})
    for number in (1, 4):
        (broken / "apple" / f"00{number}.png").write_bytes(b"no picture")
    recipe = change(recipe, dataset=str(broken))
    found = preview(recipe, checkpoint, classes=["apple"], rows=3, settings="2,8", pretrained=False)
    assert "skipped 2 of 9 images" in capsys.readouterr().err
    own = made(recipe, checkpoint, tmp_path / "own")
    source = open_dataset(str(broken))
    for row in found.rows:
        assert difference(row.condition, source.image(own[0, row.index]["condition"])) == 0
        assert difference(row.images[0], own[0, row.index]["image"]) <= 1


def test_grey_sources_and_single_captions(tiny_base, tmp_path):
    photos = tiny.image_folder(tmp_path / "grey", {"a": 4, "b": 4}, size=20, grey=True)
    settings = {"captions": "template:a photo of a {}", "train_batch_size": 4, "max_train_steps": 1}
    finetune(Recipe(dataset=str(photos), base=str(tiny_base), **settings), tmp_path / "checkpoint")
    recipe = Recipe(dataset=str(photos), base=str(tiny_base), num_inference_steps=2, mixed_precision="bf16")
    found = preview(recipe, tmp_path / "checkpoint", classes=["2"], rows=1)
    for row in found.rows:
        assert {(image.mode, image.size) for image in row.images} == {("L", (20, 20))}
        assert row.pretrained.mode == "RGB"
        assert all(mixture.parts == () and mixture.share == 0 for mixture in row.mixtures)
        assert max(difference(row.images[0], image) for image in row.images) <= 8  # bf16 rounds


def test_without_its_base_the_column_is_left_out(recipe, checkpoint, tiny_base, capsys, monkeypatch):
    found = preview(recipe, checkpoint, classes=["1"], rows=1, settings="0,0")
    said = [line for line in capsys.readouterr().err.splitlines() if "pretrained" in line]
    assert len(said) == 1 and "is left out: give --base:" in said[0] and "'tiny-base'" in said[0]
    assert found.rows[0].pretrained is None

    preview(recipe, checkpoint, classes=["1"], rows=1, settings="0,0", pretrained=False)
    assert "pretrained" not in capsys.readouterr().err
    monkeypatch.setattr(module, "load", None)  # found out before any model is loaded
    with pytest.raises(ModelError, match=r"no model at '\./none'"):
        preview(change(recipe, base="./none"), checkpoint, classes=["1"], rows=1)


def test_a_base_that_is_no_model_costs_only_its_column(recipe, checkpoint, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    found = preview(change(recipe, base=str(tmp_path / "empty")), checkpoint, classes=["1"], rows=1, settings="0,0")
    assert found.rows[0].pretrained is None and isinstance(found.rows[0].images[0], Image.Image)
    assert "is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"classes": ["appel"]}, RecipeError, "no class 'appel'; did you mean 'apple'"),
        ({"classes": ["APPLE"]}, RecipeError, "did you mean 'apple'"),
        ({"classes": ["zzz"]}, RecipeError, "the checkpoint has 'apple', 'pear', 'plum'"),
        ({"classes": ["0"]}, RecipeError, "--classes is 0"),
        ({"classes": [","]}, RecipeError, "--classes names none"),
        ({"classes": ["3"], "rows": MAX_ROWS}, RecipeError, f"a sheet has 1 to {MAX_ROWS}"),
        ({"rows": 0}, RecipeError, f"a sheet has 1 to {MAX_ROWS}"),
        ({"settings": "0,0 2,x"}, RecipeError, "--settings has '2,x': write pairs P,Q"),
        ({"settings": "0,0 2"}, RecipeError, "--settings has '2'"),
        ({"settings": "-1,2"}, RecipeError, "--settings has '-1,2'"),
        ({"settings": "5000,2"}, RecipeError, "--coarse is 5000; it must be at most"),
        ({"settings": " "}, RecipeError, f"--settings has 0 pairs: a sheet has 1 to {MAX_SETTINGS}"),
        ({"settings": " ".join(f"{p},0" for p in range(9))}, RecipeError, "--settings has 9 pairs"),
    ],
)
def test_bad_choices_are_found_before_a_model_is_loaded(recipe, checkpoint, monkeypatch, options, error, says):
    monkeypatch.setattr(module, "load", None)
    with pytest.raises(error, match=says) as caught:
        preview(recipe, checkpoint, **options)
    assert "\n" not in str(caught.value)


def test_other_mistakes(recipe, checkpoint, tiny_base, tmp_path):
    other = tiny.image_folder(tmp_path / "other", {"cat": 3, "dog": 3})
    with pytest.raises(
        DataError, match="checkpoint: it has 'cat', 'dog' besides and it lacks 'apple', 'pear', 'plum'"
    ):
        preview(change(recipe, dataset=str(other)), checkpoint, pretrained=False)
    with pytest.raises(RecipeError, match="give --dataset"):
        preview(change(recipe, dataset=""), checkpoint, pretrained=False)
    for model in (tiny_base, tmp_path / "none"):
        with pytest.raises(MvcError, match=r"mvc\.json"):
            preview(recipe, model)


def test_the_checkpoint_is_left_as_it_is(recipe, checkpoint):
    before = {path: path.stat().st_mtime_ns for path in checkpoint.rglob("*")}
    preview(recipe, checkpoint, classes=["1"], rows=1, settings="1,1", pretrained=False)
    assert before == {path: path.stat().st_mtime_ns for path in checkpoint.rglob("*")}


def test_what_is_not_finite_is_not_shown(recipe, checkpoint, broken_unet):
    with pytest.raises(DivergedError, match="the latents are not finite from denoising step 1 of 3 on"):
        preview(recipe, checkpoint, classes=["1"], rows=1, pretrained=False)
