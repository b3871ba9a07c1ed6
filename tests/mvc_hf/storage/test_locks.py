import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import filelock
import pytest

from mvc_hf.errors import OutputError
from mvc_hf.storage import locks
from mvc_hf.storage.locks import (
    locked_file,
    locked_folder,
    locked_part,
    parts_at_work,
    strangers,
    turn_in_folder,
    waiting_lock,
)  # fmt: skip

HOLD = "import sys, time; from pathlib import Path; from mvc_hf.storage import locks\n"
HOLD += "with locks.locked_folder(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of OUT."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "out"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_one_is_told_who_holds_it(holder, tmp_path):
    with pytest.raises(OutputError) as caught, locked_folder(tmp_path / "out"):
        pass
    found = re.fullmatch(
        r"(.*) is being written by another mvc-hf \(process (\d+) on (.*), since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\): "
        "wait until it has ended, or choose another place",
        str(caught.value),
    )
    assert found.groups() == (str(tmp_path / "out"), str(holder.pid), socket.gethostname())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_process_left_blocks_nobody(holder, tmp_path, number):
    holder.send_signal(number)
    holder.wait()
    assert strangers(tmp_path / "out") == [] and os.listdir(tmp_path / "out")
    with locked_folder(tmp_path / "out"):
        pass


def test_a_lock_that_is_let_go_soon_is_waited_for(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 60.0)
    signal.signal(signal.SIGALRM, lambda *_: holder.kill())
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with locked_folder(tmp_path / "out"):
        assert holder.wait() == -signal.SIGKILL


def test_what_a_lock_file_holds_does_not_matter(tmp_path):
    (tmp_path / locks.LOCK.format(locks.FOLDER)).write_bytes(b"\x00\xff garbage")
    with locked_folder(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_nothing_is_left_of_the_lock(tmp_path):
    with locked_folder(tmp_path / "out"):
        (tmp_path / "out" / "result").touch()
    assert os.listdir(tmp_path / "out") == ["result"]


def test_a_folder_into_which_nothing_came_goes_again(tmp_path):
    with pytest.raises(ValueError), locked_folder(tmp_path / "a" / "b"):
        raise ValueError
    assert os.listdir(tmp_path) == []
    (tmp_path / "mine").mkdir()
    with locked_folder(tmp_path / "mine"):
        pass
    assert os.listdir(tmp_path) == ["mine"]


def test_a_file_is_locked_beside_it(tmp_path):
    with locked_file(tmp_path / "captions.parquet"), locked_file(tmp_path / "others.parquet"):
        second = locked_file(tmp_path / "captions.parquet")
        with pytest.raises(OutputError, match=r"captions\.parquet is being written"), second:
            pass
    assert os.listdir(tmp_path) == []


def test_other_ranks_of_the_same_run_pass(tmp_path, monkeypatch):
    with locked_folder(tmp_path / "out"):
        monkeypatch.setenv("RANK", "1")
        with locked_folder(tmp_path / "out"):
            pass
        monkeypatch.setenv("RANK", "0")  # the main process of another run does not
        with pytest.raises(OutputError, match="another mvc-hf"), locked_folder(tmp_path / "out"):
            pass


@pytest.mark.parametrize("damage", [b"", b"\x00\xff", b"[]", b'{"pid": "x"}'])
def test_holder_that_cannot_be_read(tmp_path, damage):
    with locked_folder(tmp_path / "out"):
        (tmp_path / "out" / locks.HOLDER.format(locks.FOLDER)).write_bytes(damage)
        with pytest.raises(OutputError, match="by another mvc-hf: wait"), locked_folder(tmp_path / "out"):
            pass


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "No locks available"), OSError(errno.ENOSYS, "x"), NotImplementedError("no flock")]
)
def test_file_systems_without_locks_are_said_and_used_all_the_same(tmp_path, monkeypatch, capsys, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", fails)
    with locked_folder(tmp_path / "out"):
        (tmp_path / "out" / "result").touch()
    assert "cannot be locked" in capsys.readouterr().err
    assert "result" in os.listdir(tmp_path / "out")


@pytest.mark.parametrize("error", [PermissionError(), NotImplementedError(), OSError(errno.ENOLCK, "No locks")])
def test_an_entry_of_the_cache_is_used_without_a_lock_where_there_can_be_none(tmp_path, monkeypatch, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", fails)
    with waiting_lock(tmp_path / "lock"):
        pass


def test_an_entry_of_the_cache_is_waited_for(tmp_path):
    done = []

    def second():
        with waiting_lock(tmp_path / "lock"):
            done.append("second")

    with waiting_lock(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        done.append("first")
    thread.join()
    assert done == ["first", "second"]


def test_lock_that_is_a_folder(tmp_path, capsys):
    (tmp_path / locks.LOCK.format(locks.FOLDER)).mkdir()
    with locked_folder(tmp_path):
        pass
    assert "cannot be locked" in capsys.readouterr().err


def test_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "out").touch()
    for place in (tmp_path / "out", tmp_path / "out" / "inner"):
        with pytest.raises(OutputError, match="is a file: choose a folder"), locked_folder(place):
            pass


def test_strangers(tmp_path):
    for name in ("run.json", ".run.json.tmp", "photo.png", ".run.json", locks.LOCK.format(locks.FOLDER)):
        (tmp_path / name).touch()
    assert strangers(tmp_path, "run.json") == [".run.json", "photo.png"]
    assert strangers(tmp_path / "none") == []


PART = "import sys, time; from pathlib import Path; from mvc_hf.storage import locks\nout = Path(sys.argv[1])\n"
PART += "with locks.turn_in_folder(out): lock = locks.locked_part(out, range(3)); lock.__enter__()\n"
PART += "print('held', flush=True); time.sleep(600)"


@pytest.fixture
def part_holder(tmp_path):
    """Another process that writes parts 0, 1 and 2 of OUT."""
    process = subprocess.Popen([sys.executable, "-c", PART, tmp_path / "out"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_parts_are_written_side_by_side_but_never_the_same_one_twice(part_holder, tmp_path):
    out = tmp_path / "out"
    with turn_in_folder(out), locked_part(out, [3, 4]):
        assert strangers(out) == []
    with turn_in_folder(out), pytest.raises(OutputError) as caught, locked_part(out, [2, 3]):
        pass
    assert f"by another mvc-hf (process {part_holder.pid} on" in str(caught.value)
    with pytest.raises(OutputError, match="is being written by another mvc-hf"), locked_folder(out):
        pass


def test_what_a_killed_writer_of_parts_left_blocks_nobody(part_holder, tmp_path):
    part_holder.kill()
    part_holder.wait()
    out = tmp_path / "out"
    assert strangers(out) == [] and len(os.listdir(out)) == 2
    with locked_folder(out):
        assert parts_at_work(out) == []
    with turn_in_folder(out), locked_part(out, range(3)):
        pass
    assert not out.exists() or os.listdir(out) == []
