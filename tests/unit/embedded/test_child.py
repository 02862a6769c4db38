"""A child is started again when it ends, and given up only while it has never been ready."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from program import until
from whence.domain.errors import DependencyUnavailable
from whence.embedded.child import STARTS_MAX, Child, Command

_SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
print("serving", flush=True)
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[str], Child]]:
    """Makes children that run Python code; they are ended afterwards."""
    made: list[Child] = []

    def make(code: str) -> Child:
        child = Child("part", command(code), "127.0.0.1", 20_000 + len(made), {}, tmp_path / "part.log")
        made.append(child)
        return child

    yield make
    for child in made:
        child.kill()
        assert until(child.has_ended)


def command(code: str) -> Command:
    return lambda host, port: [sys.executable, "-c", code, host, str(port)]


def test_a_ready_child_that_is_killed_comes_back_on_its_port(make: Callable[[str], Child]) -> None:
    child = make(_SERVER)
    child.launch()
    assert until(child.is_ready)
    first = child.part
    said: list[str] = []
    child.kill()
    assert until(lambda: child.tend(said.append))
    assert until(child.is_ready)
    assert child.part.port == first.port
    assert child.part.pid != first.pid
    assert said == ["part has ended (signal SIGKILL); starting it again"]


def test_a_child_that_never_becomes_ready_is_given_up_with_what_it_said(make: Callable[[str], Child]) -> None:
    child = make("import sys; print('no disk'); sys.exit(1)")
    child.launch()
    pids = {child.part.pid}

    def tend_until_given_up() -> bool:
        child.tend(lambda _: None)
        pids.add(child.part.pid)
        return False

    with pytest.raises(DependencyUnavailable, match=r"(?s)part does not start \(exit code 1\).*no disk"):
        until(tend_until_given_up)
    assert len(pids) == STARTS_MAX


def test_a_child_is_not_ready_because_another_process_answers_on_its_port(make: Callable[[str], Child]) -> None:
    other, idle = make(_SERVER), make("import time; time.sleep(600)")
    other.launch()
    assert until(other.is_ready)
    idle.launch()
    idle._port, idle.url = other._port, other.url  # as if both had found the port free at the same moment
    assert not idle.is_ready()
    assert other.is_ready()


def test_wrong_use_is_not_tried_twice(make: Callable[[str], Child]) -> None:
    child = make("import sys; print('WHENCE_X: wrong'); sys.exit(2)")
    child.launch()
    assert until(child.has_ended)
    with pytest.raises(DependencyUnavailable, match="WHENCE_X: wrong"):
        child.tend(lambda _: None)


def test_a_child_on_a_taken_port_moves_before_it_was_ready(make: Callable[[str], Child], tmp_path: Path) -> None:
    first = make(_SERVER)
    first.launch()
    assert until(first.is_ready)
    taken = first.part.port
    assert taken is not None
    second = Child("part", command(_SERVER), "127.0.0.1", taken, {}, tmp_path / "second.log")
    second.launch()
    try:
        assert until(second.is_ready)
        assert second.part.port != taken
    finally:
        second.kill()
        assert until(second.has_ended)
