"""Steps that fp16 skips, and runs that diverge."""

import math
from types import SimpleNamespace

import pytest

from mvc_hf.config.recipe import Recipe
from mvc_hf.training.divergence import MOST_SKIPPED, SMALLEST_SCALE, LossCheck, diverged


def scaler(scale):
    return SimpleNamespace(get_scale=lambda: scale)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_without_a_scaler_the_first_loss_that_is_not_finite_is_a_problem(loss):
    check = LossCheck()
    assert check.problem(0.3) == ""
    assert check.problem(loss) == "the loss or its gradient is not finite"


def test_a_scaler_may_skip_some_steps_in_a_row_but_not_many():
    check = LossCheck(scaler(1024.0))
    for _ in range(MOST_SKIPPED - 1):
        assert check.problem(math.nan) == ""
    assert check.problem(0.3) == ""  # a step that was not skipped: the count begins anew
    for _ in range(MOST_SKIPPED - 1):
        assert check.problem(math.nan) == ""
    assert check.problem(math.nan) == "fp16 has skipped 30 steps in a row, down to a gradient scale of 1024"


def test_a_scaler_at_the_end_of_its_scale_is_a_problem_at_once():
    assert LossCheck(scaler(SMALLEST_SCALE)).problem(math.nan) == ""
    assert "skipped 1 steps" in LossCheck(scaler(SMALLEST_SCALE / 2)).problem(math.nan)


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({}, "take a lower --learning-rate (it is 0.002), and another folder"),
        ({"mixed_precision": "fp16"}, "(it is 0.002) or --mixed-precision bf16, and"),
        ({"mixed_precision": "bf16"}, "(it is 0.002) or --mixed-precision no, and"),
        ({"max_grad_norm": 5.0}, "(it is 0.002) or --max-grad-norm 1, and"),
    ],
)
def test_the_error_names_the_settings_to_change(tmp_path, settings, advice):
    error = diverged("the loss is not finite", 7, Recipe(learning_rate=2e-3, **settings), tmp_path)
    assert str(error).startswith("the loss is not finite at step 7: take ") and advice in str(error)
    assert str(error).endswith("; nothing was saved yet")


def test_the_error_names_the_checkpoint_that_is_kept(tmp_path):
    for step in (4, 12):
        (tmp_path / f"step-{step:08d}").mkdir()
    assert str(diverged("it", 13, Recipe(), tmp_path)).endswith("; the checkpoint of step 12 is kept")
