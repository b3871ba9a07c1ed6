"""load_dataset("mvc", ...): the rows of mvc-hf generate, in the cache of datasets or as a stream."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
import yaml
from datasets import load_dataset
from hub_server import connect

from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import DivergedError, MvcError, RecipeError
from mvc_hf.generation.generate import generate
from mvc_hf.generation.generator import Generator
from mvc_hf.plugins.datasets_builder import register
from mvc_hf.training.finetune import finetune

GENERATING = {"images_per_class": 4, "num_inference_steps": 2, "batch_size": 4, "shard_size": 5}


@pytest.fixture
def recipe(checkpoint, photos, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"model": str(checkpoint), "dataset": str(photos), **GENERATING}))
    return path


@pytest.fixture
def made(monkeypatch):
    """Sizes of the batches that were made."""
    sizes, rows = [], Generator.rows
    monkeypatch.setattr(Generator, "rows", lambda self, *a: sizes.append(len(a[0])) or rows(self, *a))
    return sizes


def load(recipe, **options):
    return load_dataset("mvc", data_files=str(recipe), split="train", **options)


def rows(split):
    return [
        {**row, "image": row["image"]["bytes"]} for row in split.cast_column("image", datasets.Image(decode=False))
    ]


# What comes


def test_the_rows_of_generate(recipe, checkpoint, photos, tmp_path, made):
    found = load(recipe)
    assert made == [4, 1, 4, 1, 2]  # no batch reaches over a shard
    generate(Recipe(dataset=str(photos), **GENERATING), checkpoint, tmp_path / "out")
    theirs = load_dataset(str(tmp_path / "out"), split="train")
    assert found.features == theirs.features
    assert rows(found) == rows(theirs)  # bit for bit
    assert found[1]["image"].size == (16, 16) and found.features["label"].int2str(found[1]["label"]) == "pear"


def test_the_second_call_reads_the_cache(recipe, made):
    first = load(recipe)
    made.clear()
    assert rows(load(recipe)) == rows(first) and made == []
    recipe.write_text("# another word on it\n" + recipe.read_text())
    load(recipe, seed=0)  # says what the file means
    load(recipe, batch_size=4)
    assert made == []


@pytest.mark.parametrize("given", [{"seed": 1}, {"images_per_class": 2}, {"guidance_scale": 1.0}, {"coarse": 0}])
def test_other_settings_are_another_entry(recipe, made, given):
    first = load(recipe)
    made.clear()
    second = load(recipe, **given)
    assert made and rows(second) != rows(first)
    assert rows(load(recipe)) == rows(first)


def test_how_many(recipe, made):
    recipe.write_text(recipe.read_text().replace("images_per_class: 4", "total: 9\nbalance: true"))
    found = load(recipe)
    assert len(found) == 9 and set(found["label"]) == {2}  # plums are rare
    assert len(load(recipe, total=4)) == 4
    assert len(load(recipe, images_per_class=2)) == 6
    assert len(load(recipe, per_image=1)) == 27


def test_what_the_file_says_now(recipe, made):
    load(recipe)
    about = os.stat(recipe)
    recipe.write_text(recipe.read_text().replace("images_per_class: 4", "images_per_class: 3"))
    os.utime(recipe, ns=(about.st_atime_ns, about.st_mtime_ns))  # not even its time tells
    assert len(load(recipe)) == 9


def test_another_checkpoint_is_another_entry(recipe, photos, tiny_base, tmp_path, made):
    load(recipe)
    made.clear()
    settings = {"train_batch_size": 4, "max_train_steps": 1}
    finetune(Recipe(dataset=str(photos), base=str(tiny_base), **settings), tmp_path / "other")
    load(recipe, model=str(tmp_path / "other"))
    assert sum(made) == 12


def test_other_images_are_another_entry(recipe, photos, tmp_path, made):
    shutil.copytree(photos, tmp_path / "photos")  # with the times of the files
    load(recipe)
    made.clear()
    load(recipe, dataset=str(tmp_path / "photos"))
    assert made == []
    os.utime(tmp_path / "photos" / "apple" / "000.png")
    load(recipe, dataset=str(tmp_path / "photos"))
    assert sum(made) == 12


def test_a_stream_comes_as_it_is_made(recipe, made):
    stream = iter(load(recipe, streaming=True))
    first = next(stream)
    assert made == [4, 1]  # a batch comes when the one after it has been sampled
    assert first["image"].size == (16, 16) and first["label"] == 0
    rest = list(stream)
    assert len(rest) == 11 and sum(made) == 12
    made.clear()
    assert [row["mix"] for row in load(recipe)] == [row["mix"] for row in [first, *rest]]


def test_streams_travel_to_workers(recipe):
    stream = pickle.loads(pickle.dumps(load(recipe, streaming=True)))  # noqa: S301 (our own)
    assert len(list(stream)) == 12


def test_the_untouched_base(recipe, tiny_base):
    found = load(recipe, method="pretrained", base=str(tiny_base))
    assert set(found["method"]) == {"pretrained"} and set(found["condition"]) == {None}


def test_other_splits(recipe):
    found = load_dataset("mvc", data_files={"synthetic": str(recipe)})
    assert list(found) == ["synthetic"] and len(found["synthetic"]) == 12


def test_own_features(recipe, made):
    plain = datasets.Features({**load(recipe).features, "label": datasets.Value("int64")})
    assert load(recipe, features=plain).features["label"] == datasets.Value("int64")


def test_the_example_of_the_docs(recipe, monkeypatch, capsys):
    monkeypatch.chdir(recipe.parent)
    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    exec(text.partition("```python\n")[2].partition("```")[0], {})
    assert "['apple', 'pear', 'plum'] This is an image of apple." in capsys.readouterr().out


# Where the checkpoint is


def test_a_recipe_in_the_folder_of_its_checkpoint(checkpoint, photos, tmp_path, made):
    shutil.copytree(checkpoint, tmp_path / "checkpoint")
    path = tmp_path / "checkpoint" / "mvc.yaml"
    path.write_text(yaml.safe_dump({"dataset": str(photos), **GENERATING}))
    assert len(load(path)) == 12


def test_a_recipe_that_has_been_run(checkpoint, photos, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "run" / "checkpoint")
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"dataset": str(photos), "output": str(tmp_path / "run"), **GENERATING}))
    assert len(load(path)) == 12


@pytest.mark.parametrize("revision", ["", "@v1"])
def test_the_recipe_that_push_leaves_beside_its_checkpoint_on_the_hub(
    local_hub, recipe, checkpoint, photos, tmp_path, monkeypatch, made, revision
):
    """docs/recipes.md: what was made on this machine is loaded where there is nothing but the Hub and real images."""
    from mvc_hf.publish.push import push

    connect(local_hub, tmp_path / "home", monkeypatch)
    push(checkpoint, "ann/flowers", tag="v1")
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", local_hub.url)
    there = load_dataset(
        "mvc",
        data_files=f"hf://ann/flowers{revision}/mvc.yaml",
        split="train",
        dataset=str(photos),
        **GENERATING,
    )
    made.clear()
    assert rows(there) == rows(load(recipe)) and made == []  # the same checkpoint and settings: the same entry


# What is refused


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"images_per_clas": 3}, "unknown setting 'images_per_clas'; did you mean 'images_per_class'?"),
        ({"images_per_class": 0}, "--images-per-class is 0; it must be at least 1"),
        ({"model": "./none"}, "mvc.json"),
        ({"dataset": "./none"}, "no such folder or file: './none'"),
        ({"scheduler": "Nonsense"}, "Nonsense"),
        ({"num_proc": 2}, "num_proc=2: load_dataset('mvc', ...) generates in one process; for several GPUs run"),
    ],
)
def test_bad_arguments(recipe, given, says, made):
    with pytest.raises(MvcError) as error:
        load(recipe, **given)
    assert says in str(error.value) and "\n" not in str(error.value) and made == []


def test_num_proc_of_one(recipe):
    assert len(load(recipe, num_proc=1)) == 12


def test_bad_files(recipe, checkpoint, tmp_path):
    (tmp_path / "a.yaml").write_text("imags_per_class: 3")
    with pytest.raises(RecipeError, match="did you mean 'images_per_class'"):
        load(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("images_per_class: 3")
    with pytest.raises(RecipeError, match=r"no checkpoint: .*b\.yaml names no model and does not lie beside one"):
        load(tmp_path / "b.yaml")
    with pytest.raises(RecipeError, match="3 files are given; give one recipe"):
        load_dataset("mvc", data_files=str(tmp_path / "*.yaml"))


def test_without_a_recipe_nothing_is_searched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.load.get_data_patterns", lambda *_, **__: pytest.fail("searched"))
    with pytest.raises(RecipeError, match=r"load_dataset\('mvc', data_files='recipe\.yaml'\)"):
        load_dataset("mvc")


def test_a_failure_in_the_middle_leaves_no_entry(recipe, made, monkeypatch):
    rows_of = Generator.rows

    def fails(self, *address):
        if len(made) == 2:
            raise MvcError("no more")
        return rows_of(self, *address)

    with monkeypatch.context() as patch, pytest.raises(MvcError, match="no more"):
        patch.setattr(Generator, "rows", fails)
        load(recipe)
    assert len(load(recipe)) == 12


# How datasets comes to know it


def test_importing_the_package_changes_nothing_for_others():
    code = """import sys; before = list(sys.meta_path)
