"""What is said to the person who waits: lines on standard error, from the main process."""

import pytest

from mvc_hf.utils import progress


@pytest.fixture(autouse=True)
def as_at_the_start(monkeypatch):
    monkeypatch.setattr(progress, "_silent", False)
    monkeypatch.setattr(progress, "_said", set())


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
