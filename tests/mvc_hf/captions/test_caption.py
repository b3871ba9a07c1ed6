"""The captions of a data set as a file: written once, never over what is there."""

import pyarrow.parquet as pq
import pytest
import tiny

from mvc_hf.artifacts.checkpoint import CheckpointMetadata, load_captions
from mvc_hf.captions.caption import caption
from mvc_hf.captions.loading import caption_source
from mvc_hf.captions.table import CaptionTable
from mvc_hf.config.recipe import Recipe
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import OutputError
from mvc_hf.training.finetune import finetune


def recipe(photos, **more):
    return Recipe(dataset=str(photos), **{"captions": "template:a {} on a table", **more})


def test_a_file_is_written_once(photos, tmp_path):
    path = tmp_path / "captions.parquet"
    assert caption(recipe(photos), path) == f"{path}: 3 captions of 3 classes"
    table = CaptionTable.load(path)
    assert table.captions[1] == "This is an image of pear. a pear on a table"
    assert table.origin["templates"] == ["a {} on a table"] and table.origin["dataset"]["name"] == "photos"
    before = path.read_bytes()
    assert caption(recipe(photos), path) == f"{path} is there already, made by these settings; nothing to do"
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["captions.parquet"]


def test_what_a_person_edited_stays(photos, tmp_path):
    path = tmp_path / "captions.parquet"
    caption(recipe(photos), path)
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 2), path)
    assert "nothing to do" in caption(recipe(photos), path) and len(CaptionTable.load(path)) == 2


def test_a_file_of_other_settings_is_not_written_over(photos, tmp_path):
    path = tmp_path / "captions.parquet"
    caption(recipe(photos), path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"made otherwise; these differ: templates .*; choose another name"):
        caption(recipe(photos, captions="template:one {}"), path)
    assert path.read_bytes() == before


def test_captions_do_not_lie_among_the_images(photos):
    with pytest.raises(OutputError, match="lies in the folder of the data set"):
        caption(recipe(photos), photos / "captions.parquet")
    assert not (photos / "captions.parquet").exists()


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_person_edits_in_a_spreadsheet_and_finetune_takes_it(photos, tiny_base, tmp_path, ending):
    """Out as text with class names, edited, and in again: the same captions, and those of the person."""
    path = tmp_path / f"captions.{ending}"
    assert caption(recipe(photos), path) == f"{path}: 3 captions of 3 classes"
    names = ("apple", "pear", "plum")
    plain = caption_source("template:a {} on a table").table(open_dataset(str(photos)))
    assert CaptionTable.load(path, names).captions == plain.captions
    text = path.read_text(encoding="utf-8-sig")
    path.write_text(text.replace("a pear on a table", "two pears, ripe" if ending == "jsonl" else "two pears"))
    with pytest.raises(OutputError, match=r"may have been edited: choose another name, or take it \(--captions\)"):
        caption(recipe(photos), path)
    settings = {"captions": str(path), "base": str(tiny_base), "max_train_steps": 1, "train_batch_size": 2}
    finetune(recipe(photos, **settings), tmp_path / "out")
    assert "two pears" in load_captions(tmp_path / "out", names).captions[1]
    assert CheckpointMetadata.load(tmp_path / "out").recipe["captions"] == path.name


@pytest.mark.parametrize("name", ["captions.txt", "captions.xlsx", "captions"])
def test_other_endings_are_refused_before_anything_is_done(tmp_path, name):
    with pytest.raises(OutputError, match=r"let the name of a captions file end in \.parquet, \.csv, \.jsonl"):
        caption(recipe(tmp_path / "no-photos"), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_captions_call_classes_by_words_and_labels_keep_their_names(tmp_path):
    photos = tiny.image_folder(tmp_path / "photos", {"01_tabby": 2, "02_ape": 2})
    caption(recipe(photos, captions="template:a photo of a {}"), tmp_path / "plain.csv")
    rows = (tmp_path / "plain.csv").read_text(encoding="utf-8-sig").splitlines()[1:]
    assert rows == [
        "01_tabby,This is an image of tabby. a photo of a tabby,",
        "02_ape,This is an image of ape. a photo of an ape,",
    ]
    (tmp_path / "words.yaml").write_text("01_tabby: tabby cat")
    said = {"captions": "template:a photo of a {}", "class_names": str(tmp_path / "words.yaml")}
    caption(recipe(photos, **said), tmp_path / "said.parquet")
    table = CaptionTable.load(tmp_path / "said.parquet")
    assert table.captions[0] == "This is an image of tabby cat. a photo of a tabby cat"
    assert table.origin["class_words"] == {"01_tabby": "tabby cat", "02_ape": "ape"}
    with pytest.raises(OutputError, match="made otherwise; these differ: class_words"):
        caption(recipe(photos, captions="template:a photo of a {}"), tmp_path / "said.parquet")


def test_a_prefix_of_other_words_is_not_doubled(tmp_path):
    """The file was written with --class-names, and is read without."""
    (tmp_path / "c.csv").write_text("label,caption\n01_tabby,This is an image of tabby cat. asleep\n02_ape,awake\n")
    photos = tiny.image_folder(tmp_path / "photos", {"01_tabby": 2, "02_ape": 2})
    found = caption_source(str(tmp_path / "c.csv")).table(open_dataset(str(photos)))
    assert found.captions == ["This is an image of tabby cat. asleep", "This is an image of ape. awake"]
