"""Named places where a crash test makes the process die as by `kill -9` (`WHENCE_FAILPOINTS`)."""

import os
import signal
from collections import Counter

_armed: dict[str, int] = {}
_passed: Counter[str] = Counter()


def arm(text: str) -> None:
    """Arm the failpoints of `name` or `name:n` (the n-th passage), comma-separated; "" disarms all."""
    _armed.clear()
    _passed.clear()
    for entry in filter(None, text.split(",")):
        name, _, passage = entry.partition(":")
        _armed[name.strip()] = int(passage or 1)


def failpoint(name: str) -> None:
    """Die here if this place is armed and this is the passage it was armed for."""
    if name in _armed:
        _passed[name] += 1
        if _passed[name] == _armed[name]:
            os.kill(os.getpid(), signal.SIGKILL)
