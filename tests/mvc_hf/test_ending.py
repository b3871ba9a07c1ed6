"""How a process ends: one line for whatever a person can mend."""

import errno
import json
import os
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch
from torch.multiprocessing.spawn import ProcessRaisedException

from mvc_hf import ending
from mvc_hf.ending import exit_code, line_of
from mvc_hf.errors import DataError, Stopped

FULL = "the disk is full"
WALL = """Caught {} in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "/x/worker.py", line 1, in loop
    data = fetch(index)
{}
"""
PEER = "[/x/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:4021. This is typically caused by"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("x.parquet is\nbroken"), "x.parquet is broken"),
        (ProcessRaisedException(WALL.format("", "mvc_hf.errors.Stopped: stopped at: 5"), 0, 1), "stopped at: 5"),
        (OSError(WALL.format("OSError", "OSError: [Errno 28] No space left on device: '/x'")), FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/x"), f"{FULL} (/x)"),
        (RuntimeError(WALL.format("RuntimeError", "RuntimeError: No space left on device (os error 28)")), FULL),
        (FileNotFoundError(WALL.format("F", "FileNotFoundError: [Errno 2] No such: 'a'")), "[Errno 2] No such: 'a'"),
        (RuntimeError("unable to write to file </torch_12_3>: No space left on device (28)"), "the shared memory"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is"), "the shared memory"),
        (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), "a worker process was ended"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "a worker process was ended"),
        (BrokenProcessPool("A process in the process pool was terminated abruptly"), "a worker process was ended"),
        (KeyboardInterrupt(), "stopped; the same command goes on"),
    ],
)  # fmt: skip
def test_what_a_person_can_mend_is_one_line(error, line):
    found = line_of(error)
    assert found.startswith(line) and "\n" not in found and "Traceback" not in found and "worker.py" not in found


class Worker(torch.utils.data.Dataset):
    """What happens in the process of a loader."""

    def __init__(self, act):
        self.act = act

    def __len__(self):
        return 1

    def __getitem__(self, _):
        return self.act()


def full():
    raise OSError(errno.ENOSPC, "No space left on device", "/x")


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_happens_in_a_worker_is_one_line(capsys):
    for act, line in ((full, FULL), (killed, "a worker process was ended from outside")):
        assert exit_code(lambda act=act: list(torch.utils.data.DataLoader(Worker(act), num_workers=1))) == 1
        err = capsys.readouterr().err
        assert err.startswith(f"Error: {line}") and err.count("\n") == 1


def test_what_was_raised_from_one_of_ours_is_its_line():
    error = RuntimeError("the generator failed")
    error.__cause__ = OSError("wrapped")
    error.__cause__.__cause__ = DataError("row 3 is broken")
    assert line_of(error) == "row 3 is broken"
    error = ZeroDivisionError()
    error.__context__ = DataError("row 3 is broken")  # a fault of ours, on the way out
    assert line_of(error) is None


@pytest.mark.parametrize("error", [ZeroDivisionError("1"), KeyError(WALL.format("KeyError", "KeyError: 'x'"))])
def test_a_fault_of_ours_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        exit_code(lambda: (_ for _ in ()).throw(error))


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda: signal.raise_signal(signal.SIGTERM), 143),
        (lambda: signal.raise_signal(signal.SIGINT), 130),
        (lambda: _raise(Stopped("stopped", signal=signal.SIGTERM)), 143),
        (lambda: _raise(Stopped("stopped", signal=signal.SIGINT)), 130),
        (lambda: _raise(DataError("no")), 1),
    ],
)
def test_signals_have_exit_codes_of_their_own(act, code, capsys):
    tidied, before = [], signal.getsignal(signal.SIGTERM)

    def run():
        try:
            act()
        finally:
            tidied.append(True)

    assert exit_code(run) == code and tidied
    assert capsys.readouterr().err.count("\n") == 1
    assert signal.getsignal(signal.SIGTERM) == before


