import json
import math
import shutil

import pytest
import tiny
import torch
from training_runs import assert_same_run, change, die, log, weights

from mvc_hf.artifacts.checkpoint import CheckpointMetadata, load_captions
from mvc_hf.errors import DataError, NotEnoughMemory, OutputError, RecipeError
from mvc_hf.storage import locks
from mvc_hf.storage.layout import PLACES
from mvc_hf.storage.locks import locked_folder
from mvc_hf.training import finetune as module
from mvc_hf.training.finetune import finetune
from mvc_hf.training.trainer import Trainer


def test_killed_while_the_result_is_written(recipe, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(module.CaptionTable, "save", die)
        finetune(recipe, tmp_path / "killed")
    assert not (tmp_path / "killed" / "mvc.json").exists()
    finetune(recipe, tmp_path / "killed")
    assert_same_run(whole, tmp_path / "killed")


def test_notes_and_captions(recipe, whole, photos, tiny_base):
    notes = CheckpointMetadata.load(whole)
    assert notes.class_names == ("apple", "pear", "plum")
    assert notes.source["name"] == "photos" and notes.source["images"] == 27
    assert notes.base["name"] == "tiny-base" and notes.resolution == 16 and notes.native_size == (16, 16)
    assert len(load_captions(whole, notes.class_names)) == 24
    for path in whole.rglob("*"):
        if path.is_file() and path != whole / PLACES:
            content = path.read_bytes()
            for secret in (str(photos), str(tiny_base), str(whole)):
                assert secret.encode() not in content, path
    assert not [p for p in whole.rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".pth")]


def test_other_images_of_the_same_name_are_noticed(recipe, whole, photos, tmp_path):
    shutil.copytree(photos, tmp_path / "moved" / "photos")
    finetune(change(recipe, dataset=str(tmp_path / "moved" / "photos")), whole)  # only moved: the same data
    tiny.image_folder(tmp_path / "moved" / "photos", {"plum": 4}, seed=9)
    with pytest.raises(OutputError, match="these differ: dataset"):
        finetune(change(recipe, dataset=str(tmp_path / "moved" / "photos")), whole)


def test_v_prediction_gradient_checkpointing_and_eight_channels(recipe, tmp_path):
    base = tiny.tiny_base(tmp_path / "v", prediction_type="v_prediction", in_channels=8)
    settings = {"base": str(base), "gradient_checkpointing": True, "max_train_steps": 2}
    finetune(change(recipe, **settings), tmp_path / "out")
    assert (
        json.loads((tmp_path / "out/scheduler/scheduler_config.json").read_text())["prediction_type"] == "v_prediction"
    )
    assert all(math.isfinite(float(row["loss"])) for row in log(tmp_path / "out"))


def test_bf16(recipe, tmp_path):
    finetune(change(recipe, mixed_precision="bf16", max_train_steps=2), tmp_path / "out")
    assert all(value.dtype == torch.float32 for value in weights(tmp_path / "out").values())


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"base": ""}, RecipeError, "give --base"),
        ({"resolution": 30}, RecipeError, "multiple of 4"),
        ({"dataset": "./nowhere"}, DataError, "no such folder or file: './nowhere'"),
        ({"captions": "column:text"}, DataError, "photos"),
        ({"captions": "blip3"}, RecipeError, "blip3"),
    ],
)
def test_bad_input_is_told_before_anything_is_made(recipe, tmp_path, settings, error, says):
    with pytest.raises(error, match=says):
        finetune(change(recipe, **settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 works with a GPU")
def test_fp16_needs_a_gpu(recipe, tmp_path):
    with pytest.raises(RecipeError, match="fp16 needs a GPU"):
        finetune(change(recipe, mixed_precision="fp16"), tmp_path / "out")


def test_class_that_cannot_be_mixed_is_said_once(recipe, tmp_path, capsys):
    finetune(change(recipe, captions="template:a {}", max_train_steps=2), tmp_path / "out")
    assert capsys.readouterr().err.count("3 of 3 classes have one caption and cannot be mixed") == 1


def test_a_second_run_in_the_same_folder_is_told_of_the_first(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with locked_folder(tmp_path / "out"), pytest.raises(OutputError, match=r"another mvc-hf \(process "):
        finetune(recipe, tmp_path / "out")


def test_equal_runs_make_equal_files_whatever_the_caches_hold(recipe, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("MVC_HF_CACHE", str(tmp_path / "other"))
    finetune(recipe, tmp_path / "cold")
    finetune(recipe, tmp_path / "warm")
    digests = [CheckpointMetadata.load(out).sha256 for out in (whole, tmp_path / "cold", tmp_path / "warm")]
    assert digests[0] == digests[1] == digests[2] and len(digests[0]) > 8


def test_every_json_file_is_strict(recipe, tmp_path):
    """NaN and Infinity are no JSON, whatever Python's own module writes: other readers stop at them."""
    finetune(change(recipe, holdout_fraction=0.0), tmp_path / "out")

    def refuse(name):
        raise AssertionError(name)

    files = list((tmp_path / "out").rglob("*.json"))
    assert {"mvc.json", "run.json", "state.json"} <= {file.name for file in files}
    for file in files:
        json.loads(file.read_text(), parse_constant=refuse)


@pytest.mark.parametrize("limit", [None, 512, int(1e30), 8])
def test_the_text_encoder_knows_how_many_tokens_it_reads(recipe, tmp_path, tiny_base, limit):
    """A tokenizer's file may say nothing, or anything; what is published says the truth."""
    base = shutil.copytree(tiny_base, tmp_path / "base")
    file = base / "tokenizer" / "tokenizer_config.json"
    values = json.loads(file.read_text())
    values.pop("model_max_length")
    file.write_text(json.dumps(values | ({} if limit is None else {"model_max_length": limit})))
    finetune(change(recipe, base=str(base), max_train_steps=1), tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "tokenizer" / "tokenizer_config.json").read_text())
    assert saved["model_max_length"] == 77


def test_memory_that_does_not_suffice_is_one_line(recipe, tmp_path, monkeypatch):
    def full(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Trainer, "_update", full)
    with pytest.raises(NotEnoughMemory, match=r"memory does not suffice to finetune.*--train-batch-size"):
        finetune(recipe, tmp_path / "out")


def test_what_no_machine_holds_is_refused_before_anything_is_encoded(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("mvc_hf.utils.memory._there_is", lambda device: 10 * 2**20)
    monkeypatch.setattr(module, "captions_of", None)
    with pytest.raises(NotEnoughMemory, match="encoding images at --resolution 8192 takes at least 32 GiB"):
        finetune(change(recipe, resolution=8192), tmp_path / "out")
    with pytest.raises(NotEnoughMemory, match="--train-batch-size 8192 at --resolution 16 takes at least"):
        finetune(change(recipe, train_batch_size=8192), tmp_path / "out")
    assert not (tmp_path / "out").exists()
