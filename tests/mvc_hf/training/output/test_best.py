"""The best weights on the held-out images, kept and published."""

import pytest
import torch
from safetensors.torch import load_file
from training_runs import change, log, weights

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.training.finetune import finetune
from mvc_hf.training.output.best import BestWeights
from mvc_hf.training.trainer import Trainer


def unet(value):
    return torch.nn.Linear(2, 2).requires_grad_(False).apply(lambda m: m.weight.fill_(value)).requires_grad_(True)


def test_weights_come_back_as_they_were_or_not_at_all(tmp_path, capsys):
    best = BestWeights(tmp_path)
    for step in (2, 4, 6):
        best.keep(step, unet(step))
    into = unet(0)
    assert best.put_back(4, into) and (into.weight == 4).all()
    best.forget_all_but([4])
    assert [path.name for path in tmp_path.iterdir()] == ["best-00000004"]
    (tmp_path / "best-00000004" / "unet.safetensors").write_bytes(b"")
    assert not best.put_back(4, into) and not best.put_back(2, into) and (into.weight == 4).all()
    assert capsys.readouterr().err.count("are gone or damaged: the last ones are published") == 2


@pytest.mark.parametrize("killed", [None, 6, 7])
def test_early_stopping_publishes_the_best_and_not_the_last(recipe, tmp_path, monkeypatch, killed, capsys):
    """The loss on held-out images is the best at step 4 of looks at 2, 4, 6, 8; the run may be killed on the way."""
    losses = {2: 0.9, 4: 0.5, 6: 0.6, 8: 0.7}
    seen = {}

    def probe(self, rows):
        if self.step in losses and len(rows) == len(self.set.held_out):
            # The first call of a step is for the average, which is what is published.
            seen.setdefault(self.step, {k: v.clone() for k, v in self.state.unet.state_dict().items()})
            return losses[self.step]
        return 1.0

    monkeypatch.setattr(Trainer, "_probe", probe)
    stopping = change(recipe, early_stopping=2, validation_steps=2, max_train_steps=20)
    update = Trainer._update
    if killed:
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(Trainer, "_update", _dies_at(killed, update))
            finetune(stopping, tmp_path / "out")
    finetune(stopping, tmp_path / "out")
    assert len(log(tmp_path / "out")) == 8
    for name, value in weights(tmp_path / "out").items():
        assert torch.equal(value, seen[4][name]), name
    assert any(not torch.equal(seen[4][name], seen[8][name]) for name in seen[4])
    training = CheckpointMetadata.load(tmp_path / "out").training
    assert training["steps"] == 8 and training["published_step"] == 4 and training["published_held_out_loss"] == 0.5
    assert "published are the weights of step 4" in capsys.readouterr().err


def _dies_at(step, update):
    def dies(self, batches):
        if self.step == step:
            raise MemoryError
        return update(self, batches)

    return dies


def test_without_early_stopping_nothing_is_kept(whole):
    assert not list((whole / "checkpoints").glob("best-*"))
    assert "published_step" not in CheckpointMetadata.load(whole).training
    assert load_file(whole / "unet" / "diffusion_pytorch_model.safetensors")
