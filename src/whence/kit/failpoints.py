"""Named places where a crash test makes the process die as by `kill -9`, or freeze (`WHENCE_FAILPOINTS`)."""

import os
import signal
from collections import Counter
from dataclasses import dataclass

from whence.domain.errors import FieldProblem, InvalidInput


@dataclass(frozen=True, slots=True)
class _Armed:
    """What happens at which passage."""

    passage: int
    signal: signal.Signals


_SIGNALS = {"": signal.SIGKILL, "kill": signal.SIGKILL, "stop": signal.SIGSTOP}

_armed: dict[str, _Armed] = {}
_passed: Counter[str] = Counter()


def arm(text: str) -> None:
    """Arm the failpoints of `name`, `name:n` (the n-th passage) and `name:n=stop` (freeze until SIGCONT).

    Args:
        text: Failpoints, comma-separated; "" disarms all.

    Raises:
        InvalidInput: If an entry is not of that form.
    """
    _armed.clear()
    _passed.clear()
    for entry in filter(None, text.split(",")):
        place, _, action = entry.strip().partition("=")
        name, _, passage = place.partition(":")
        if action not in _SIGNALS or not (passage or "1").isdecimal():
            problem = f"{entry!r} is no failpoint: name, name:2 or name:2=stop is right"
            raise InvalidInput([FieldProblem("WHENCE_FAILPOINTS", problem)])
        _armed[name] = _Armed(int(passage or 1), _SIGNALS[action])


def failpoint(name: str) -> None:
    """Die or freeze here if this place is armed and this is the passage it was armed for."""
    if name in _armed:
        _passed[name] += 1
        if _passed[name] == _armed[name].passage:
            os.kill(os.getpid(), _armed[name].signal)
