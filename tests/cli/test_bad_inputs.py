"""Whatever a person gives to a command: one line, no traceback, nothing spent and nothing left behind.

The table is in tests/helpers/bad_inputs.py. `pytest tests/cli/test_bad_inputs.py -q` repeats the trial and counts.
"""

import contextlib
import os
import threading

import pytest
from bad_inputs import all_cases
from bad_world import build, filled, tree
from hub_server import LocalHub, connect

from mvc_hf import cli

CASES = all_cases()
PATIENCE = 30.0  # seconds; no case needs as many


class Spent(Exception):
    """A model has begun to work on input that is wrong."""


@pytest.fixture(scope="module")
def world(tmp_path_factory, tiny_base):
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVC_HF_CACHE", str(folder.parent / "cache"))
        return build(folder, tiny_base)


@pytest.fixture(scope="module")
def one_hub():
    with LocalHub() as made:
        made.repo("ann/data", "datasets")
        made.repo("ann/x", "models")
        yield made


@pytest.fixture(autouse=True)
def nothing_is_spent(monkeypatch):
    """Where a model would begin to work, these cases end."""
    import mvc_hf.assessment.assess
    import mvc_hf.generation.generate
    import mvc_hf.inspection.estimate
    import mvc_hf.inspection.preview
    import mvc_hf.plugins.classifiers.runs
    import mvc_hf.training.finetune
    import mvc_hf.workflows.demo

    def spend(*_, **__):
        raise Spent

    monkeypatch.setattr(mvc_hf.assessment.assess, "_Run", spend)
    monkeypatch.setattr(mvc_hf.workflows.demo, "finetune", spend)
    monkeypatch.setattr(mvc_hf.training.trainer.Trainer, "train", spend)
    monkeypatch.setattr(mvc_hf.generation.generator.Generator, "rows", spend)
    monkeypatch.setattr(mvc_hf.inspection.estimate, "_measure", spend)
    monkeypatch.setattr(mvc_hf.inspection.preview, "_images", spend)
    monkeypatch.setattr(mvc_hf.plugins.classifiers.runs, "side_by_side", spend)


@pytest.fixture(autouse=True)
def nothing_hangs(world):
    """After a while that no case needs, whoever waits for the other end of a pipe is let go, and the case fails."""
    done, hung = threading.Event(), threading.Event()

    def watch():
        while not done.wait(PATIENCE if not hung.is_set() else 0.1):
            hung.set()
            for pipe in (world["pipe"], f"{world['sets']}/piped/a/x.png"):
                with contextlib.suppress(OSError):
                    os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))

    threading.Thread(target=watch, daemon=True).start()
    yield
    done.set()
    assert not hung.is_set(), "it hangs"


def put_back(left):
    """Take away what a case has left in the world of the others, which would hide what is wrong with them."""
    for path, _ in sorted(left, reverse=True):
        os.rmdir(path) if os.path.isdir(path) else os.unlink(path)


def test_the_table_is_long():
    assert len(CASES) >= 250 and {c.arguments[0] for c in CASES} >= set(cli.COMMANDS)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_line_and_nothing_else(case, world, one_hub, tmp_path, monkeypatch, capsys):
    for name, value in case.environment:
        monkeypatch.setenv(name, filled(value, world))
    if case.hub:
        connect(one_hub, tmp_path.parent / f"{tmp_path.name}-home", monkeypatch)
    monkeypatch.chdir(tmp_path)
    calls, before = len(one_hub.requests), tree(world["photos"])
    try:
        code = cli.run([filled(argument, world) for argument in case.arguments])
    except SystemExit as stop:  # of timm's own parser
        code = stop.code
    finally:
        left = tree(world["photos"]) - before
        put_back(left)
    out, err = capsys.readouterr()
    lines = err.strip().splitlines()
    assert code in (1, 2), out
    assert "Traceback" not in out + err
    assert all(line.isprintable() for line in lines)
    if code == 1:
        assert lines[-1].startswith("Error: ") and len(lines[-1]) > len("Error: ...")
        assert sum(line.startswith("Error") for line in lines) == 1 and max(map(len, lines)) < 2000
    else:
        assert "error: " in err.lower()
    assert list(tmp_path.iterdir()) == []
    assert not left
    assert not {r.call for r in one_hub.requests[calls:]} & {"create", "upload", "commit"}
