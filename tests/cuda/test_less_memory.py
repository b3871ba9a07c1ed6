"""What takes less memory, on a GPU. Skipped where there is none."""

import math

import pytest
import torch
from safetensors.torch import load_file
from training_runs import assert_same_run, change, dies_in, log, weights

from mvc_hf.artifacts.steps import checkpoint_folder
from mvc_hf.config.recipe import Recipe
from mvc_hf.training.finetune import finetune
from mvc_hf.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: torch.cuda.is_available() says no")


@pytest.fixture
def recipe(photos, tiny_base):
    return Recipe(
        dataset=str(photos), base=str(tiny_base), train_batch_size=4, max_train_steps=6, validation_steps=3,
        checkpointing_steps=2, learning_rate=1e-3, lr_warmup_steps=1,
    )  # fmt: skip


@pytest.mark.parametrize("mixed_precision", ["no", "fp16", "bf16"])
@pytest.mark.parametrize("optimizer", ["adamw", "adamw8bit"])
@pytest.mark.parametrize("rank", [None, 4])
def test_adapters_and_eight_bits(recipe, tmp_path, monkeypatch, rank, optimizer, mixed_precision):
    pytest.importorskip("peft")
    if optimizer == "adamw8bit":
        pytest.importorskip("bitsandbytes")
    recipe = change(recipe, lora_rank=rank, optimizer=optimizer, mixed_precision=mixed_precision)
    finetune(recipe, tmp_path / "whole")
    assert all(math.isfinite(float(row["loss"] or 0)) for row in log(tmp_path / "whole"))
    published = weights(checkpoint_folder(tmp_path / "whole" / "checkpoints" / "step-00000006"))
    assert all(torch.equal(value, published[name]) for name, value in weights(tmp_path / "whole").items())
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        dies_in(patch, step=3)
        finetune(recipe, tmp_path / "killed")
    finetune(recipe, tmp_path / "killed")
    path = "checkpoints/step-00000006/unet.safetensors"
    ends = [load_file(tmp_path / name / path) for name in ("whole", "killed")]
    assert all(torch.allclose(value, ends[1][name], atol=1e-3) for name, value in ends[0].items())


def test_a_batch_that_really_does_not_fit_is_halved(recipe, tmp_path, monkeypatch, capsys):
    """The passes of whole batches ask for more than there is."""
    loss = Trainer._loss

    def greedy(self, batch, snr_gamma=None):
        if len(batch) == 4 and torch.is_grad_enabled():
            torch.empty(2 * torch.cuda.get_device_properties(0).total_memory, dtype=torch.uint8, device="cuda")
        return loss(self, batch, snr_gamma)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_loss", greedy)
        finetune(recipe, tmp_path / "halved")
    assert "from step 1 on it is 2" in capsys.readouterr().err
    finetune(change(recipe, train_batch_size=2, gradient_accumulation_steps=2), tmp_path / "flags")
    assert_same_run(tmp_path / "flags", tmp_path / "halved")
