import dataclasses
import typing

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mvc_hf.config.fields import FINETUNE, GENERATE, LARGEST, UNLESS_DEFAULT, Settings
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.schedulers import SCHEDULERS
from mvc_hf.errors import RecipeError

FIELDS = {f.name: f for f in dataclasses.fields(Recipe)}


def values_of(field):
    """Any value that a setting may have."""
    limits, kind = field.metadata, typing.get_type_hints(Recipe)[field.name]
    kinds = typing.get_args(kind) or (kind,)
    some = next(k for k in kinds if k is not type(None))
    if field.name == "scheduler":
        values = st.sampled_from(SCHEDULERS)
    elif limits["choices"]:
        values = st.sampled_from(limits["choices"])
    elif some is bool:
        values = st.booleans()
    elif some is str:
        values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
    else:
        low = limits["minimum"] if limits["minimum"] is not None else limits["above"]
        high = limits["maximum"] if limits["maximum"] is not None else LARGEST
        if some is int:
            values = st.integers(int(low), int(high))
        else:
            values = st.floats(low, high, exclude_min=limits["above"] is not None)
    return st.none() | values if type(None) in kinds else values


@pytest.mark.parametrize("suffix", ["yaml", "json"])
@given(data=st.data(), names=st.lists(st.sampled_from(sorted(FIELDS)), max_size=5, unique=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
def test_round_trip(tmp_path, suffix, data, names):
    values = {name: data.draw(values_of(FIELDS[name]), name) for name in names}
    counts = [name for name in ("images_per_class", "total", "per_image") if values.get(name) is not None]
    assume(len(counts) < 2 and (values.get("total") or not values.get("balance")))
    assume(values.get("lora_rank") or not values.get("lora_keep_adapter"))
    assume(values.get("guidance_start", 0.0) < values.get("guidance_stop", 1.0))
    recipe = Recipe(**values)
    recipe.save(tmp_path / f"recipe.{suffix}")
    assert Recipe.load(tmp_path / f"recipe.{suffix}") == recipe


@pytest.mark.parametrize("text", ["\x85", "\u2028", "🙂: 'x' # y", "\n- a\n", "null", "1e3", "\ufeff", "\x7f"])
def test_text_that_yaml_could_take_for_something_else(tmp_path, text):
    Recipe(image_column=text).save(tmp_path / "r.yaml")
    assert Recipe.load(tmp_path / "r.yaml").image_column == text


def test_every_default_is_within_its_limits():
    assert Recipe() == Recipe.from_dict({})


def test_misspelt_key_is_refused_with_the_nearest_one():
    with pytest.raises(RecipeError, match="'guidence_scale'; did you mean 'guidance_scale'"):
        Recipe.from_dict({"guidence_scale": 2.0})


def test_identity_leaves_out_what_only_says_how_it_is_computed():
    a, b = Recipe(batch_size=1, checkpointing_steps=7), Recipe(batch_size=64, gradient_checkpointing=True)
    assert a.identity(FINETUNE) == b.identity(FINETUNE)
    assert a.identity(GENERATE) == b.identity(GENERATE)
    assert a.identity(GENERATE) != Recipe(seed=1).identity(GENERATE)
    assert a.identity(GENERATE) == Recipe(learning_rate=1.0).identity(GENERATE)


def test_identity_holds_every_setting_of_the_stage_that_changes_what_comes_out():
    """At its default or not: what is left out cannot be compared."""
    for stage in (FINETUNE, GENERATE):
        wanted = [f.name for f in FIELDS.values() if stage in f.metadata["on"] and f.metadata["identity"] is True]
        assert list(Recipe().identity(stage)) == wanted
    assert Recipe(total=9).identity(GENERATE) == Recipe().identity(GENERATE) | {"total": 9}


STAGES = [kind for kind in Recipe.__mro__ if dataclasses.is_dataclass(kind) and kind not in (Recipe, Settings)]


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_settings_of_its_own(stage):
    names = [f.name for f in dataclasses.fields(stage)]
    others = [f.name for other in STAGES if other is not stage for f in dataclasses.fields(other)]
    assert names and not set(names) & set(others)
    assert names == [name for name in FIELDS if name in names], "Recipe keeps their order"
    assert stage.__module__ != Recipe.__module__ and stage() == stage()


def test_stages_come_in_the_order_of_the_work():
    order = ["dataset", "captions", "resolution", "caption_model", "coarse", "base", "method", "mixed_precision"]
    assert [name for name in FIELDS if name in order] == order


def test_settings_that_came_later_count_where_they_are_not_at_their_default():
    """So that a data set that was begun before them can still be gone on with."""
    later = [f.name for f in FIELDS.values() if f.metadata["identity"] == UNLESS_DEFAULT]
    assert sorted(later) == ["guidance_start", "guidance_stop", "lora_rank", "optimizer", "snr_gamma"]
    assert not set(later) & set(Recipe().identity(GENERATE))
    found = Recipe(guidance_start=0.1, guidance_stop=0.9).identity(GENERATE)
    assert found == Recipe().identity(GENERATE) | {"guidance_start": 0.1, "guidance_stop": 0.9}


@pytest.mark.parametrize(("start", "stop"), [(0.5, 0.5), (0.8, 0.2), (1.0, 1.0)])
def test_an_interval_of_guidance_begins_before_it_ends(start, stop):
    with pytest.raises(RecipeError, match=r"--guidance-start .* is not below --guidance-stop .*--guidance-scale 1"):
        Recipe(guidance_start=start, guidance_stop=stop)
