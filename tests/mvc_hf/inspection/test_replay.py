"""A row again, from its columns and the checkpoint; and that what is not the row is told."""

import io
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
from hub_server import connect
from PIL import Image

from mvc_hf import cli
from mvc_hf.artifacts.rows import find_row
from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import DataError, ModelError, RecipeError
from mvc_hf.generation.generate import generate
from mvc_hf.inspection.replay import replay
from mvc_hf.training.finetune import finetune

GENERATING = {"images_per_class": 4, "num_inference_steps": 3, "batch_size": 4, "shard_size": 5}


@pytest.fixture(scope="module")
def made(photos, checkpoint, tmp_path_factory):
    """A folder with checkpoint/ and synthetic/."""
    out = tmp_path_factory.mktemp("made")
    shutil.copytree(checkpoint, out / "checkpoint")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVC_HF_CACHE", str(out / "cache"))
        generate(Recipe(dataset=str(photos), **GENERATING), out / "checkpoint", out / "synthetic")
    return out


def changed(made, tmp_path, number, **columns):
    """A copy of the data set in which a row says something else."""
    shutil.copytree(made / "synthetic", tmp_path / "synthetic")
    path = sorted((tmp_path / "synthetic" / "data").iterdir())[number // 5]
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[number % 5] |= columns
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    return tmp_path / "synthetic"


def again(dataset, made, photos, number, **options):
    return replay(str(dataset), number, model=str(made / "checkpoint"), condition_data=str(photos), **options)


@pytest.mark.parametrize("number", [0, 4, 5, 11])
def test_every_row_comes_again(made, photos, number):
    found = again(made / "synthetic", made, photos, number)
    assert found.matches and found.plan == {} and found.largest <= 1
    assert (found.row["label"], found.row["index"]) == (number % 3, number // 3)
    assert found.image.size == (16, 16)


def test_nothing_more_than_needed_is_encoded(made, photos, monkeypatch):
    from mvc_hf.diffusion.model import StableDiffusion

    texts, images = [], []
    text, image = StableDiffusion.encode_text, StableDiffusion.encode_images
    monkeypatch.setattr("mvc_hf.diffusion.model.try_out", lambda *_: None)  # it encodes a little of its own
    monkeypatch.setattr(StableDiffusion, "encode_text", lambda self, t: texts.extend(t) or text(self, t))
    monkeypatch.setattr(StableDiffusion, "encode_images", lambda self, p: images.extend(p) or image(self, p))
    again(made / "synthetic", made, photos, 3)
    assert len(images) == 1 and len(texts) <= 8 + 1


@pytest.mark.parametrize(
    "settings",
    [
        {"image_size": 24, "seed": 5},
        {"guidance_scale": 2.0, "image_guidance_scale": 1.5},
        {"scheduler": "EulerAncestralDiscreteScheduler"},
        {"guidance_start": 0.3, "guidance_stop": 0.7},
        {"coarse": 0, "fine": 0},
        {"method": "pretrained"},
    ],
)
def test_the_settings_come_from_the_data_set(made, photos, tiny_base, tmp_path, settings):
    base = {"base": str(tiny_base)} if settings.get("method") else {}
    recipe = Recipe(dataset=str(photos), **GENERATING | settings | base)
    generate(recipe, made / "checkpoint", tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()  # the shards know it by themselves
    found = again(tmp_path / "out", made, photos, 7, **base)
    assert found.matches and found.largest <= 1, str(found)


def test_grey_images(tiny_base, tmp_path):
    photos = tiny.image_folder(tmp_path / "grey", {"a": 5, "b": 5}, size=20, grey=True)
    recipe = Recipe(dataset=str(photos), base=str(tiny_base), train_batch_size=4, max_train_steps=1, **GENERATING)
    finetune(recipe, tmp_path / "checkpoint")
    generate(recipe, tmp_path / "checkpoint", tmp_path / "out")
    found = replay(str(tmp_path / "out"), 1, condition_data=str(photos))
    assert found.matches and found.image.mode == "L" and found.image.size == (20, 20)


def test_broken_images_are_drawn_neither_time(tiny_base, tmp_path):
    photos = tiny.image_folder(tmp_path / "photos", {"a": 4, "b": 4})
    (photos / "a" / "001.png").write_bytes(b"broken")
    recipe = Recipe(dataset=str(photos), base=str(tiny_base), train_batch_size=4, max_train_steps=1, **GENERATING)
    finetune(recipe, tmp_path / "checkpoint")
    generate(recipe, tmp_path / "checkpoint", tmp_path / "out")
    assert all(replay(str(tmp_path / "out"), row, condition_data=str(photos)).matches for row in range(8))


# What does not match


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"prompt": "This is an image of apple. Another one."}, ["prompt"]),
        ({"condition": 2}, ["condition"]),
        ({"mix": {"base": 3, "coarse": [], "fine": []}}, ["mix"]),
        ({"seed": 9}, ["condition", "mix"]),
        ({"index": 3}, ["condition", "mix"]),
    ],
)
def test_columns_that_do_not_follow_from_the_address(made, photos, tmp_path, columns, names):
    found = again(changed(made, tmp_path, 0, **columns), made, photos, 0)
    assert not found.matches and set(names) <= set(found.plan)
    assert f"{names[0]}: differs; recorded is" in str(found)


@pytest.mark.parametrize("condition", [10_000, None, -1])
def test_a_condition_that_there_is_not_is_one_line(made, photos, tmp_path, condition):
    with pytest.raises(DataError, match=r"conditioned on image .*, it says; photos has 27, counted from 0"):
        again(changed(made, tmp_path, 0, condition=condition), made, photos, 0)


