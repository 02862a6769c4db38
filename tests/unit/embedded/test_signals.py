"""Signals become one request to stop, and a second one asks to hurry."""

import os
import signal

import pytest

from whence.embedded.signals import StopSignals


def test_the_first_asks_and_the_second_hurries() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert (signals.asked.is_set(), signals.hurry.is_set()) == (True, False)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.hurry.is_set()
    assert signal.getsignal(signal.SIGTERM) is before


def test_work_that_cannot_look_is_interrupted_once() -> None:
    with StopSignals() as signals:
        with pytest.raises(KeyboardInterrupt), signals.interrupting():
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.hurry.is_set()


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.asked.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)
