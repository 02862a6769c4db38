"""The HTTP client of the benchmarks: JSON over kept connections, one for each thread."""

import http.client
import json
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30.0
"""A benchmark that waits longer has failed; a loaded machine does not take this long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response with its JSON body."""

    status: int
    body: Any


class Client:
    """Requests to one server; safe for threads, each of which keeps a connection of its own."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._local = threading.local()

    def post(self, path: str, document: object) -> Answer:
        """POST a JSON document."""
        return self._request("POST", path, json.dumps(document).encode())

    def get(self, path: str) -> Answer:
        """GET a JSON document."""
        return self._request("GET", path, None)

    def _request(self, method: str, path: str, body: bytes | None) -> Answer:
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_SECONDS)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self._local.connection.request(method, path, body, headers)
        response = self._local.connection.getresponse()
        return Answer(response.status, json.loads(response.read() or b"null"))
