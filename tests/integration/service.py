"""One service as a process of its own, on a free port, over a real installation."""

import http.client
import json
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from program import PATIENCE_SECONDS, Program, get, until


@dataclass(frozen=True, slots=True)
class Reply:
    """What a service answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        """Whether it says so."""
        return get(f"{self.url}/readyz")[0] == 200

    def connect(self) -> http.client.HTTPConnection:
        """A connection that is kept."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)

    def socket(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)

    def ask(
        self, method: str, path: str, document: object = None, connection: http.client.HTTPConnection | None = None
    ) -> Reply:
        """One request; a document goes as JSON, bytes as they are."""
        own = connection or self.connect()
        body = document if isinstance(document, bytes | None) else json.dumps(document).encode()
        try:
            own.request(method, path, body, {"Content-Type": "application/json"} if body is not None else {})
            answer = own.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, headers, answer.read())
        finally:
            if connection is None:
                own.close()


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(name: str, folder: Path, **settings: str) -> Iterator[Service]:
    """The service, ready; stopped at the end."""
    program = Program(folder)
    port = free_port()
    try:
        process = program.start("serve", name, "--port", str(port), **{"WHENCE_LOG_LEVEL": "error"} | settings)
        service = Service(port, process)
        assert until(lambda: service.is_ready() or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1]
        yield service
    finally:
        program.close()
