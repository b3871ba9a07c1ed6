import dataclasses
import math
import typing

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mvc_hf.config.fields import FINETUNE, GENERATE, LARGEST, Settings, flag
from mvc_hf.config.files import differing, fingerprint
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.schedulers import SCHEDULERS
from mvc_hf.config.stages.data import ViewSettings
from mvc_hf.config.stages.finetuning import FinetuneSettings
from mvc_hf.config.stages.generating import GenerateSettings
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
    recipe = Recipe(**values)
    recipe.save(tmp_path / f"recipe.{suffix}")
    assert Recipe.load(tmp_path / f"recipe.{suffix}") == recipe


@pytest.mark.parametrize("text", ["\x85", "\u2028", "🙂: 'x' # y", "\n- a\n", "null", "1e3", "\ufeff", "\x7f"])
def test_text_that_yaml_could_take_for_something_else(tmp_path, text):
    Recipe(image_column=text).save(tmp_path / "r.yaml")
    assert Recipe.load(tmp_path / "r.yaml").image_column == text


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"coarse": -1}, "--coarse is -1; it must be at least 0"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0; it must be greater than 0"),
        ({"learning_rate": float("nan")}, "--learning-rate is not a number"),
        ({"conditioning_dropout_prob": 0.5}, "must be at most 0.333333"),
        ({"pairing": "any"}, "--pairing is 'any'; choose one of same-class, self"),
        ({"train_batch_size": "16"}, "--train-batch-size takes a value of type int, not '16'"),
        ({"train_batch_size": True}, "takes a value of type int"),
        ({"train_batch_size": None}, "takes a value of type int"),
        ({"seed": 2**63}, "--seed"),
        ({"total": 9, "per_image": 2}, "--total and --per-image each say how many images to make: give one of them"),
        ({"images_per_class": 9, "total": 9}, "--images-per-class and --total each say"),
        ({"balance": True}, "--balance goes with --total"),
        ({"per_image": 0}, "--per-image is 0; it must be at least 1"),
        ({"learning_rate": 1e30}, "--learning-rate is 1e+30; it must be at most 1"),
        ({"learning_rate": 10**400}, "--learning-rate is a number of about 401 digits"),
        ({"num_train_epochs": "1e999"}, "--num-train-epochs is inf"),
        ({"seed": 10**5000}, "--seed is a number of about 5,001 digits"),
        ({"split": 10**5000}, "--split takes a value of type str, not a number of about 5,001 digits"),
        ({"scheduler": "Sampler9000"}, "--scheduler 'Sampler9000'"),
    ],
)
def test_out_of_limits(values, says):
    with pytest.raises(RecipeError) as error:
        Recipe(**values)
    assert says in str(error.value)


KINDS = typing.get_type_hints(Recipe)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if "float" in str(kind)])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e300])
def test_every_number_is_finite_and_within_reason(name, value):
    with pytest.raises(RecipeError, match=flag(name)):
        Recipe(**{name: value})


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if "int" in str(kind)])
@pytest.mark.parametrize("value", [10**19, -(10**19), 10**400])
def test_every_whole_number_has_a_limit(name, value):
    with pytest.raises(RecipeError, match=flag(name)):
        Recipe(**{name: value})


def test_every_default_is_within_its_limits():
    assert Recipe() == Recipe.from_dict({})


def test_misspelt_key_is_refused_with_the_nearest_one():
    with pytest.raises(RecipeError, match="'guidence_scale'; did you mean 'guidance_scale'"):
        Recipe.from_dict({"guidence_scale": 2.0})


@pytest.mark.parametrize(("text", "says"), [("a: [", "not valid YAML"), ("- a", "no settings"), ("", "no settings")])
def test_files_that_are_no_recipes(tmp_path, text, says):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError, match=says):
        Recipe.load(tmp_path / "r.yaml")
    with pytest.raises(RecipeError, match="cannot read"):
        Recipe.load(tmp_path / "none.yaml")


def test_yaml_cannot_build_objects(tmp_path):
    (tmp_path / "r.yaml").write_text("seed: !!python/object/apply:os.getpid []")
    with pytest.raises(RecipeError, match="not valid YAML"):
        Recipe.load(tmp_path / "r.yaml")


def test_identity_leaves_out_what_only_says_how_it_is_computed():
    a, b = Recipe(batch_size=1, checkpointing_steps=7), Recipe(batch_size=64, gradient_checkpointing=True)
    assert a.identity(FINETUNE) == b.identity(FINETUNE)
    assert a.identity(GENERATE) == b.identity(GENERATE)
    assert a.identity(GENERATE) != Recipe(seed=1).identity(GENERATE)
    assert a.identity(GENERATE) == Recipe(learning_rate=1.0).identity(GENERATE)


def test_fingerprint_does_not_depend_on_order():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1}) != fingerprint({"a": 1, "b": [3]})


def test_differing_names_the_fields():
    assert differing({"seed": 1, "fine": 8}, {"seed": 0, "fine": 8}) == "seed (0 → 1)"
    assert differing({"a": 1}, {}) == "a (None → 1)"


def test_identity_holds_every_setting_of_the_stage_that_changes_what_comes_out():
    """At its default or not: what is left out cannot be compared."""
    for stage in (FINETUNE, GENERATE):
        wanted = [f.name for f in FIELDS.values() if stage in f.metadata["on"] and f.metadata["identity"]]
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


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: FinetuneSettings(learning_rate=0), "--learning-rate is 0.0; it must be greater than 0"),
        (lambda: ViewSettings(fit="cut"), "--fit is 'cut'; choose one of crop, pad, stretch"),
        (lambda: GenerateSettings(total=9, per_image=2), "--total and --per-image each say how many images"),
        (lambda: GenerateSettings(scheduler="Sampler9000"), "--scheduler 'Sampler9000'"),
    ],
)
def test_the_settings_of_a_stage_are_checked_without_a_recipe(build, says):
    with pytest.raises(RecipeError) as error:
        build()
    assert says in str(error.value)
