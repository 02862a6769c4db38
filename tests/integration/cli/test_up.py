"""`whence up` and its companions, through the real program."""

import json
import os
import signal
import socket
import stat
import subprocess
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


def test_all_parts_become_ready_and_go_down_again(program: Program) -> None:
    done = program.run("up", "--detach")
    assert done.returncode == 0, done.stderr
    for name in ("postgresql", *SERVICES):
        assert any(line.startswith(name) and "ready after" in line for line in done.stdout.splitlines()), name

    endpoints = json.loads((program.state / "endpoints.json").read_text())
    assert set(endpoints) == {"ingest", "recommend", "aggregate", "database_url", "cache_url", "log_url"}
    assert stat.S_IMODE((program.state / "endpoints.json").stat().st_mode) == 0o600
    assert all(get(f"{endpoints[name]}/readyz")[0] == 200 for name in SERVICES)
    parts = program.status()
    assert everything_is_healthy(program)
    assert all(set(part) >= {"name", "pid", "port", "healthy", "since"} for part in parts.values())

    down = program.run("down")
    assert (down.returncode, down.stdout) == (0, "stopped postgresql, ingest, recommend, aggregate\n")
    assert not any(is_alive(part["pid"]) for part in parts.values())
    assert not (program.state / "endpoints.json").exists()
    assert program.status() == {}


def test_a_dead_part_is_started_again_where_it_was(program: Program) -> None:
    endpoints = program.up()
    before = program.status()
    for part in before.values():
        os.kill(part["pid"], signal.SIGKILL)
    assert until(lambda: everything_is_healthy(program))
    after = program.status()
    assert {part["url"] for part in after.values()} == {endpoints[name] for name in (*SERVICES, "database_url")}
    assert not {part["pid"] for part in before.values()} & {part["pid"] for part in after.values()}


def test_a_killed_supervisor_takes_all_with_it_and_up_begins_anew(program: Program) -> None:
    endpoints = program.up()
    parts = program.status()
    os.kill(int((program.state / "lock").read_text()), signal.SIGKILL)
    assert until(lambda: not any(is_alive(part["pid"]) for part in parts.values()))
    assert program.status() == {}

    again = program.up()  # its ports may be others: whoever asked for them meanwhile has them
    assert again.keys() == endpoints.keys()
    assert again["database_url"] == endpoints["database_url"]


def test_up_ends_what_a_killed_supervisor_left_even_if_it_hangs(program: Program) -> None:
    program.up()
    parts = program.status()
    os.kill(parts["recommend"]["pid"], signal.SIGSTOP)
    os.kill(int((program.state / "lock").read_text()), signal.SIGKILL)
    program.up()
    assert not is_alive(parts["recommend"]["pid"])
    assert everything_is_healthy(program)


def test_a_second_up_says_who_holds_the_folder(program: Program) -> None:
    program.up()
    holder = (program.state / "lock").read_text().strip()
    for words in (("up",), ("up", "--detach")):
        done = program.run(*words)
        assert done.returncode == 2
        assert f"in use by process {holder}" in done.stderr
        assert "whence down" in done.stderr
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


def test_a_taken_port_is_passed_over(program: Program) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 7071))
            taken.listen()
        except OSError:
            pass  # somebody else has taken it: as good
        endpoints = program.up()
        assert not endpoints["ingest"].endswith(":7071")
        assert get(f"{endpoints['ingest']}/livez")[0] == 200


def test_the_state_may_lie_elsewhere(program: Program, tmp_path: Path) -> None:
    state = str(tmp_path / "an other place" / "state")
    program.up("--state", state)
    assert program.status() == {}
    assert len(json.loads(program.run("status", "--json", "--state", state).stdout)) == 4
    assert program.run("reset", "--yes", "--state", state).returncode == 0
    assert not Path(state).exists()


def test_data_survive_down_and_not_reset(program: Program) -> None:
    program.up()
    assert program.run("migrate", "--check").returncode == 0
    program.run("down")
    assert program.run("migrate", "--check").returncode == 3
    refused = program.run("reset")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    again = program.run("up", "--detach")
    assert "applied" not in again.stdout
    (program.state / "mine.txt").write_text("kept")
    assert program.run("reset", "--yes").returncode == 0
    assert [path.name for path in program.state.iterdir()] == ["mine.txt"]
    assert "applied" in program.run("up", "--detach").stdout


def test_another_database_replaces_the_embedded_one(program: Program, postgres_url: str) -> None:
    namespace = f"test_up_{os.getpid()}"
    settings = {"WHENCE_DATABASE_URL": postgres_url, "WHENCE_NAMESPACE": namespace}
    endpoints = program.up(**settings)
    assert endpoints["database_url"] == postgres_url
    assert set(program.status()) == set(SERVICES)
    assert not program.state.joinpath("postgres").exists()
    program.run("down")
