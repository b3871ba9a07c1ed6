"""What a finished run leaves to go on from."""

from training_runs import change

from mvc_hf.training.finetune import finetune
from mvc_hf.training.output.leaving import leave


def test_the_size_is_said_and_how_to_drop_it(whole, capsys):
    leave(whole, 2)
    said = capsys.readouterr().err
    assert "MB to go on from with more --max-train-steps; --checkpoints-total-limit 0 drops them" in said
    assert len(list((whole / "checkpoints").glob("step-*"))) == 2


def test_a_limit_of_zero_drops_them_at_the_end_or_afterwards(recipe, whole, tmp_path, capsys):
    few = change(recipe, max_train_steps=3, early_stopping=3, checkpoints_total_limit=0)
    finetune(few, tmp_path / "out")
    assert not [p for p in (tmp_path / "out" / "checkpoints").iterdir() if p.is_dir()]
    assert (tmp_path / "out" / "mvc.json").exists()
    finetune(change(recipe, checkpoints_total_limit=0), whole)
    assert not list((whole / "checkpoints").glob("step-*"))
    assert capsys.readouterr().err.count("of training checkpoints are dropped") == 2
    finetune(recipe, whole)
    assert "finished already" in capsys.readouterr().err
