"""The embedded PostgreSQL through its whole life: made, stopped, killed, started again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from whence.domain.errors import InvalidInput
from whence.embedded.leftovers import postgres_processes
from whence.embedded.place import find_place
from whence.embedded.postgres import EmbeddedPostgres

PATIENCE_SECONDS = 120.0

_HOLDER = """
import sys, time
from pathlib import Path
from whence.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
print(server.start(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a space whose server is gone afterwards."""
    path = tmp_path / "a state" / "postgres"
    yield path
    EmbeddedPostgres(path).remove()


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    """The folder's server, not started, stopped afterwards."""
    server = EmbeddedPostgres(folder)
    yield server
    server.stop()


def until(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true in generous time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def answer(url: str, statement: bytes) -> object:
    """The first value that a statement returns."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def holder(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Another process that runs the server of the folder, and the URL."""
    process = subprocess.Popen([sys.executable, "-c", _HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def data_of(folder: Path) -> Path:
    """Where the folder's server has its data."""
    place = find_place(folder)
    assert place is not None
    return place.data


def test_a_server_is_made_and_keeps_its_data_over_a_restart(server: EmbeddedPostgres, folder: Path) -> None:
    url = server.start()
    answer(url, b"CREATE TABLE kept AS SELECT 7 AS number")
    server.stop()
    assert postgres_processes(data_of(folder)) == []

    assert server.start() == url
    assert answer(url, b"SELECT number FROM kept") == 7


def test_starting_twice_is_one_server(server: EmbeddedPostgres, folder: Path) -> None:
    url, pid = server.start(), server.pid
    assert (server.start(), server.pid) == (url, pid)


def test_it_is_durable_utf8_and_closed_to_the_network(server: EmbeddedPostgres, folder: Path) -> None:
    url = server.start()
    for name, value in (
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", ""),
    ):
        assert answer(url, f"SELECT current_setting('{name}')".encode()) == value


def test_the_socket_is_in_a_folder_for_the_owner_alone(server: EmbeddedPostgres, folder: Path) -> None:
    server.start()
    place = find_place(folder)
    assert place is not None
    assert place.sockets.stat().st_mode & 0o077 == 0
    assert len(os.fsencode(place.sockets / ".s.PGSQL.5432.lock")) <= 107


def test_it_does_not_run_as_root(server: EmbeddedPostgres, folder: Path) -> None:
    server.start()
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0


def test_what_is_committed_survives_a_killed_server(server: EmbeddedPostgres, folder: Path) -> None:
    url = server.start()
    answer(url, b"CREATE TABLE kept AS SELECT 7 AS number")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert until(lambda: server.pid is None)

    assert server.start() == url
    assert answer(url, b"SELECT number FROM kept") == 7


def test_the_server_goes_down_with_a_killed_supervisor(folder: Path) -> None:
    process, url = holder(folder)
    assert answer(url, b"SELECT 1") == 1
    process.kill()
    process.wait()
    assert until(lambda: postgres_processes(data_of(folder)) == [])


def test_a_start_right_after_a_killed_supervisor_stops_what_was_left(server: EmbeddedPostgres, folder: Path) -> None:
    process, _ = holder(folder)
    left = postgres_processes(data_of(folder))
    process.kill()
    process.wait()
    assert answer(server.start(), b"SELECT 1") == 1
    assert left
    assert not set(left) & set(postgres_processes(data_of(folder)))


def test_a_stale_pid_file_that_names_another_process_is_no_obstacle(server: EmbeddedPostgres, folder: Path) -> None:
    server.start()
    server.stop()
    (data_of(folder) / "postmaster.pid").write_text(f"{os.getppid()}\n{data_of(folder)}\n", encoding="utf-8")
    assert answer(server.start(), b"SELECT 1") == 1


def test_a_second_process_is_told_that_the_folder_is_in_use(folder: Path) -> None:
    process, url = holder(folder)
    try:
        with pytest.raises(InvalidInput, match="another process runs"):
            EmbeddedPostgres(folder).start()
        assert answer(url, b"SELECT 1") == 1
    finally:
        process.kill()
        process.wait()


def test_an_interrupted_making_is_begun_anew(server: EmbeddedPostgres, folder: Path) -> None:
    server.start()
    server.stop()
    data = data_of(folder)
    data.rename(data.with_name("data.unfinished"))
    assert answer(server.start(), b"SELECT 1") == 1


def test_data_of_another_version_are_left_alone(server: EmbeddedPostgres, folder: Path) -> None:
    server.start()
    server.stop()
    (data_of(folder) / "PG_VERSION").write_text("12\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="is of PostgreSQL 12"):
        server.start()


def test_removed_is_gone(server: EmbeddedPostgres, folder: Path) -> None:
    server.start()
    data = data_of(folder)
    server.remove()
    assert not data.exists()
    assert not folder.exists()
    assert postgres_processes(data) == []
