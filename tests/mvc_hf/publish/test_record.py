"""mvc.yaml beside a checkpoint: a recipe that others can use, and nothing local in it. And the losses as numbers."""

import dataclasses

import pytest
import yaml
from pushable import pushable_checkpoint

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.errors import OutputError
from mvc_hf.publish.record import recipe_file, training_log, write_recipe

HEAD = "step,loss,lr,held_out_loss,seen_loss"  # of training_log.csv
COMMIT = "a" * 40


def with_recipe(folder, source="org/photos", base="org/base", **settings):
    pushable_checkpoint(folder)
    known = CheckpointMetadata.load(folder)
    origins = {
        name: {"name": where, "revision": COMMIT if "/" in where else None, "fingerprint": "f"}
        for name, where in (("source", source), ("base", base))
    }
    dataclasses.replace(known, recipe=settings, **origins).save(folder)
    return folder


def test_of_the_hub_it_names_data_and_base_at_their_commits(tmp_path):
    folder = with_recipe(tmp_path / "m", "org/photos:small", coarse=3, learning_rate=1e-05, window=None)
    data = recipe_file(folder)
    found = RunRecipe.from_dict(yaml.safe_load(data))
    assert (found.recipe.dataset, found.recipe.base) == (f"org/photos:small@{COMMIT}", f"org/base@{COMMIT}")
    assert (found.recipe.coarse, found.recipe.learning_rate) == (3, 1e-05)
    assert recipe_file(folder) == data and "window" not in data.decode()


@pytest.mark.parametrize(
    "local",
    [
        {"source": "photos", "base": "my-base", "captions": "mine.parquet"},
        {"source": "photos", "base": "my-base", "captions": "/home/ann/mine.csv", "caption_model": "/models/blip"},
        {"source": "/home/ann/photos", "base": "/home/ann/base", "captions": "../mine.jsonl"},
    ],
)
def test_what_is_local_is_left_out(tmp_path, local):
    values = yaml.safe_load(recipe_file(with_recipe(tmp_path / "m", **local, seed=5)))
    assert values == {"seed": 5}


def test_words_that_are_no_places_stay(tmp_path):
    kept = {"captions": "blip2", "caption_model": f"org/blip@{COMMIT}", "label_column": "class: 'x'"}
    values = yaml.safe_load(recipe_file(with_recipe(tmp_path / "m", "torchvision:CIFAR10", **kept)))
    assert values == {**kept, "dataset": "torchvision:CIFAR10", "base": f"org/base@{COMMIT}"}


def test_what_a_run_generates_with_goes_along_and_nothing_else_of_the_file(tmp_path):
    folder = with_recipe(tmp_path / "m", "photos", "my-base", coarse=3)
    recipe = Recipe(dataset="/home/ann/photos", coarse=9, guidance_scale=2.0, images_per_class=50)
    write_recipe(folder, recipe)
    values = yaml.safe_load((folder / "mvc.yaml").read_text())
    assert (values["guidance_scale"], values["images_per_class"], values["coarse"]) == (2.0, 50, 3)
    assert "dataset" not in values
    published = recipe_file(folder)
    assert published == (folder / "mvc.yaml").read_bytes()
    text = published.decode() + "dataset: /home/ann/photos\noutput: /home/ann/run\nmodel: /home/ann/other\n"
    (folder / "mvc.yaml").write_text(text)
    assert recipe_file(folder) == published


@pytest.mark.parametrize("wrong", [{"coarse": "many"}, {"unheard_of": 1}])
def test_a_record_that_is_no_recipe_is_not_published(tmp_path, wrong, capsys):
    folder = with_recipe(tmp_path / "m", **wrong)
    assert recipe_file(folder) is None
    assert "note: the recipe is not published: " in capsys.readouterr().err


def test_a_file_that_is_no_recipe_is_not_sent(tmp_path, capsys):
    folder = with_recipe(tmp_path / "m")
    (folder / "mvc.yaml").write_text("secret: 5\n")
    assert recipe_file(folder) is None and "unknown setting 'secret'" in capsys.readouterr().err


def test_whole_rows_of_numbers_go_and_nothing_else(tmp_path):
    rows = [HEAD, "1,0.5,1e-5,,", "2,0.4,1e-5,0.6,0.5", "3,secret,1e-5,,", "4,nan,1,,", "a note", "5,0.3", "\0"]
    (tmp_path / "training_log.csv").write_text("\n".join(rows))
    found = training_log(tmp_path).decode().split()
    assert found == [HEAD, "1,0.5,1e-5,,", "2,0.4,1e-5,0.6,0.5"]


@pytest.mark.parametrize("text", ["", "hello", "a,b\n1,2", HEAD, "step,<script>\n1,2"])
def test_what_is_no_log_does_not_go(tmp_path, text):
    (tmp_path / "training_log.csv").write_text(text)
    assert training_log(tmp_path) is None


def test_without_one_there_is_none_and_links_are_refused(tmp_path):
    assert training_log(tmp_path) is None
    (tmp_path / "secret.csv").write_text(f"{HEAD}\n1,0.5,1,,\n")
    (tmp_path / "training_log.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(OutputError, match="a link"):
        training_log(tmp_path)
