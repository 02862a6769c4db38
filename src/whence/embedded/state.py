"""The state folder: who holds it, what runs from it and where that is reached.

postgres/        the embedded PostgreSQL (for root, a pointer to it)
kafka/           the embedded Kafka, if there ever was one, with what it says
logs/            what each part says
lock             held by the running `whence up`, whose pid it contains
parts.json       the running parts, for `whence status` and for cleaning up after a kill -9
endpoints.json   the URLs, there while all parts are ready
"""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from whence.domain.errors import FieldProblem, InvalidInput
from whence.embedded.processes import POLL_SECONDS

LOCK_PATIENCE_SECONDS = 1.0
"""A look at the lock by another command holds it for an instant; so long we try again."""


@dataclass(frozen=True, slots=True)
class Part:
    """A running part.

    Attributes:
        name: `postgresql`, `kafka`, `ingest`, `recommend` or `aggregate`.
        pid, born: Its process.
        port: Where it listens; None for a Unix socket.
        url: Where it is reached.
        since: When it was started, RFC 3339 in UTC.
    """

    name: str
    pid: int
    born: int
    port: int | None
    url: str
    since: str


class StateFolder:
    """One installation's state folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.postgres = self.path / "postgres"
        self.kafka = self.path / "kafka"
        self.logs = self.path / "logs"
        self._lock_file = self.path / "lock"
        self._parts_file = self.path / "parts.json"
        self._endpoints_file = self.path / "endpoints.json"
        self._lock: BinaryIO | None = None

    def log(self, name: str) -> Path:
        """The log of a part."""
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Make the folder unless it is there.

        Raises:
            InvalidInput: If it cannot be written.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self._lock_file.touch()
        except OSError as error:
            problem = (
                f"cannot write {error.filename or self.path}: {error.strerror}; choose another folder with --state"
            )
            raise InvalidInput([FieldProblem("state", problem)]) from error

    def hold(self) -> None:
        """Make the folder and hold it for this process; the system lets go when the process ends.

        Raises:
            InvalidInput: If it cannot be written or another process holds it.
        """
        self.make()
        lock = self._lock_file.open("r+b")
        if not _try_lock(lock, LOCK_PATIENCE_SECONDS):
            lock.close()
            problem = (
                f"{self.path} is in use by process {self.holder()}; `whence down` stops it, --state chooses another"
            )
            raise InvalidInput([FieldProblem("state", problem)])
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n".encode())
        lock.flush()
        self._lock = lock

    def let_go(self) -> None:
        """End `hold`."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def holder(self) -> int | None:
        """The process that holds the folder, or None."""
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while self._is_held():
            with contextlib.suppress(OSError, ValueError):
                return int(self._lock_file.read_text(encoding="utf-8"))
            if time.monotonic() > deadline:  # it has only just begun, or is ending
                break
            time.sleep(POLL_SECONDS)
        return None

    def write_parts(self, parts: Sequence[Part]) -> None:
        """Note what runs."""
        _write(self._parts_file, [asdict(part) for part in parts])

    def parts(self) -> list[Part]:
        """What was noted last; it may have ended since."""
        found = _read(self._parts_file)
        return [Part(**entry) for entry in found] if isinstance(found, list) else []

    def write_endpoints(self, endpoints: dict[str, str | None]) -> None:
        """Publish the URLs, for the owner alone: a database URL may hold a password."""
        _write(self._endpoints_file, endpoints)

    def endpoints(self) -> dict[str, str | None] | None:
        """The URLs of the running parts, or None."""
        found = _read(self._endpoints_file)
        return found if isinstance(found, dict) and self._is_held() else None

    def forget_parts(self) -> None:
        """Take back what `write_parts` and `write_endpoints` said."""
        self._endpoints_file.unlink(missing_ok=True)
        self._parts_file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete what we keep here, and the folder if nothing else is in it."""
        self.forget_parts()
        for folder in (self.postgres, self.kafka, self.logs):
            shutil.rmtree(folder, ignore_errors=True)
        self._lock_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _is_held(self) -> bool:
        try:
            with self._lock_file.open("rb") as lock:
                return not _try_lock(lock, 0)
        except OSError:
            return False


def _try_lock(lock: BinaryIO, patience_seconds: float) -> bool:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        else:
            return True


def _write(path: Path, document: object) -> None:
    """Replace a file as a whole, readable for the owner alone."""
    unfinished = path.with_name(f"{path.name}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
    unfinished.replace(path)


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
