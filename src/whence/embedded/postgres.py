"""A PostgreSQL of our own on this machine: made, started, watched over and stopped by the process that holds it."""

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import time
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO, TypedDict, cast
from urllib.parse import quote

import psycopg

from whence.domain.errors import DependencyUnavailable, FieldProblem, InvalidInput
from whence.embedded.leftovers import stop_postgres
from whence.embedded.logfile import LogFile
from whence.embedded.place import ROOTS_FOLDER, Place, find_place, make_place
from whence.embedded.processes import POLL_SECONDS
from whence.embedded.programs import MAJOR, copied_programs, installed_programs
from whence.embedded.watchdog import Watchdog

USER = "whence"
"""Name of the superuser."""

DATABASE = "whence"
"""Name of the database, unless another is asked for."""

START_SECONDS = 300.0
"""After a crash the server first replays up to 2 GB of its write-ahead log."""

_CONNECT_SECONDS = 5


class _RunAs(TypedDict, total=False):
    user: str
    group: int
    extra_groups: list[str]


class EmbeddedPostgres:
    """The PostgreSQL whose data belong to one folder.

    It is reached through a Unix socket alone and goes down with the process that started it, however that ends.
    """

    def __init__(self, folder: Path, log: Path | None = None, database: str = DATABASE) -> None:
        """Name the server of *folder* and a database in it (both made by `start`).

        What the server says goes to *log*, else to `postgres.log` in the folder.
        """
        self._database = database
        self._folder = folder.resolve()
        self._log = LogFile(log or self._folder / "postgres.log")
        self._place: Place | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None
        self._lock: BinaryIO | None = None

    @property
    def pid(self) -> int | None:
        """The server's process while it runs under this object."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> str:
        """Start the server unless it runs, after stopping what an earlier process has left of it.

        Returns:
            The `postgresql://` URL of the database.

        Raises:
            DependencyUnavailable: If the programs are missing or the server does not come up.
            InvalidInput: If another process holds the folder, it cannot be written, or its data are of another version.
        """
        if self.pid is not None and self._place is not None:
            return _url(self._place, self._database)
        programs = _programs()
        place = self._place = make_place(self._folder)
        self._take_lock(place)
        try:
            self._forget_process()
            stop_postgres(place.data)
            (place.data / "postmaster.pid").unlink(missing_ok=True)
            _make_data(place, programs)
            self._launch(place, programs)
            self._wait_until_ready(place)
        except BaseException:
            self.stop()
            raise
        return _url(place, self._database)

    def stop(self) -> None:
        """Stop the server in order, whoever started it, and wait until it is gone. Nothing to do is no error."""
        place = self._place or find_place(self._folder)
        if place is not None:
            stop_postgres(place.data)
        self._forget_process()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop()
        if place := self._place or find_place(self._folder):
            place.remove()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._place = None

    def log_tail(self) -> str:
        """The last lines that the server has said."""
        return self._log.tail()

    def _take_lock(self, place: Place) -> None:
        """Hold the place for this process: the system lets go of the lock when the process ends."""
        if self._lock is not None:
            return
        lock = (place.folder / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise InvalidInput(
                [
                    FieldProblem(
                        "state", f"another process runs the embedded PostgreSQL of {self._folder}; stop it first"
                    )
                ]
            ) from error
        self._lock = lock

    def _launch(self, place: Place, programs: Path) -> None:
        for name in ("postgresql.conf", "pg_hba.conf"):
            (place.folder / name).write_text(files("whence.embedded").joinpath(name).read_text(encoding="utf-8"))
            (place.folder / name).chmod(0o644)
        process = subprocess.Popen(
            [
                str(programs / "postgres"),
                *("-D", str(place.data)),
                *("-c", f"config_file={place.folder / 'postgresql.conf'}"),
                *("-c", f"hba_file={place.folder / 'pg_hba.conf'}"),
                *("-c", f"unix_socket_directories={place.sockets}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,  # so that Ctrl-C in our terminal does not stop it before its clients
            **_run_as(place),
        )
        self._process = process
        self._watchdog = Watchdog(process.pid, place.user, signal.SIGINT)
        self._log.follow(cast("BinaryIO", process.stdout))

    def _wait_until_ready(self, place: Place) -> None:
        """Wait until the server answers, then make the database if it is not there."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                _make_database(place, self._database)
            except psycopg.OperationalError as error:
                if self.pid is None:
                    time.sleep(POLL_SECONDS)  # its last words are on their way to the log
                    raise DependencyUnavailable(
                        "postgresql", f"the embedded PostgreSQL does not start:\n{self.log_tail()}"
                    ) from error
                if time.monotonic() > deadline:
                    raise DependencyUnavailable(
                        "postgresql", f"the embedded PostgreSQL is not up after {START_SECONDS:g} s:\n{self.log_tail()}"
                    ) from error
                time.sleep(POLL_SECONDS)
            else:
                return

    def _forget_process(self) -> None:
        """Let go of a server that has ended."""
        if self._watchdog is not None:
            self._watchdog.dismiss()
            self._watchdog = None
        if self._process is not None:
            self._process.wait()
            self._process = None


_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that the server's programs see: a `PG…` variable of the user's must not change what they do."""


def _programs() -> Path:
    return copied_programs(ROOTS_FOLDER / "programs") if os.geteuid() == 0 else installed_programs()


def _run_as(place: Place) -> _RunAs:
    if place.user is None:
        return {}
    return {"user": place.user, "group": pwd.getpwnam(place.user).pw_gid, "extra_groups": []}


def _url(place: Place, database: str) -> str:
    return f"postgresql:///{database}?host={quote(str(place.sockets), safe='')}&user={USER}"


def _make_database(place: Place, database: str) -> None:
    url = _url(place, "postgres")
    with psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_SECONDS) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone() is None:
            connection.execute(f"CREATE DATABASE {database}".encode())


def _make_data(place: Place, programs: Path) -> None:
    """Make the server's data unless there are some. They appear whole or not at all, even if we are killed."""
    if (place.data / "PG_VERSION").exists():
        found = (place.data / "PG_VERSION").read_text(encoding="utf-8").strip()
        if found != str(MAJOR):
            raise InvalidInput(
                [
                    FieldProblem(
                        "state", f"{place.data} is of PostgreSQL {found}, this is {MAJOR}; choose another --state"
                    )
                ]
            )
        return
    unfinished = place.folder / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    place.make_owned_folder(unfinished)
    done = subprocess.run(
        [
            str(programs / "initdb"),
            *("--pgdata", str(unfinished), "--username", USER, "--auth", "trust", "--encoding", "UTF8"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C", "--no-instructions"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=_ENVIRONMENT,
        start_new_session=True,
        check=False,
        **_run_as(place),
    )
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip()
        raise DependencyUnavailable("postgresql", f"the embedded PostgreSQL cannot be made:\n{said}")
    unfinished.rename(place.data)
