"""The log of a training run."""

from mvc_hf.training.output.log import TrainingLog

HEADER = "step,loss,lr,held_out_loss,seen_loss"


def written(path, rows):
    log = TrainingLog(path)
    log.forget_after(0)
    for row in rows:
        log.write(row)
    return log


def test_a_row_a_step_with_the_heldout_loss_where_it_was_measured(tmp_path):
    rows = [{"step": 1, "loss": 0.5, "lr": 0.001}, {"step": 2, "loss": "", "lr": 0.001}]
    written(
        tmp_path / "log.csv", [*rows, {"step": 3, "loss": 0.25, "lr": 0.1, "held_out_loss": 2.0, "seen_loss": 1.0}]
    )
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        HEADER, "1,0.5,0.001,,", "2,,0.001,,", "3,0.25,0.1,2.0,1.0"
    ]  # fmt: skip


def test_a_resumed_run_forgets_the_rows_after_its_checkpoint(tmp_path):
    log = written(tmp_path / "log.csv", [{"step": step, "loss": 0.5, "lr": 0.1} for step in range(1, 6)])
    log.forget_after(3)
    assert [row.split(",")[0] for row in log.path.read_text().splitlines()] == ["step", "1", "2", "3"]


def test_a_row_that_broke_off_is_left_out_without_a_word(tmp_path, capsys):
    log = written(tmp_path / "log.csv", [{"step": step, "loss": 0.5, "lr": 0.1, "seen_loss": 1.0} for step in (1, 2)])
    log.path.write_text(log.path.read_text() + "3,0.5")
    log.forget_after(9)
    assert "3,0.5" not in log.path.read_text() and not capsys.readouterr().err


def test_several_unreadable_rows_are_told(tmp_path, capsys):
    log = written(tmp_path / "log.csv", [{"step": 1, "loss": 0.5, "lr": 0.1, "seen_loss": 1.0}])
    log.path.write_text(log.path.read_text() + "no\nrows\nat all\n")
    log.forget_after(9)
    assert "3 rows of" in capsys.readouterr().err
    assert len(log.path.read_text().splitlines()) == 2
