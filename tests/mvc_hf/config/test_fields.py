"""A setting and its limits: types, numbers, choices, and what is said of a bad one."""

import math
import typing
from dataclasses import dataclass

import pytest

from mvc_hf.config.fields import FINETUNE, LARGEST, Settings, check_known, flag, setting
from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import RecipeError


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"coarse": -1}, "--coarse is -1; it must be at least 0"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0; it must be greater than 0"),
        ({"learning_rate": float("nan")}, "--learning-rate is not a number"),
        ({"train_batch_size": "16"}, "--train-batch-size takes a value of type int, not '16'"),
        ({"train_batch_size": True}, "takes a value of type int"),
        ({"train_batch_size": None}, "takes a value of type int"),
        ({"seed": 2**63}, "--seed"),
        ({"learning_rate": 1e30}, "--learning-rate is 1e+30; it must be at most 1"),
        ({"learning_rate": 10**400}, "--learning-rate is a number of about 401 digits"),
        ({"num_train_epochs": "1e999"}, "--num-train-epochs is inf"),
        ({"seed": 10**5000}, "--seed is a number of about 5,001 digits"),
        ({"split": 10**5000}, "--split takes a value of type str, not a number of about 5,001 digits"),
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


@dataclass(frozen=True)
class Some(Settings):
    """Settings of a test."""

    rate: float = setting(0.5, "", on=(FINETUNE,), above=0, maximum=1)
    size: int | None = setting(None, "", on=(FINETUNE,), minimum=2)
    kind: str = setting("a", "", on=(FINETUNE,), choices=("a", "b"))
    quick: bool = setting(False, "", on=(FINETUNE,), alias="--fast")


def test_values_become_the_declared_type():
    assert Some(rate=1).rate == 1.0 and isinstance(Some(rate=1).rate, float)
    assert Some(rate="5e-1").rate == 0.5  # as YAML 1.1 reads it
    assert Some(size=None).size is None and Some(size=2).size == 2


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"rate": 0}, "--rate is 0.0; it must be greater than 0"),
        ({"rate": 1.5}, "--rate is 1.5; it must be at most 1"),
        ({"rate": "half"}, "--rate takes a value of type float, not 'half'"),
        ({"size": 1}, "--size is 1; it must be at least 2"),
        ({"size": LARGEST + 1}, f"it must be at most {LARGEST:,}"),
        ({"size": 2.0}, "--size takes a value of type int, not 2.0"),
        ({"kind": "c"}, "--kind is 'c'; choose one of a, b"),
        ({"kind": "a\0"}, r"--kind is 'a\x00': it holds a null character"),
        ({"quick": 1}, "--quick takes a value of type bool, not 1"),
    ],
)
def test_the_message_names_the_flag_the_value_and_the_limit(values, says):
    with pytest.raises(RecipeError) as error:
        Some(**values)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_unknown_names_are_told_with_the_nearest_known_one():
    check_known(["rate", "size"], ["rate", "size"])
    with pytest.raises(RecipeError, match="unknown setting 'rat'; did you mean 'rate'"):
        check_known(["size", "rat"], ["rate", "size"])
    with pytest.raises(RecipeError, match="unknown setting 'zzz'; known are rate, size"):
        check_known(["zzz"], ["rate", "size"])


def test_flags():
    assert flag("num_inference_steps") == "--num-inference-steps"