def test_a_picture_that_was_changed(made, photos, tmp_path):
    row = find_row(str(made / "synthetic"), 6)
    pixels = np.array(row.image())
    pixels[3, 3, 0] ^= 128
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    folder = changed(made, tmp_path, 6, image={"bytes": buffer.getvalue(), "path": None})
    found = again(folder, made, photos, 6)
    assert not found.matches and found.plan == {} and 126 <= found.largest <= 130
    assert "over the limit of 2" in str(found)
    assert again(folder, made, photos, 6, tolerance=200).matches


# On the command line


def test_the_command(made, photos, tmp_path, capsys):
    """The checkpoint is found beside the data set."""
    out = tmp_path / "again.png"
    arguments = [str(made / "synthetic"), "2", "--dataset-source", str(photos), "-o", str(out)]
    assert cli.run(["replay", *arguments]) == 0
    said = capsys.readouterr().out
    assert "row 2: class 'plum', index 0, prompt 'This is an image of plum." in said
    assert "prompt, condition and mix are the same" in said and said.endswith("it matches\n")
    assert Image.open(out).size == (16, 16)


def test_the_command_that_fails(made, photos, tmp_path, capsys):
    folder = changed(made, tmp_path, 0, condition=2)
    arguments = [str(folder), "0", "--model", str(made / "checkpoint"), "--dataset-source", str(photos)]
    assert cli.run(["replay", *arguments]) == 1
    out, err = capsys.readouterr()
    assert "condition: differs; recorded is 2" in out and "Error: row 0 is not what" in err


def test_from_the_hub(local_hub, made, photos, tmp_path, monkeypatch, capsys):
    from mvc_hf.publish.push import push

    connect(local_hub, tmp_path / "home", monkeypatch)
    push(made / "checkpoint", "ann/flowers", private=True)
    push(made / "synthetic", "ann/split", private=True)
    found = replay("ann/split@main", 8, model="ann/flowers", condition_data=str(photos))
    assert found.matches and found.row["index"] == 2
    with pytest.raises(DataError, match="has no row 12: it has 12, counted from 0"):
        replay("ann/split", 12)
    with pytest.raises(DataError, match="no data set on the Hub is called 'ann/none'"):
        replay("ann/none", 0)
    with pytest.raises(RecipeError, match="give --model: the row was made from"):
        replay("ann/split", 0)


# What cannot be


def test_bad_input(made, photos, tiny_base, tmp_path):
    dataset = str(made / "synthetic")
    with pytest.raises(DataError, match="has no row 12: it has 12, counted from 0"):
        find_row(dataset, 12)
    with pytest.raises(DataError, match="no data set at"):
        find_row(str(tmp_path / "none"), 0)
    with pytest.raises(DataError, match="it is not a data set of mvc-hf generate"):
        find_row(str(photos), 0)
    with pytest.raises(RecipeError, match="give --dataset-source: the condition images are of the local data set"):
        replay(dataset, 0)
    with pytest.raises(ModelError, match=r"mvc\.json"):
        replay(dataset, 0, model=str(tiny_base))
    other = tiny.image_folder(tmp_path / "other", {"apple": 2, "pear": 2, "plum": 2}, seed=1)
    with pytest.raises(DataError, match="is not the data set whose images the row was conditioned on"):
        replay(dataset, 0, condition_data=str(other))
    settings = {"train_batch_size": 4, "max_train_steps": 1}
    finetune(Recipe(dataset=str(photos), base=str(tiny_base), **settings), tmp_path / "checkpoint")
    with pytest.raises(ModelError, match="is another checkpoint than the one that the row was made from"):
        again(dataset, tmp_path, photos, 0)


def test_a_data_set_that_was_moved_away_from_its_checkpoint(made, tmp_path):
    shutil.copytree(made / "synthetic", tmp_path / "synthetic")
    with pytest.raises(RecipeError, match="give --model: the row was made from the local checkpoint 'checkpoint'"):
        replay(str(tmp_path / "synthetic"), 0)


def test_files_that_were_rewritten(made, tmp_path):
    shutil.copytree(made / "synthetic", tmp_path / "synthetic")
    (tmp_path / "synthetic" / "manifest.json").unlink()
    path = sorted((tmp_path / "synthetic" / "data").iterdir())[0]
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata(None), path)
    with pytest.raises(DataError, match="no record of how it was made"):
        find_row(str(tmp_path / "synthetic"), 0)
    pq.write_table(table.drop_columns(["mix"]), path)
    with pytest.raises(DataError, match="no column 'mix'"):
        find_row(str(tmp_path / "synthetic"), 0)
    recorded = json.loads(table.schema.metadata[b"mvc_hf_made_from"])
    assert recorded["num_inference_steps"] and "images_per_class" not in recorded  # of the rows, not of their number


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            {"bytes": None, "path": "/nowhere/1.png"},
            "row 1 of .* holds a path instead of the picture .*store the bytes",
        ),
        (None, "row 1 of .* has no picture: its file was rewritten"),
        ({"bytes": b"no picture", "path": None}, "the picture of row 1 is not a picture of a format"),
    ],
)
def test_rows_whose_picture_is_gone(made, tmp_path, image, message):
    dataset = changed(made, tmp_path, 1, image=image)
    with pytest.raises(DataError, match=message):
        find_row(str(dataset), 1).image()
