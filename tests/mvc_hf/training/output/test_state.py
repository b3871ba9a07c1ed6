"""Training checkpoints."""

import json
import math
import shutil

import pytest
import torch
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file
from training_runs import assert_same_run, die

from mvc_hf.errors import OutputError
from mvc_hf.training import finetune as finetune_module
from mvc_hf.training.finetune import finetune
from mvc_hf.training.output.state import (
    TrainingState,
    load_state,
    newest_state,
    notes_of,
    save_state,
    saved_states,
    step_of,
)
from mvc_hf.training.trainer import Trainer


class Net(torch.nn.Linear):
    """As much of a U-Net as a state takes."""

    device = torch.device("cpu")


def trained(steps=3, seed=0):
    """A state after some updates."""
    torch.manual_seed(seed)
    unet = Net(3, 2)
    ema, optimizer = EMAModel(unet.parameters(), decay=0.9), torch.optim.AdamW(unet.parameters())
    for _ in range(steps):
        unet(torch.randn(4, 3)).square().mean().backward()
        optimizer.step()
        ema.step(unet.parameters())
    return TrainingState(unet, ema, optimizer, None)


def parts(made):
    return [*made.weights(), *made.moments()]


def equal(a, b):
    return all(map(torch.equal, parts(a), parts(b)))


def test_what_is_saved_comes_back_to_the_last_bit(tmp_path):
    saved, other = trained(), trained(seed=1)
    assert len(parts(saved)) == 2 + 2 + 4 and not equal(saved, other)
    saved.save(tmp_path, 3, {"loss": 0.1, "looks": {}}, keep=2)
    assert other.resume(tmp_path) == (3, {"loss": 0.1, "looks": {}})
    assert equal(saved, other) and other.ema.optimization_step == saved.ema.optimization_step == 3
    for made in (saved, other):  # the optimizer's count of steps is among what came back
        made.unet.zero_grad()
        made.unet(torch.ones(1, 3)).sum().backward()
        made.optimizer.step()
    assert equal(saved, other)


def test_where_nothing_was_saved_nothing_changes(tmp_path):
    made, same = trained(), trained()
    assert made.resume(tmp_path / "nowhere") == (0, {})
    assert equal(made, same)


def test_equal_states_make_equal_files(tmp_path):
    for name in "ab":
        trained().save(tmp_path / name, 3, {}, keep=1)
    files = [sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in "ab"]
    assert [path.name for path in files[0]] == [
        "ema.safetensors", "optimizer.safetensors", "state.json", "unet.safetensors"
    ]  # fmt: skip
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def test_only_the_last_checkpoints_are_kept(tmp_path):
    for step in (2, 4, 10, 12):
        trained().save(tmp_path, step, {}, keep=3)
    assert list(map(step_of, saved_states(tmp_path))) == [4, 10, 12]


def test_a_state_that_is_cut_off_or_changed_is_passed_over(tmp_path, capsys):
    made = trained()
    for step in (1, 2, 3):
        made.save(tmp_path, step, {"loss": step}, keep=5)
    (tmp_path / "step-00000003" / "state.json").unlink()
    file = tmp_path / "step-00000002" / "unet.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert newest_state(tmp_path) == tmp_path / "step-00000001"
    said = capsys.readouterr().err
    assert "step-00000003/state.json is missing or damaged" in said
    assert "step-00000002/unet.safetensors is missing or damaged" in said
    assert notes_of(tmp_path / "step-00000001") == {"loss": 1} and notes_of(tmp_path / "step-00000002") == {}


def test_a_state_of_another_network_is_one_line(tmp_path):
    trained().save(tmp_path, 1, {}, keep=1)
    wider = Net(5, 2)
    optimizer = torch.optim.AdamW(wider.parameters())
    with pytest.raises(OutputError, match=r"cannot be read .*: remove it to go on from the one before"):
        load_state(tmp_path / "step-00000001", unet=wider, ema=None, optimizer=optimizer, scaler=None)


def test_a_state_takes_the_place_of_one_of_the_same_step(tmp_path):
    for seed in (0, 1):
        made = trained(seed=seed)
        save_state(tmp_path, 3, notes={"seed": seed}, keep=1, **vars(made))
    other = trained(seed=2)
    assert other.resume(tmp_path) == (3, {"seed": 1}) and equal(other, made)


def test_the_moving_average_takes_the_place_of_the_weights_and_they_come_back():
    made = trained()
    before = [weight.clone() for weight in made.unet.parameters()]
    with pytest.raises(MemoryError), made.averaged():
        assert all(map(torch.equal, made.unet.parameters(), made.ema.shadow_params))
        assert not torch.equal(next(made.unet.parameters()), before[0])
        raise MemoryError
    assert all(map(torch.equal, made.unet.parameters(), before))
    alone = TrainingState(made.unet, None, made.optimizer, None)
    with alone.averaged():
        assert all(map(torch.equal, alone.weights(), before))


def test_damaged_checkpoint_is_left_out_and_the_run_ends_the_same(recipe, whole, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(finetune_module, "save_pipeline", die)
        finetune(recipe, tmp_path / "out")
    (tmp_path / "out/checkpoints/step-00000009/ema.safetensors").write_bytes(b"")
    finetune(recipe, tmp_path / "out")
    said = capsys.readouterr().err
    assert "step-00000009/ema.safetensors is missing or damaged" in said and "going on from step 8 of 9" in said
    assert_same_run(whole, tmp_path / "out")
    assert not list((tmp_path / "out/checkpoints").glob(".*"))  # what was set aside has gone


def test_a_checkpoint_with_weights_that_are_not_finite_is_not_gone_on_from(recipe, tmp_path, monkeypatch):
    """As older versions wrote them, which kept no digests either."""
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(Trainer, "check_sound", lambda self: self.step == 6 and die())
        finetune(recipe, tmp_path / "out")
    file = tmp_path / "out" / "checkpoints" / "step-00000004" / "unet.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values())).view(-1)[0] = math.nan
    save_file(tensors, file)
    note = file.with_name("state.json")
    values = json.loads(note.read_text())
    note.write_text(json.dumps({name: value for name, value in values.items() if name not in ("xxh3", "seal")}))
    with pytest.raises(OutputError, match="step-00000004 are not finite: remove it to go on from the one before"):
        finetune(recipe, tmp_path / "out")
    shutil.rmtree(file.parent)
    assert finetune(recipe, tmp_path / "out").training["steps"] == 9
