"""Server processes that an earlier supervisor left behind, found by what they are and where they run."""

import contextlib
import os
import signal
import time
from pathlib import Path

from whence.domain.errors import DependencyUnavailable
from whence.embedded.processes import POLL_SECONDS

FAST_STOP_SECONDS = 60.0
"""A fast shutdown writes a checkpoint of at most 64 MB of buffers; a busy disk may take a while."""

IMMEDIATE_STOP_SECONDS = 20.0
"""PostgreSQL kills its own children 5 s after it was told to leave at once."""


def postgres_processes(data: Path) -> list[int]:
    """The PostgreSQL processes that work in *data*: the postmaster, and its children even when it is gone."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _is_postgres_in(entry, str(data)):
            found.append(int(entry.name))
    return found


def stop_postgres(data: Path) -> None:
    """Stop every PostgreSQL process that works in *data*, fast and in order if there is a postmaster.

    Raises:
        DependencyUnavailable: If one does not go.
    """
    for number, patience_seconds in ((signal.SIGINT, FAST_STOP_SECONDS), (signal.SIGQUIT, IMMEDIATE_STOP_SECONDS)):
        running = postgres_processes(data)
        postmaster = _postmaster(data)
        # Children without a postmaster leave by themselves; the signal only hurries them.
        for pid in [postmaster] if postmaster in running else running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if _wait_until_gone(data, patience_seconds):
            return
    raise DependencyUnavailable("postgresql", f"PostgreSQL processes in {data} do not stop: {postgres_processes(data)}")


def _is_postgres_in(entry: Path, data: str) -> bool:
    try:
        return (entry / "cwd").readlink() == Path(data) and (entry / "exe").readlink().name.startswith("postgres")
    except OSError:  # it has ended, or is somebody else's
        return False


def _postmaster(data: Path) -> int | None:
    try:
        return int((data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def _wait_until_gone(data: Path, patience_seconds: float) -> bool:
    deadline = time.monotonic() + patience_seconds
    while postgres_processes(data):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
