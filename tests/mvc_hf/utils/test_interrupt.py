"""Ctrl-C and SIGTERM at a safe point."""

import signal
import threading

import pytest

from mvc_hf.utils.interrupt import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request(number, capsys):
    before = signal.getsignal(number)
    with Interruption("after this batch") as interruption:
        assert not interruption.requested
        signal.raise_signal(number)
        assert interruption.requested and interruption.signal == number
    assert "stopping: after this batch (Ctrl-C again breaks off at once)" in capsys.readouterr().err
    assert signal.getsignal(number) == before


def test_a_second_ctrl_c_breaks_off_at_once():
    with pytest.raises(KeyboardInterrupt), Interruption("after this batch"):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # whoever asked twice politely is waiting still
        signal.raise_signal(signal.SIGINT)


def test_other_threads_request_nothing():
    found = []

    def work():
        with Interruption("soon") as interruption:
            found.append(interruption.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
