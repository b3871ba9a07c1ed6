"""AdamW, and that of bitsandbytes."""

import sys

import pytest
import torch
from training_runs import assert_same_run, change, dies_in, log

from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import RecipeError
from mvc_hf.training.finetune import finetune
from mvc_hf.training.setup.optimizer import bytes_of_moments, make_optimizer


def test_adamw_has_the_settings_of_the_recipe():
    recipe = Recipe(learning_rate=0.5, adam_beta1=0.1, adam_beta2=0.2, adam_weight_decay=0.3, adam_epsilon=0.4)
    [group] = make_optimizer(recipe, [torch.nn.Parameter(torch.ones(2))]).param_groups
    assert (group["lr"], group["betas"], group["weight_decay"], group["eps"]) == (0.5, (0.1, 0.2), 0.3, 0.4)


def test_without_bitsandbytes_a_line_names_it_before_anything_is_made(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(RecipeError, match="adamw8bit needs bitsandbytes: pip install bitsandbytes"):
        finetune(change(recipe, optimizer="adamw8bit"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_eight_bits_go_on_exactly_and_take_a_quarter(recipe, tmp_path, monkeypatch):
    pytest.importorskip("bitsandbytes")
    whole = change(recipe, optimizer="adamw8bit")
    finetune(whole, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        dies_in(patch, step=5)
        finetune(whole, tmp_path / "killed")
    finetune(whole, tmp_path / "killed")
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    losses = [float(row["loss"]) for row in log(tmp_path / "whole")]
    finetune(recipe, tmp_path / "full")
    assert losses == pytest.approx([float(row["loss"]) for row in log(tmp_path / "full")], rel=0.05)

    parameter = torch.nn.Parameter(torch.ones(1 << 16))
    for name in ("adamw", "adamw8bit"):
        optimizer = make_optimizer(Recipe(optimizer=name), [parameter])
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        size = sum(v.nbytes for v in optimizer.state[parameter].values() if torch.is_tensor(v) and v.ndim)
        assert size == pytest.approx(bytes_of_moments(Recipe(optimizer=name), parameter.numel()), rel=0.05)
