"""Whose an output folder is."""

import pytest
from training_runs import change

from mvc_hf.errors import OutputError
from mvc_hf.storage.notes import read_json
from mvc_hf.training.finetune import finetune
from mvc_hf.training.output.folder import check_folder, claim, is_finished, is_known, marker


def test_finished_run_is_left_as_it_is(recipe, whole, capsys):
    before = (whole / "mvc.json").stat().st_mtime_ns
    finetune(recipe, whole)
    assert (whole / "mvc.json").stat().st_mtime_ns == before
    assert "finished already" in capsys.readouterr().err


def test_folder_of_another_recipe_is_refused_by_field(recipe, whole):
    with pytest.raises(OutputError, match=r"these differ: fine \(8 → 3\); choose another folder"):
        finetune(change(recipe, fine=3), whole)
    finetune(change(recipe, checkpointing_steps=5), whole)  # says only how it is computed


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
    mine = read_json(whole / "mvc.json", "")["fingerprint"]
    assert is_known(whole, mine) and not is_known(whole, "another")


def test_a_damaged_result_is_unfinished_as_long_as_a_checkpoint_is_left(whole, capsys):
    assert is_finished(whole) and not is_finished(whole / "checkpoints")
    (whole / "captions.parquet").write_bytes(b"")
    assert not is_finished(whole)
    assert "written again from the last training checkpoint" in capsys.readouterr().err
    for state in (whole / "checkpoints").glob("step-*"):
        state.rename(whole / state.name)
    with pytest.raises(OutputError, match="no training checkpoint is left to write it again from"):
        is_finished(whole)