def _raise(error):
    raise error


def test_who_listens_to_sigterm_already_goes_on_to(monkeypatch):
    heard, before = [], signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        assert exit_code(lambda: signal.raise_signal(signal.SIGTERM)) == 0 and heard
    finally:
        signal.signal(signal.SIGTERM, before)


def test_peers_are_lost_only_where_there_are_some(monkeypatch):
    assert line_of(RuntimeError(PEER)) is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "another process of this run (Connection closed by peer [127.0.0.1]:4021)" in line_of(RuntimeError(PEER))
    assert line_of(torch.distributed.DistBackendError("remote process exited")).startswith("lost the connection")
    assert line_of(RuntimeError(PEER), "finetune").endswith("; the same command goes on from what is saved")
    assert line_of(RuntimeError("shapes do not match")) is None
    wrapped = DataError("cannot go on")
    wrapped.__cause__ = RuntimeError(PEER)
    assert line_of(wrapped).startswith("lost the connection")


LATE = """
import signal, sys
from mvc_hf import ending

tell, ending.PATIENCE = ending.line_of, 600

def line_of(*arguments):
    signal.raise_signal(signal.SIGTERM)
    return tell(*arguments)

def run():
    raise RuntimeError(sys.argv[1])

ending.line_of = line_of
sys.exit(ending.exit_code(run))
"""


def test_a_process_that_is_ended_while_it_tells_has_told():
    command = [sys.executable, "-c", LATE, PEER]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=os.environ | {"WORLD_SIZE": "2", "RANK": "0"}
    )
    assert ended.stderr.startswith("Error (rank 0): lost the connection") and ended.returncode == 1


def test_a_process_that_is_ended_while_it_tidies_up_after_a_lost_peer_tells_of_it(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(ending, "PATIENCE", 0)

    def run():
        try:
            raise RuntimeError(PEER)
        finally:
            signal.raise_signal(signal.SIGTERM)

    assert exit_code(run) == 143
    assert capsys.readouterr().err.startswith("Error: lost the connection")


def test_the_launcher_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(ending, "PATIENCE", 0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert exit_code(lambda: (_ for _ in ()).throw(RuntimeError(PEER))) == 1
    assert not (tmp_path / "error.json").exists(), "it is not the cause"
    assert exit_code(lambda: (_ for _ in ()).throw(Stopped("stopped"))) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "Error (rank 1): stopped"
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    told = ProcessFailure(1, 7, 1, str(tmp_path / "error.json"))
    assert told.message["message"] == "stopped" and told.timestamp > 0
    json.loads((tmp_path / "error.json").read_text())


def test_launched_ranks_end_with_the_line_of_the_one_that_failed(tmp_path):
    (tmp_path / "rank.py").write_text("""
import sys
import torch.distributed
from mvc_hf.ending import exit_code
from mvc_hf.errors import DataError

def run():
    torch.distributed.init_process_group("gloo")
    if torch.distributed.get_rank() == 1:
        raise DataError("x.parquet is broken: mend it")
    torch.distributed.barrier()

sys.exit(exit_code(run))
""")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*command, str(tmp_path / "rank.py")], capture_output=True, text=True, timeout=120)
    ours, launcher = done.stderr.split("torch.distributed.elastic.multiprocessing.errors.ChildFailedError")
    assert done.returncode == 1 and "Error (rank 1): x.parquet is broken: mend it" in ours.splitlines()
    assert 'rank.py", line' not in ours and "init_process_group" not in ours, "no rank has a traceback"
    assert "traceback : x.parquet is broken: mend it" in launcher.partition("Root Cause")[2]


def test_errors_that_were_raised_from_each_other_end(capsys):
    first, second = ValueError("one"), DataError("two")
    first.__cause__, second.__cause__ = second, first

    def run():
        raise first

    assert exit_code(run) == 1 and capsys.readouterr().err == "Error: two\n"
