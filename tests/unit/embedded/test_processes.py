"""Processes are known by number and birth."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from whence.embedded.processes import birth, stop_process

_DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


@contextmanager
def sleeper(code: str = "print('up', flush=True); import time; time.sleep(600)") -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_a_process_is_asked_first_and_killed_when_deaf() -> None:
    for code, number in (("print(flush=True); import time; time.sleep(600)", signal.SIGTERM), (_DEAF, signal.SIGKILL)):
        with sleeper(code) as process:
            born = birth(process.pid)
            assert born is not None
            stop_process(process.pid, born, 20.0 if number is signal.SIGTERM else 0.2)
            assert process.wait() == -number
            assert birth(process.pid) is None


def test_another_process_with_the_number_is_left_alone() -> None:
    with sleeper() as process:
        born = birth(process.pid)
        assert born is not None
        stop_process(process.pid, born - 1, 0.2)
        assert process.poll() is None


def test_a_zombie_has_ended() -> None:
    with sleeper() as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert birth(process.pid) is None
