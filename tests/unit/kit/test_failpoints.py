"""Failpoints end or freeze a process at the passage they are armed for, and nowhere else."""

import os
import signal
import subprocess
import sys

import pytest

from whence.domain.errors import InvalidInput
from whence.kit.failpoints import arm

PROGRAM = """
import sys
from whence.kit.failpoints import arm, failpoint
arm(sys.argv[1])
for name in sys.argv[2:]:
    failpoint(name)
    print(name, flush=True)
"""


def run(armed: str, *passed: str) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, armed, *passed], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.split()


def test_the_armed_passage_dies_as_by_kill_9() -> None:
    assert run("b", "a", "b", "c") == (-signal.SIGKILL, ["a"])
    assert run("a,b:2", "b", "b", "c") == (-signal.SIGKILL, ["b"])
    assert run("b:2", "a", "b", "c") == (0, ["a", "b", "c"])
    assert run("", "a") == (0, ["a"])


def test_a_stop_freezes_until_it_is_woken() -> None:
    words = [sys.executable, "-c", PROGRAM, "b=stop", "a", "b"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert process.communicate()[0].split() == ["a", "b"]


@pytest.mark.parametrize("text", ["a:x", "a=sleep"])
def test_what_is_no_failpoint_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no failpoint"):
        arm(text)
