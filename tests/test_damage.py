"""Damaged files of every kind under every command: what can be made again is, the rest is one line with a way out."""

import os
import shutil

import pytest

from mvc_hf.cli import run
from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import OutputError
from mvc_hf.generation.generate import generate
from mvc_hf.training.finetune import finetune

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
SHARD = "data/train-00001-of-00003.parquet"
CHECKPOINT = ["mvc.json", "captions.parquet", WEIGHTS, "vae/config.json", "tokenizer/tokenizer.json"]


def flipped(content):
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    return bytes(changed)


DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "flipped": flipped,
    "garbage": lambda content: bytes(range(256)) * 3,
    "wrong type": lambda content: b"[]",
    "gone": None,
}


def damage(path, how):
    path.unlink() if how == "gone" else path.write_bytes(DAMAGES[how](path.read_bytes()))


def contents(folder):
    """All that a run leaves; nothing of locks, spools or unfinished writes may be among it."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert not [name for name in files if name.endswith((".tmp", ".lock", ".spool", ".damaged", ".holder.json"))]
    return {name: path.read_bytes() for name, path in files.items()}


@pytest.fixture(scope="module")
def whole(photos, tiny_base, tmp_path_factory):
    """A checkpoint and a data set as unbroken runs leave them, and the recipes of both."""
    place = tmp_path_factory.mktemp("whole")
    steps = {"train_batch_size": 4, "max_train_steps": 4, "checkpointing_steps": 2, "validation_steps": 2}
    training = Recipe(dataset=str(photos), base=str(tiny_base), **steps)
    making = Recipe(dataset=str(photos), images_per_class=4, num_inference_steps=2, batch_size=4, shard_size=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVC_HF_CACHE", str(place / "cache"))
        finetune(training, place / "checkpoint")
        generate(making, place / "checkpoint", place / "synthetic")
    return place, training, making


@pytest.fixture
def copy(whole, tmp_path, monkeypatch):
    """A copy that may be damaged. The caches are shared: nothing is encoded twice."""
    monkeypatch.setenv("MVC_HF_CACHE", str(whole[0] / "cache"))
    for name in ("checkpoint", "synthetic"):
        shutil.copytree(whole[0] / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("how", DAMAGES)
def test_finetune_writes_its_result_again_from_the_last_training_checkpoint(copy, whole, how, capsys):
    for name in [*CHECKPOINT, *(["checkpoints/run.json"] if how != "gone" else [])]:
        damage(copy / "checkpoint" / name, how)
    finetune(whole[1], copy / "checkpoint")
    assert contents(copy / "checkpoint") == contents(whole[0] / "checkpoint")
    said = capsys.readouterr().err
    assert how == "gone" or "it is written again from the last training checkpoint" in said
    finetune(whole[1], copy / "checkpoint")
    assert "finished already" in capsys.readouterr().err


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["state.json", "unet.safetensors"])
def test_finetune_goes_on_from_the_checkpoint_before_a_damaged_one(copy, whole, name, how, capsys):
    (copy / "checkpoint" / "mvc.json").unlink()
    damage(copy / "checkpoint" / "checkpoints" / "step-00000004" / name, how)
    finetune(whole[1], copy / "checkpoint")
    assert "going on from step 2 of 4" in capsys.readouterr().err
    assert contents(copy / "checkpoint") == contents(whole[0] / "checkpoint")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_log_costs_rows_and_nothing_else(copy, whole, how):
    (copy / "checkpoint" / "mvc.json").unlink()
    damage(copy / "checkpoint" / "training_log.csv", how)
    finetune(whole[1], copy / "checkpoint")
    found, wanted = contents(copy / "checkpoint"), contents(whole[0] / "checkpoint")
    assert {name for name in wanted if found[name] != wanted[name]} <= {"training_log.csv"}
    assert found["training_log.csv"].startswith(b"step,loss,lr,held_out_loss,seen_loss")


def test_a_result_that_cannot_be_written_again_is_one_line(copy, whole):
    damage(copy / "checkpoint" / WEIGHTS, "flipped")
    for state in (copy / "checkpoint" / "checkpoints").glob("step-*"):
        shutil.rmtree(state)
    with pytest.raises(OutputError, match=r"safetensors is not as it was made.* no training checkpoint .* new folder"):
        finetune(whole[1], copy / "checkpoint")
    (copy / "checkpoint" / "mvc.json").write_bytes(b"")
    with pytest.raises(OutputError, match=r"mvc\.json cannot be read, and no training checkpoint .* new folder"):
        finetune(whole[1], copy / "checkpoint")


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", CHECKPOINT)
def test_a_damaged_checkpoint_is_refused_before_anything_is_built_on_it(copy, whole, name, how, capsys):
    damage(copy / "checkpoint" / name, how)
    photos = whole[1].dataset
    commands = [
        ["generate", copy / "checkpoint", "-o", copy / "new", "--dataset", photos],
        ["preview", copy / "checkpoint", "--dataset", photos, "--no-pretrained", "-o", copy / "sheet.png"],
        ["push", copy / "checkpoint", "ann/flowers"],
    ]
    if name == WEIGHTS:
        commands += [["replay", copy / "synthetic", "3", "--dataset-source", photos]]
        commands += [["finetune", photos, "--base", copy / "checkpoint", "-o", copy / "new"]]
    for command in commands:
        assert run(list(map(str, command))) == 1, command
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error")]
        assert name in line or "is not finished: give its finetune command again" in line, command
        assert ": " in line and not (copy / "new").exists() and not (copy / "sheet.png").exists()


@pytest.mark.parametrize("how", DAMAGES)
def test_generate_makes_damaged_parts_again(copy, whole, how):
    out = copy / "synthetic"
    for name in (SHARD, "manifest.json", "README.md", "samples.png"):
        damage(out / name, how)
    (out / "data" / ".train-00001-of-00003.parquet.spool").write_bytes(os.urandom(500))
    damage(out / ".shards" / "train-00000-of-00003.json", how)
    generate(whole[2], copy / "checkpoint", out)
    assert contents(out) == contents(whole[0] / "synthetic")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_shard_is_not_published_or_trained_on(copy, whole, how, capsys):
    damage(copy / "synthetic" / SHARD, how)
    photos = whole[1].dataset
    for command in (
        ["push", copy / "synthetic", "ann/flowers"],
        ["finetune", copy / "synthetic", "--base", whole[1].base, "-o", copy / "new"],
        ["caption", copy / "synthetic", "-o", copy / "new.parquet"],
    ):
        assert run(list(map(str, command))) == 1, command
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error")]
        assert SHARD in line and "again" in line
        assert not (copy / "new").exists() and not (copy / "new.parquet").exists()
    if how not in ("flipped",):  # which replay is there to show, if it is in the row
        assert run(["replay", str(copy / "synthetic"), "6", "--dataset-source", photos]) == 1
        assert "again" in capsys.readouterr().err


@pytest.mark.parametrize("how", [how for how in DAMAGES if how not in ("gone", "flipped")])
def test_push_and_replay_name_a_manifest_that_cannot_be_read(copy, how, capsys):
    damage(copy / "synthetic" / "manifest.json", how)
    for command in (["push", copy / "synthetic", "ann/flowers"], ["replay", copy / "synthetic", "6"]):
        assert run(list(map(str, command))) == 1
        assert "manifest.json" in capsys.readouterr().err
