"""A synthetic split as others ask for it: which checkpoint, which settings, and what decides the rows."""

import os
import shutil

import pytest
import yaml

from mvc_hf.config.files import LARGEST
from mvc_hf.errors import RecipeError
from mvc_hf.generation.request import GenerationRequest, _files_key, _place_of


@pytest.mark.parametrize(
    ("file", "model"),
    [
        ("hf://org/name/mvc.yaml", "org/name"),
        ("hf://org/name@v1/sub/mvc.yaml", "org/name@v1"),
        ("hf://org/name@refs%2Fpr%2F1/mvc.yaml", "org/name@refs/pr/1"),
    ],
)
def test_the_repository_that_a_recipe_lies_in(file, model):
    assert _place_of(file) == model


@pytest.mark.parametrize("file", ["hf://datasets/org/name@v1/mvc.yaml", "https://example.org/mvc.yaml"])
def test_places_that_hold_no_checkpoint(file):
    with pytest.raises(RecipeError, match="no checkpoint"):
        _place_of(file)


def test_a_recipe_as_data_files_is_read_as_carefully(tmp_path):
    """`load_dataset("mvc", data_files=...)`"""
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(RecipeError, match="no regular file"):
        GenerationRequest.of(str(tmp_path / "pipe.yaml"), {})
    with pytest.raises(RecipeError, match="cannot read the recipe none://x"):
        GenerationRequest.of("none://x", {})
    with pytest.raises(RecipeError, match="more than 1,048,576 bytes"):
        import fsspec

        with fsspec.open("memory://large.yaml", "wb") as file:
            file.write(b"#" * (LARGEST + 1))
        GenerationRequest.of("memory://large.yaml", {})


@pytest.fixture
def recipe(checkpoint, photos, tmp_path):
    return written(tmp_path / "recipe.yaml", model=str(checkpoint), dataset=str(photos), num_inference_steps=2)


def written(path, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(settings))
    return path


def of(path, **given):
    return GenerationRequest.of(str(path), given)


def test_a_request_knows_what_decides_its_rows_before_any_is_made(recipe, checkpoint, monkeypatch):
    monkeypatch.setattr("mvc_hf.generation.opening.load_base", lambda *_: pytest.fail("loaded"))
    found = of(recipe)
    assert found.model == str(checkpoint) and found.class_names == ("apple", "pear", "plum")
    assert found.recipe.images_per_class == 100 and not found.grouped
    assert of(recipe, images_per_class=100).key == found.key == of(recipe, batch_size=3).key
    others = [
        of(recipe, **more).key for more in ({"seed": 1}, {"total": 9}, {"coarse": 0}, {"scheduler": "DDIMScheduler"})
    ]
    assert len({found.key, *others}) == 5


def test_whatever_says_how_many_replaces_what_the_file_says(recipe, checkpoint, photos, tmp_path):
    file = written(tmp_path / "b.yaml", model=str(checkpoint), dataset=str(photos), total=9, balance=True)
    assert (of(file).recipe.total, of(file).recipe.balance) == (9, True)
    found = of(file, images_per_class=2).recipe
    assert (found.images_per_class, found.total, found.balance) == (2, None, False)
    assert (of(file, total=4).recipe.total, of(file, total=4).recipe.balance) == (4, True)


def test_the_checkpoint_is_the_one_given_the_run_s_own_or_the_one_beside_the_file(checkpoint, photos, tmp_path):
    inside = shutil.copytree(checkpoint, tmp_path / "run" / "checkpoint")
    beside = written(inside / "mvc.yaml", dataset=str(photos))
    ran = written(tmp_path / "recipe.yaml", dataset=str(photos), output=str(tmp_path / "run"))
    assert of(beside).model == str(inside) == of(ran).model
    assert of(beside, model=str(checkpoint)).model == str(checkpoint)
    alone = written(tmp_path / "alone.yaml", dataset=str(photos))
    with pytest.raises(RecipeError, match="names no model and does not lie beside one"):
        of(alone)


def test_changed_images_are_another_data_set_and_a_copy_is_not(recipe, photos, tmp_path):
    copy = shutil.copytree(photos, tmp_path / "copy")
    assert of(recipe, dataset=str(copy)).key == of(recipe).key  # names, sizes and times are the same
    os.utime(copy / "pear" / "000.png")
    assert of(recipe, dataset=str(copy)).key != of(recipe).key


def test_links_in_circles_are_walked_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"x")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    one, two = _files_key(str(tmp_path)), _files_key(str(tmp_path), follow_symlinks=True)
    assert one and two and _files_key("org/photos") is None
    (tmp_path / "a" / "y.png").symlink_to("nowhere")
    assert _files_key(str(tmp_path)) != one


def test_rows_come_shard_by_shard_as_generate_makes_them(recipe):
    found = [
        (shard, number, row["label"], row["index"])
        for shard, number, row in of(recipe, images_per_class=2, shard_size=4, batch_size=3).rows()
    ]
    assert [(shard, number) for shard, number, *_ in found] == [(i // 4, i) for i in range(6)]
    assert [(label, index) for *_, label, index in found] == [(i % 3, i // 3) for i in range(6)]
