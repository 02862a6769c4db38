"""Ingest as a real process over a real log: what it promises, and clients that behave badly."""

import http.client
import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conftest import Installation
from integration.service import Service, free_port, serving
from program import PATIENCE_SECONDS, Program, get, until
from whence.domain.tokens import parse_token
from whence.embedded.postgres import EmbeddedPostgres
from whence.eventlog.adapters import open_scanner, prepare
from whence.eventlog.places import LogPlace, PostgresPlace

MEGABYTE = 1024 * 1024


def event(**changes: Any) -> dict[str, Any]:
    return {"event_type": "view", "user_id": "u1", "item_id": "i1"} | changes


def logged(place: LogPlace) -> list[dict[str, Any]]:
    """Every event in the log, partition by partition."""
    found = []
    with closing(open_scanner(place)) as scanner:
        for partition in range(scanner.partitions):
            for records in scanner.scan(partition, 0, scanner.watermarks(partition).high):
                found += [json.loads(record.value) for record in records]
    return found


@pytest.fixture
def service(installation: Installation, tmp_path: Path) -> Iterator[Service]:
    settings = {"WHENCE_DATABASE_URL": installation.url, "WHENCE_NAMESPACE": installation.namespace}
    with serving("ingest", tmp_path, **settings) as running:
        yield running
        assert running.process.poll() in (None, 0)


def raw(service: Service, head: str, body: bytes = b"", end: bool = False) -> bytes:
    """What a bare connection gets for these bytes; *end* closes our sending side after them."""
    with service.socket() as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + body)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return connection.recv(65_536)


def is_well(service: Service) -> bool:
    """Whether it still takes events, and holds on to no request."""
    assert service.ask("POST", "/v1/events", event()).status == 202
    return until(lambda: b"http_server_active_requests 1.0" in get(f"{service.url}/metrics")[1])


def test_what_is_accepted_lies_in_the_log(service: Service, installation: Installation) -> None:
    single = service.ask("POST", "/v1/events", event(event_id="a", context={"x": "é\U0001f381"}))
    assert single.status == 202
    batch = service.ask("POST", "/v1/events/batch", {"events": [event(event_id="b"), {}, event(event_id="a")]})
    assert [result["status"] for result in batch.json()["results"]] == [202, 422, 202]
    assert [entry["event_id"] for entry in logged(installation.log)] == ["a", "b", "a"]
    assert logged(installation.log)[0]["context"] == {"x": "é\U0001f381"}
    (first,) = parse_token(single.json()["token"]).offsets.items()
    (last,) = parse_token(batch.json()["token"]).offsets.items()
    assert (first[1], last) == (1, (first[0], 3))


def test_a_sockets_answers_carry_the_id_and_no_server_name(service: Service) -> None:
    answer = raw(service, "GET /v1/nowhere HTTP/1.1\nHost: x\nX-Request-ID: mine\n\n")
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"x-request-id: mine" in answer.lower()


def test_twenty_megabytes_are_refused(service: Service) -> None:
    head = "POST /v1/events/batch HTTP/1.1\nHost: x\nContent-Type: application/json\n"
    with service.socket() as connection:
        connection.sendall(f"{head}Content-Length: {20 * MEGABYTE}\n\n".replace("\n", "\r\n").encode())
        answer = send_until_answered(connection, b" " * MEGABYTE, parts=20)
    assert answer.startswith(b"HTTP/1.1 413")
    assert is_well(service)


def test_a_chunked_body_without_end_is_refused(service: Service) -> None:
    head = "POST /v1/events HTTP/1.1\nHost: x\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n"
    with service.socket() as connection:
        connection.sendall(head.replace("\n", "\r\n").encode())
        answer = send_until_answered(connection, b"1000\r\n" + b" " * 0x1000 + b"\r\n", parts=100_000)
    assert answer.startswith(b"HTTP/1.1 413")
    assert memory_megabytes(service) < 200
    assert is_well(service)


def send_until_answered(connection: socket.socket, part: bytes, parts: int) -> bytes:
    """Send until the service answers or hangs up; its answer."""
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(receive(connection)))
    reader.start()
    try:
        for _ in range(parts):
            if received:
                break
            connection.sendall(part)
    except OSError:
        pass  # the service has hung up, as it may
    reader.join(PATIENCE_SECONDS)
    return received[0]


def receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except OSError:
        return b""


