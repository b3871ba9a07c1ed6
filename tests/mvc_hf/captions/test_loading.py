"""Which captioner a setting names."""

import pytest
from pets import Pets, edited

from mvc_hf.captions.loading import caption_source
from mvc_hf.captions.sources import ColumnCaptions, FileCaptions, TemplateCaptions
from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import DataError, ModelError, RecipeError


def test_caption_source(tmp_path):
    assert caption_source("template") == TemplateCaptions()
    assert caption_source("template:a drawing of a {}") == TemplateCaptions(("a drawing of a {}",))
    assert caption_source("template:{}: x.parquet") == TemplateCaptions(("{}: x.parquet",))
    assert caption_source("column:a:b") == ColumnCaptions("a:b")
    path = str(edited(tmp_path, label=[0], caption=["a"]))
    assert caption_source(path) == FileCaptions(path)
    assert caption_source("column:a", keep_duplicates=True) == ColumnCaptions("a", keep_duplicates=True)
    assert caption_source(path, keep_duplicates=True) == FileCaptions(path, keep_duplicates=True)
    assert caption_source("template", keep_duplicates=True) == TemplateCaptions()


def test_duplicates_are_kept_where_asked(tmp_path):
    path = str(edited(tmp_path, label=[0, 0, 1], caption=["a", "a", "b"]))
    assert len(caption_source(path).table(Pets())) == 2
    assert len(caption_source(path, keep_duplicates=True).table(Pets())) == 3
    pets = Pets(text=["red", "a", "a", "red"])
    assert len(caption_source("column:text").table(pets)) == 2
    assert len(caption_source("column:text", keep_duplicates=True).table(pets)) == 4


@pytest.mark.parametrize(
    "spec, error, match",
    [
        ("blip2", ModelError, "cannot get the captioning model Salesforce/blip2-opt-2.7b from the Hub"),
        ("blip3", RecipeError, "unknown captioner 'blip3'; use column:NAME"),
        ("column:", RecipeError, "unknown captioner 'column:'"),
        ("", RecipeError, "unknown captioner ''"),
        ("template:", RecipeError, "must hold {} once"),
        ("no/such.parquet", DataError, "no such captions file: 'no/such.parquet'"),
    ],
)
def test_caption_source_refuses(spec, error, match):
    with pytest.raises(error, match=match):
        caption_source(spec)


@pytest.mark.parametrize(
    ("model", "match"),
    [
        ("./none", "no captioning model at './none': give a folder, or a Hub id"),
        ("org/none", "cannot get the captioning model org/none from the Hub"),
        ("org/none@v1", "cannot get the captioning model org/none@v1 from the Hub"),
    ],
)
def test_models_that_are_not_there(model, match):
    with pytest.raises(ModelError, match=match) as caught:
        caption_source("blip2", recipe=Recipe(caption_model=model))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("setting", [{"caption_model": "x"}, {"caption_prompt": "what?"}, {"captions_per_image": 2}])
def test_settings_of_models_without_a_model(setting):
    with pytest.raises(RecipeError, match="means nothing to 'template': give --captioner blip2"):
        caption_source("template", recipe=Recipe(**setting))
