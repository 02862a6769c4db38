"""`whence up` and its companions, through the real program."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Program, get, is_alive, until

SERVICES = ("ingest", "recommend", "aggregate")


def everything_is_healthy(program: Program) -> bool:
    parts = program.status()
    return set(parts) == {"postgresql", *SERVICES} and all(part["healthy"] for part in parts.values())


def lines_until(process: subprocess.Popen[str], word: str) -> list[str]:
    """The lines on stdout up to the one that contains the word."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if word in line:
            break
    return lines


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A running `whence up` that several tests look at; ingest's usual port was taken when it started."""
    program = Program(tmp_path_factory.mktemp("a running shop"))
    try:
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # somebody else has taken it: as good
                taken.bind(("127.0.0.1", 7071))
                taken.listen()
            program.up()
        yield program
    finally:
        program.close()


def endpoints_of(program: Program) -> dict[str, str]:
    found: dict[str, str] = json.loads((program.state / "endpoints.json").read_text())
    return found


def test_endpoints_tell_where_the_parts_are_to_the_owner_alone(running: Program) -> None:
    endpoints = endpoints_of(running)
    assert set(endpoints) == {"ingest", "recommend", "aggregate", "database_url", "cache_url", "log_url"}
    assert stat.S_IMODE((running.state / "endpoints.json").stat().st_mode) == 0o600
    assert all(get(f"{endpoints[name]}/readyz")[0] == 200 for name in SERVICES)


def test_a_taken_port_is_passed_over(running: Program) -> None:
    assert not endpoints_of(running)["ingest"].endswith(":7071")


def test_status_lists_the_parts(running: Program) -> None:
    parts = running.status()
    assert set(parts) == {"postgresql", *SERVICES}
    for part in parts.values():
        assert set(part) == {"name", "pid", "port", "healthy", "since", "url"}
        assert is_alive(part["pid"])
    table = running.run("status").stdout.splitlines()
    assert [line.split()[0] for line in table] == ["name", *parts]


def test_a_second_up_says_who_holds_the_folder(running: Program) -> None:
    holder = (running.state / "lock").read_text().strip()
    for words in (("up",), ("up", "--detach")):
        done = running.run(*words)
        assert done.returncode == 2
        assert f"in use by process {holder}" in done.stderr
        assert "whence down" in done.stderr
    assert everything_is_healthy(running)


def test_a_dead_part_is_started_again_where_it_was(running: Program) -> None:
    before, endpoints = running.status(), endpoints_of(running)
    for part in before.values():
        os.kill(part["pid"], signal.SIGKILL)
    assert until(lambda: everything_is_healthy(running))
    after = running.status()
    assert {part["url"] for part in after.values()} == {endpoints[name] for name in (*SERVICES, "database_url")}
    assert not {part["pid"] for part in before.values()} & {part["pid"] for part in after.values()}


def test_all_parts_become_ready_and_go_down_again(program: Program) -> None:
    done = program.run("up", "--detach")
    assert done.returncode == 0, done.stderr
    for name in ("postgresql", *SERVICES):
        assert any(line.startswith(name) and "ready after" in line for line in done.stdout.splitlines()), name
    parts = program.status()

    down = program.run("down")
    assert (down.returncode, down.stdout) == (0, "stopped postgresql, ingest, recommend, aggregate\n")
    assert not any(is_alive(part["pid"]) for part in parts.values())
    assert not (program.state / "endpoints.json").exists()
    assert program.status() == {}


def test_a_killed_supervisor_takes_all_with_it_and_up_ends_what_hangs(program: Program) -> None:
    endpoints = program.up()
    parts = program.status()
    hanging = parts.pop("recommend")["pid"]
    os.kill(hanging, signal.SIGSTOP)
    os.kill(int((program.state / "lock").read_text()), signal.SIGKILL)
    assert until(lambda: not any(is_alive(part["pid"]) for part in parts.values()))
    assert program.status() == {}

    assert program.up()["database_url"] == endpoints["database_url"]
    assert not is_alive(hanging)
    assert everything_is_healthy(program)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_foreground_in_order(program: Program, number: signal.Signals) -> None:
    process = program.start("up")
    lines = lines_until(process, "Ctrl-C stops")
    assert any("/v1/events" in line for line in lines)
    parts = program.status()
    process.send_signal(number)
    _, said = process.communicate()
    assert (process.returncode, said) == (0, "")
    assert not any(is_alive(part["pid"]) for part in parts.values())


def test_a_signal_while_starting_leaves_nothing_behind(program: Program) -> None:
    process = program.start("up")
    lines_until(process, "postgresql")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 130
    assert not (program.state / "parts.json").exists()
    assert program.status() == {}


def test_json_is_one_document_on_stdout(program: Program) -> None:
    process = program.start("up", "--json")
    assert process.stdout is not None
    endpoints = json.loads(process.stdout.readline())
    assert endpoints == json.loads((program.state / "endpoints.json").read_text())
    process.terminate()
    rest, progress = process.communicate()
    assert rest == ""
    assert "ready after" in progress


def test_data_survive_down_and_not_reset(program: Program, tmp_path: Path) -> None:
    state = tmp_path / "an other place" / "state"
    there = {"WHENCE_STATE": str(state)}
    program.states.append(state)
    program.up("--state", str(state))
    assert program.status() == {}
    assert program.run("migrate", "--check", **there).returncode == 0
    assert program.run("down", **there).returncode == 0
    assert program.run("migrate", "--check", **there).returncode == 3
    again = program.run("up", "--detach", **there)
    assert (again.returncode, "applied" in again.stdout) == (0, False)

    refused = program.run("reset", **there)
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    (state / "mine.txt").write_text("kept")
    assert program.run("reset", "--yes", "--state", str(state)).returncode == 0
    assert [path.name for path in state.iterdir()] == ["mine.txt"]


def test_another_database_replaces_the_embedded_one(program: Program, postgres_url: str) -> None:
    namespace = f"test_up_{os.getpid()}"
    settings = {"WHENCE_DATABASE_URL": postgres_url, "WHENCE_NAMESPACE": namespace}
    endpoints = program.up(**settings)
    assert endpoints["database_url"] == postgres_url
    assert set(program.status()) == set(SERVICES)
    assert not program.state.joinpath("postgres").exists()
    program.run("down")