def memory_megabytes(service: Service) -> float:
    text = Path(f"/proc/{service.process.pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert match is not None
    return int(match[1]) / 1024


def test_a_body_that_stops_coming_is_given_up(service: Service) -> None:
    answer = raw(
        service, "POST /v1/events HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 10\n\n", b"{"
    )
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"urn:whence:problem:timeout" in answer
    assert is_well(service)


def test_a_client_that_stops_in_the_middle_leaves_nothing_behind(service: Service, installation: Installation) -> None:
    body = json.dumps(event()).encode()
    head = f"POST /v1/events HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: {len(body)}\n\n"
    for _ in range(20):
        with service.socket() as connection:
            connection.sendall(head.replace("\n", "\r\n").encode() + body[:-1])
    raw(service, head, body[:-1], end=True)
    assert is_well(service)
    assert len(logged(installation.log)) == 1


def test_a_client_that_only_stops_sending_still_gets_its_answer(service: Service) -> None:
    body = json.dumps(event()).encode()
    head = f"POST /v1/events HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: {len(body)}\n\n"
    answer = raw(service, head, body, end=True)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 202")
    assert is_well(service)


@pytest.mark.parametrize(
    "head",
    [
        "\x16\x03\x01\x02\x00\x01\x00\n\n",
        "GET\n\n",
        "POST /v1/events HTTP/1.1\nHost: x\nContent-Length: -1\n\n",
        "POST /v1/events HTTP/1.1\nHost: x\nContent-Length: 5\nContent-Length: 6\n\n12345",
        "GET /livez HTTP/1.1\nHost: x\nX-Long: " + "x" * 600_000 + "\n\n",
    ],
)
def test_what_is_no_http_is_refused(service: Service, head: str) -> None:
    with service.socket() as connection:
        try:
            connection.sendall(head.replace("\n", "\r\n").encode("latin-1"))
        except OSError:
            return  # hung up before everything was sent
        assert re.match(rb"HTTP/1.1 4\d\d|$", receive(connection))
    assert is_well(service)


def test_sigterm_under_load_loses_nothing_that_was_accepted(service: Service, installation: Installation) -> None:
    accepted: list[str] = []
    strange: list[tuple[int, bytes]] = []
    many = threading.Event()

    def send(worker: int) -> None:
        connection = service.connect()
        for number in range(100_000):
            name = f"{worker}-{number}"
            try:
                reply = service.ask("POST", "/v1/events", event(event_id=name, user_id=f"u{worker}"), connection)
            except (OSError, http.client.HTTPException):
                return  # the connection was closed between two requests
            if reply.status == 202:
                accepted.append(name)
                if len(accepted) > 300:
                    many.set()
            else:
                strange.append((reply.status, reply.body))

    workers = [threading.Thread(target=send, args=(worker,)) for worker in range(8)]
    for thread in workers:
        thread.start()
    assert many.wait(PATIENCE_SECONDS)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(PATIENCE_SECONDS) == 0
    for thread in workers:
        thread.join(PATIENCE_SECONDS)
    assert set(accepted) <= {entry["event_id"] for entry in logged(installation.log)}
    assert strange == []


def test_a_busy_port_is_one_message(service: Service, installation: Installation, tmp_path: Path) -> None:
    done = Program(tmp_path).run("serve", "ingest", "--port", str(service.port), WHENCE_DATABASE_URL=installation.url)
    assert done.returncode == 3
    assert f"port {service.port} on 127.0.0.1 is taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_public_address_without_keys_is_one_message(installation: Installation, tmp_path: Path) -> None:
    words = ("serve", "ingest", "--host", "0.0.0.0", "--port", str(free_port()))
    done = Program(tmp_path).run(*words, WHENCE_DATABASE_URL=installation.url)
    assert done.returncode == 2
    assert "WHENCE_API_KEYS" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_that_does_not_answer_is_one_message(tmp_path: Path) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    done = Program(tmp_path).run("serve", "ingest", "--port", str(free_port()), WHENCE_DATABASE_URL=url)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_ingest_goes_on_by_itself_when_postgresql_comes_back(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    try:
        place = PostgresPlace(server.start(), "whence")
        prepare(place)
        with serving("ingest", tmp_path, WHENCE_DATABASE_URL=place.url) as service:
            assert service.ask("POST", "/v1/events", event(event_id="before")).status == 202
            server.stop()
            down = service.ask("POST", "/v1/events", event(event_id="during"))
            assert down.status == 503
            assert int(down.headers["retry-after"]) >= 1
            assert down.json()["event_id"] == "during"
            assert until(lambda: not service.is_ready())
            assert get(f"{service.url}/livez")[0] == 200
            server.start()
            assert until(lambda: service.ask("POST", "/v1/events", event(event_id="during")).status == 202)
            assert until(service.is_ready)
        ids = [entry["event_id"] for entry in logged(place)]
        assert ids[0] == "before"
        assert ids.count("during") >= 1
    finally:
        server.remove()
