"""Whatever a person gives to a command: one line, no traceback, nothing spent and nothing left behind.

The table is in tests/helpers/bad_inputs.py. `pytest tests/cli/test_bad_inputs.py -q` repeats the trial and counts.
"""

import contextlib
import os
import re
import threading

import pytest
from bad_inputs import all_cases
from bad_world import build, filled, tree
from hub_server import LocalHub, connect

from mvc_hf import cli

CASES = all_cases()

# What waits for work that is under way elsewhere. Lift a mark when it is there.
WAITING = {
    r"--num-train-epochs|--learning-rate|--adam-(weight|eps)|--max-grad-norm|guidance-scale": "finite settings",
    r"scheduler (Flow|Score|Karras)|recipe: \w+ <recipes>/(22|23|47)/r.yaml": "a list of schedulers, finite settings",
    r"damaged model: .*(mvc.json|index.json|config.json|cut)": "notes and models that cannot be read",
    r"data set: .*<sets>/(piped|uint64|pathed)": "data sets that cannot be read",
    r"output: .*(<photos>/|demo|manifest-nested|run-nested)|demo -o <foreign>": "output folders",
}


def parameters():
    for case in CASES:
        waits = [why for what, why in WAITING.items() if re.search(what, str(case))]
        yield pytest.param(
            case, marks=[pytest.mark.xfail(reason=why, strict=False) for why in waits[:1]], id=str(case)
        )


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
    import mvc_hf.generation.generate
    import mvc_hf.inspection.estimate
    import mvc_hf.inspection.preview
    import mvc_hf.training.finetune
    import mvc_hf.workflows.demo

    def spend(*_, **__):
        raise Spent

    monkeypatch.setattr(mvc_hf.workflows.demo, "finetune", spend)
    monkeypatch.setattr(mvc_hf.training.trainer.Trainer, "train", spend)
    monkeypatch.setattr(mvc_hf.generation.generator.Generator, "rows", spend)
    monkeypatch.setattr(mvc_hf.inspection.estimate._Rehearsal, "all", spend)
    monkeypatch.setattr(mvc_hf.inspection.preview, "_painted", spend)


@pytest.fixture(autouse=True)
def nothing_hangs(world):
    """After a while that no case needs, whoever waits for the other end of a pipe is let go, and the case fails."""
    done, hung = threading.Event(), threading.Event()

    def watch():
        while not done.wait(float(os.environ.get("ALARM", 60)) if not hung.is_set() else 0.1):
            hung.set()
            for pipe in (world["pipe"], f"{world['sets']}/piped/a/x.png"):
                with contextlib.suppress(OSError):
                    os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))

    threading.Thread(target=watch, daemon=True).start()
    yield
    done.set()
    assert not hung.is_set(), "it hangs"


def test_the_table_is_long():
    assert len(CASES) >= 250 and {c.arguments[0] for c in CASES} >= set(cli.COMMANDS)


@pytest.mark.parametrize("case", parameters())
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
    assert tree(world["photos"]) == before
    assert not {r.call for r in one_hub.requests[calls:]} & {"create", "upload", "commit"}