import mvc_hf
assert sys.meta_path == before and "datasets" not in sys.modules
import datasets
assert "mvc" not in datasets.packaged_modules._PACKAGED_DATASETS_MODULES"""
    done = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("first", ["import datasets; ", ""], ids=["theirs first", "ours first"])
def test_importing_the_builder_makes_the_name_known(first):
    code = f"""{first}import mvc_hf.plugins.datasets_builder as builder
import datasets, inspect
table = datasets.packaged_modules._PACKAGED_DATASETS_MODULES
assert table["mvc"] == ("mvc_hf.plugins.datasets_builder", "mvc_hf-1")
known = dict(table); builder.register(); assert table == known
assert inspect.getsource(datasets.load_dataset)"""
    done = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_datasets_that_has_no_such_table(monkeypatch):
    monkeypatch.delattr(datasets.packaged_modules, "_PACKAGED_DATASETS_MODULES")
    with pytest.warns(UserWarning, match=r"load_dataset\('mvc', \.\.\.\) is not there; `mvc-hf generate` makes"):
        register()


@pytest.mark.parametrize("streaming", [False, True])
def test_what_is_not_finite_is_no_row(recipe, broken_unet, streaming):
    with pytest.raises(DivergedError, match="the latents are not finite from denoising step 1 of"):
        list(load(recipe, streaming=streaming))
