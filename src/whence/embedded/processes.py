"""Processes by pid and birth, so that a number that the system gave to another process is never mistaken for ours."""

import contextlib
import os
import signal
import time
from pathlib import Path

POLL_SECONDS = 0.02
"""How often a wait for a process looks again."""

_STATE_FIELD = 0
_START_FIELD = 19
"""Fields of `/proc/<pid>/stat` after the name, see proc(5): state, start time in clock ticks after boot."""

_ADDRESS_COLUMN, _STATE_COLUMN, _INODE_COLUMN = 1, 3, 9
_LISTENING = "0A"
"""Columns of `/proc/<pid>/net/tcp`, and the state of a socket that listens."""


def birth(pid: int) -> int | None:
    """When the process was born, in the system's ticks; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[_STATE_FIELD] in "ZX" else int(fields[_START_FIELD])


def listens(pid: int, port: int) -> bool:
    """Whether the process itself listens on that TCP port: what answers there may be another one that was faster."""
    try:
        tables = [Path(f"/proc/{pid}/net/{name}").read_text(encoding="ascii") for name in ("tcp", "tcp6")]
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it has ended
        return False
    held = set()
    for descriptor in descriptors:
        with contextlib.suppress(OSError):  # closed meanwhile
            held.add(descriptor.readlink().name)
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    listening = {
        f"socket:[{row[_INODE_COLUMN]}]"
        for row in rows
        if row[_STATE_COLUMN] == _LISTENING and int(row[_ADDRESS_COLUMN].rpartition(":")[2], 16) == port
    }
    return not held.isdisjoint(listening)


def stop_process(pid: int, born: int, patience_seconds: float) -> None:
    """End the process with that birth: ask, wait, then kill. Nothing happens if it has ended."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if birth(pid) != born:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        wait_for_end(pid, born, patience_seconds)


def wait_for_end(pid: int, born: int, patience_seconds: float) -> bool:
    """Whether the process ends in that time."""
    deadline = time.monotonic() + patience_seconds
    while birth(pid) == born:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
