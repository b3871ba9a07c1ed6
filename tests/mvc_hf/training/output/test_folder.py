"""Whose an output folder is."""

import shutil

import pytest
import tiny
from training_runs import assert_same_run, change, log

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.errors import OutputError
from mvc_hf.storage.notes import read_json
from mvc_hf.training.finetune import finetune
from mvc_hf.training.output.folder import check_folder, claim, fingerprints, is_finished, is_known, marker


def test_finished_run_is_left_as_it_is(recipe, whole, capsys):
    before = (whole / "mvc.json").stat().st_mtime_ns
    finetune(recipe, whole)
    assert (whole / "mvc.json").stat().st_mtime_ns == before
    assert "finished already" in capsys.readouterr().err


def test_folder_of_another_recipe_is_refused_by_field(recipe, whole):
    with pytest.raises(OutputError, match=r"these differ: fine \(8 → 3\); choose another folder"):
        finetune(change(recipe, fine=3), whole)
    for watched in ({"checkpointing_steps": 5}, {"validation_steps": 2}, {"validation_images": 2}):
        finetune(change(recipe, **watched), whole)  # says only how it is computed, or watches


def test_other_data_is_told_in_words_before_anything_is_encoded(recipe, whole, photos, tmp_path, monkeypatch):
    more = tiny.image_folder(shutil.copytree(photos, tmp_path / "photos"), {"plum": 4}, seed=9)
    monkeypatch.setattr("mvc_hf.training.finetune.load_base", None)
    with pytest.raises(OutputError, match=r"differ: dataset \(27 images of photos → 28 images of photos\); choose"):
        finetune(change(recipe, dataset=str(more)), whole)
    with pytest.raises(OutputError, match=r"differ: seed \(0 → 1\); choose another folder"):
        finetune(change(recipe, seed=1, dataset="nowhere"), whole)  # not even opened


def test_a_run_that_is_finished_is_gone_on_with(recipe, tmp_path, capsys):
    """With a constant rate it is the run that would have been longer from the start."""
    constant = change(recipe, lr_scheduler="constant", max_train_steps=4, validation_steps=2)
    finetune(constant, tmp_path / "out")
    first = read_json(tmp_path / "out" / "mvc.json", "")["fingerprint"]
    finetune(change(constant, max_train_steps=6), tmp_path / "out")
    finetune(change(constant, max_train_steps=6), tmp_path / "once")
    assert_same_run(tmp_path / "out", tmp_path / "once")
    said = capsys.readouterr().err
    assert "going on to 6 steps; the run was to have 4" in said and "the rate goes" not in said
    notes = CheckpointMetadata.load(tmp_path / "out")
    assert notes.training["steps"] == 6 and notes.fingerprint != first
    assert notes.fingerprint != CheckpointMetadata.load(tmp_path / "once").fingerprint  # it was made in two stretches
    finetune(change(constant, max_train_steps=6), tmp_path / "out")
    assert "finished already" in capsys.readouterr().err
    with pytest.raises(OutputError, match="has done 6 updates already, more than the 5 of --max-train-steps"):
        finetune(change(constant, max_train_steps=5), tmp_path / "out")


def test_what_another_length_does_to_a_cosine_is_said(recipe, whole, capsys):
    warmup = [float(row["lr"]) for row in log(whole)][:2]
    finetune(change(recipe, max_train_steps=12), whole)
    rates = [float(row["lr"]) for row in log(whole)]
    assert len(rates) == 12 and rates[:2] == warmup
    assert rates[9] > rates[8]  # 9 updates went down to nearly 0; from there on it is the curve of 12
    said = capsys.readouterr().err
    assert f"the rate goes from {rates[8]:.3g} to {rates[9]:.3g}, and by a cosine down to 0 at step 12" in said


def test_nothing_to_go_on_from(recipe, whole):
    for state in (whole / "checkpoints").glob("step-*"):
        shutil.rmtree(state)
    with pytest.raises(OutputError, match="finished after 9 updates, and no training checkpoint is left"):
        finetune(change(recipe, max_train_steps=12), whole)
    finetune(recipe, whole)


def test_folder_that_is_not_ours_is_left_alone(recipe, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="not empty and was not made by mvc-hf"):
        finetune(recipe, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(OutputError, match="is a file"):
        finetune(recipe, tmp_path / "thesis.tex")


@pytest.mark.parametrize("left", [(), ("checkpoints",), ("checkpoints", "checkpoints/.run.json.tmp", ".mvc-hf.lock")])
def test_a_folder_of_a_run_killed_before_its_first_note_is_taken_up_again(recipe, tmp_path, left):
    (tmp_path / "out").mkdir()
    for name in left:
        (tmp_path / "out" / name).touch() if "." in name else (tmp_path / "out" / name).mkdir()
    finetune(change(recipe, max_train_steps=1), tmp_path / "out")
    assert (tmp_path / "out" / "mvc.json").exists() and not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("name", ["checkpoints/notes.txt", "checkpoints/run.yaml", "run.json", "checkpoint"])
def test_a_folder_with_something_else_beside_that_is_refused(recipe, tmp_path, name):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="was not made by mvc-hf"):
        finetune(recipe, tmp_path)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("text", ["", "[]", '{"step": 1'])
def test_marker_of_something_else(recipe, tmp_path, text):
    """Nothing beside it vouches for us, and something does not."""
    (tmp_path / "checkpoints" / "step-00000001").mkdir(parents=True)
    (tmp_path / "checkpoints" / "run.json").write_text(text)
    with pytest.raises(OutputError, match=r"run\.json .*: choose another folder"):
        finetune(recipe, tmp_path)
    assert (tmp_path / "checkpoints" / "run.json").read_text() == text


def test_claiming_a_folder_twice_is_claiming_it_once(tmp_path):
    claim(tmp_path, {"fine": 8})
    claim(tmp_path, {"fine": 8})
    check_folder(tmp_path)
    assert read_json(marker(tmp_path), "") == {"fine": 8}
    with pytest.raises(OutputError, match=r"these differ: fine \(8 → 3\)"):
        claim(tmp_path, {"fine": 3})


def test_an_unreadable_marker_is_written_again_where_nothing_else_lies_in_the_folder(tmp_path, capsys):
    claim(tmp_path, {"fine": 8})
    marker(tmp_path).write_text("")
    claim(tmp_path, {"fine": 3})
    assert read_json(marker(tmp_path), "") == {"fine": 3}
    assert "run.json is empty: it is written again" in capsys.readouterr().err


def test_a_folder_is_known_by_the_result_in_it(whole):
    mine = read_json(marker(whole), "")
    mine.pop("words")
    assert is_known(whole, *fingerprints(mine)) and not is_known(whole, *fingerprints(mine | {"fine": 3}))
    assert not is_known(whole, *fingerprints(mine | {"max_train_steps": 12}))


def test_a_damaged_result_is_unfinished_as_long_as_a_checkpoint_is_left(whole, capsys):
    result = CheckpointMetadata.load(whole).fingerprint
    assert is_finished(whole, result) and not is_finished(whole / "checkpoints", result)
    assert not is_finished(whole, "a longer one")
    (whole / "captions.parquet").write_bytes(b"")
    assert not is_finished(whole, result)
    assert "written again from the last training checkpoint" in capsys.readouterr().err
    for state in (whole / "checkpoints").glob("step-*"):
        state.rename(whole / state.name)
    with pytest.raises(OutputError, match="no training checkpoint is left to write it again from"):
        is_finished(whole, result)
