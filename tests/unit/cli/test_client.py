"""The commands' HTTP client against a small real server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from whence.cli.client import ServiceClient, path_of, service_url
from whence.domain.errors import DependencyUnavailable, InvalidInput, OutcomeUnknown
from whence.kit.settings import Settings


class Handler(BaseHTTPRequestHandler):
    """Answers with what the path asks for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """`/<status>` answers with that status; `/once` breaks the connection the first time, `/never` always."""
        if self.path == "/never" or (self.path == "/once" and not getattr(self.server, "asked", False)):
            self.server.asked = True  # type: ignore[attr-defined]  # a mark for the next request
            self.close_connection = True
            return
        status = int(self.path[1:4]) if self.path[1:4].isdigit() else 200
        problem = {"title": "no", "detail": "not so", "errors": [{"field": "limit", "problem": "must be at most 50"}]}
        body = b"gibberish" if status == 502 else json.dumps(problem if status == 422 else self._seen()).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _seen(self) -> dict[str, str | None]:
        return {"path": self.path, "key": self.headers["Authorization"], "detail": "down for a while"}

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """A running server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_ids_in_a_path_may_contain_anything() -> None:
    assert path_of("v1", "users", "a/b c?ü", "signals") == "/v1/users/a%2Fb%20c%3F%C3%BC/signals"


def test_a_get_carries_its_parameters_and_the_key(url: str) -> None:
    client = ServiceClient("recommend", url, "secret")
    answer = client.get("/v1/x", {"limit": 3, "category": ["a b", "c"]})
    client.close()
    assert answer["path"] == "/v1/x?limit=3&category=a+b&category=c"
    assert answer["key"] == "Bearer secret"


def test_a_refusal_names_the_field_in_the_services_words(url: str) -> None:
    client = ServiceClient("recommend", url)
    with pytest.raises(InvalidInput, match="limit: must be at most 50"):
        client.get("/422")
    client.close()


@pytest.mark.parametrize(("path", "said"), [("/503", "down for a while"), ("/502", "no JSON")])
def test_a_service_that_cannot_serve_is_unavailable(url: str, path: str, said: str) -> None:
    client = ServiceClient("recommend", url)
    with pytest.raises(DependencyUnavailable, match=said):
        client.get(path)
    client.close()


def test_a_broken_connection_is_tried_once_more_and_then_leaves_the_outcome_unknown(url: str) -> None:
    client = ServiceClient("ingest", url)
    assert client.get("/once")["path"] == "/once"
    with pytest.raises(OutcomeUnknown):
        client.get("/never")
    client.close()


def test_nobody_there_says_how_to_find_out() -> None:
    client = ServiceClient("ingest", "http://127.0.0.1:1")
    with pytest.raises(DependencyUnavailable, match="`whence status` shows what runs"):
        client.get("/")


def test_the_address_is_the_setting_else_what_up_has_noted_else_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings.model_validate({"state": tmp_path})
    with pytest.raises(DependencyUnavailable, match="whence up"):
        service_url(settings, "ingest")
    (tmp_path / "endpoints.json").write_text('{"ingest": "http://127.0.0.1:7071"}')
    assert service_url(settings, "ingest") == "http://127.0.0.1:7071"
    assert (
        service_url(Settings.model_validate({"state": tmp_path, "ingest_url": "http://elsewhere:1"}), "ingest")
        == "http://elsewhere:1"
    )
