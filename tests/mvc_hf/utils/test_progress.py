"""What is said to the person who waits: lines on standard error, from the main process."""

import os
import re
import struct
import subprocess
import sys

import pytest
from tqdm import tqdm

from mvc_hf.utils import progress

fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")


class Shown(tqdm):
    """A bar that is drawn, although TQDM_DISABLE, which it read when it was imported, says otherwise."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **{"disable": False, **settings})


@pytest.fixture(autouse=True)
def as_at_the_start(monkeypatch):
    monkeypatch.setattr(progress, "_silent", False)
    monkeypatch.setattr(progress, "_said", set())
    monkeypatch.delenv(progress.QUIET, raising=False)


def test_one_line_is_one_line(capsys):
    progress.say("two\nlines")
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and "two" in err


def test_what_is_said_once_is_said_once(capsys):
    for _ in range(3):
        progress.say_once("hello")
    assert capsys.readouterr().err == "hello\n"


def test_other_processes_are_silent(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    progress.say("hello")
    assert not progress.is_main_process() and progress.bar(3, "steps").disable
    monkeypatch.setenv("RANK", "0")
    assert progress.is_main_process()
    progress.be_silent()
    progress.say("hello")
    assert not progress.is_main_process() and not capsys.readouterr().err


def test_bars_of_the_hub_s_client_are_as_before_afterwards():
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    enable_progress_bars()
    with progress.without_client_bars():
        assert are_progress_bars_disabled()
    assert not are_progress_bars_disabled()
    disable_progress_bars()
    with progress.without_client_bars():
        assert are_progress_bars_disabled()
    assert are_progress_bars_disabled()
    enable_progress_bars()


def test_where_there_is_no_terminal_states_are_lines(monkeypatch, capsys):
    monkeypatch.setattr(progress, "tqdm", Shown)
    monkeypatch.setattr(progress, "DELAY", 0)
    with progress.bar(10, "work", " steps", done=4) as shown:
        shown.mininterval = 0
        for _ in range(6):
            shown.update()
        progress.say("between")
    err = capsys.readouterr().err
    lines = err.splitlines()
    assert err.endswith("\n") and "\r" not in err and not any(line != line.strip() for line in lines)
    assert lines[0].startswith("work:  40%") and "between" in lines
    assert lines[-1].startswith("work: 100%") and "10/10" in lines[-1]


@pytest.mark.parametrize(("rows", "columns"), [(24, 60), (0, 60), (24, 0), (0, 0)])
def test_a_terminal_that_does_not_know_its_size_has_bars_too(rows, columns):
    code = "from mvc_hf.utils.progress import bar\nwith bar(3, 'generating') as shown: shown.update(3)"
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    subprocess.run([sys.executable, "-c", code], stderr=theirs, env=os.environ | {"TQDM_DISABLE": ""}, check=True)
    drawn = os.read(ours, 4096).decode().strip().split("\r")[-1]
    os.close(ours)
    os.close(theirs)
    assert "generating: 100%" in drawn and len(drawn) <= (60 if rows and columns else 80)


def test_what_was_done_before_is_no_part_of_the_rate(monkeypatch, capsys):
    monkeypatch.setattr(progress, "tqdm", Shown)
    with progress.bar(1000, "work", done=900) as shown:
        shown.start_t -= 10  # ten seconds ago
        shown.update(10)
        assert 0.5 < (shown.n - shown.initial) / shown.format_dict["elapsed"] < 1.01
        progress.done_before(shown, 0)
        assert re.search(r"910/1000 \[00:10<01:3\d,", str(shown))  # 90 to go at one a second


def test_what_is_found_done_on_the_way_is_no_part_of_the_rate_either(monkeypatch):
    assert progress.done_before(progress.bar(9, "silent"), 4) is None
    monkeypatch.setattr(progress, "tqdm", Shown)
    with progress.bar(9, "work") as shown:
        progress.done_before(shown, 4)
        shown.update(2)
        assert (shown.n, shown.initial) == (6, 4)


def test_a_share_of_several_processes_says_so(monkeypatch):
    monkeypatch.setattr(progress, "tqdm", Shown)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert progress.bar(3, "generating", shared=True).desc.startswith("generating, share of 1 of 2 processes")
    assert "share" not in progress.bar(3, "fine-tuning").desc


def test_a_log_file_is_not_flooded(monkeypatch, capsys):
    """A day in which the state changes every second is some two hundred lines, and its end is one of them."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    lines = progress._Lines()
    for clock[0] in range(86_400):
        lines.write(f"work: {clock[0] / 864:.0f}.0%")
    lines.write("work: 100%|####| 86400/86400")
    shown = capsys.readouterr().err.splitlines()
    assert 20 < len(shown) < 250 and shown[-1].startswith("work: 100%")


def test_a_stage_that_takes_no_time_leaves_no_line_in_a_log_file(monkeypatch, capsys):
    monkeypatch.setattr(progress, "tqdm", Shown)
    with progress.bar(3, "work") as shown:
        shown.update(3)
    assert capsys.readouterr().err == ""


def test_quiet_leaves_warnings(monkeypatch, capsys):
    for name in (progress.QUIET, *progress.CLIENTS):
        monkeypatch.setenv(name, "0")
    progress.be_quiet()
    progress.say("note: this and that")
    progress.say("warning: it begins to copy")
    assert progress.bar(3, "work").disable and capsys.readouterr().err == "warning: it begins to copy\n"
