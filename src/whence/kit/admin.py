"""The small HTTP server of a service without an API: `/livez`, `/readyz`, `/metrics` from threads of its own."""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from whence import __version__
from whence.kit.health import ALIVE, STUCK, HealthAnswer, Readiness, scrape
from whence.kit.metrics import Metrics
from whence.kit.problems import MEDIA_TYPE, Problem

CLIENT_TIMEOUT_SECONDS = 5
"""A client that says nothing for this long is let go, so that threads do not pile up."""


class AdminServer:
    """Serves health and metrics beside the caller's own loop, from `start` to `stop`."""

    def __init__(
        self,
        listener: socket.socket,
        readiness: Readiness,
        metrics: Metrics,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take over a socket from `whence.kit.serving.bind`; *alive* says whether the caller's own loop still turns."""

        class Handler(_Handler):
            answers = _Answers(readiness, metrics, alive)

        self._server = ThreadingHTTPServer(listener.getsockname()[:2], Handler, bind_and_activate=False)
        self._server.socket.close()
        listener.setblocking(True)
        self._server.socket = listener
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="admin", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Answers:
    def __init__(self, readiness: Readiness, metrics: Metrics, alive: Callable[[], bool]) -> None:
        self._alive = alive
        self._readiness = readiness
        self._metrics = metrics

    def of(self, path: str, accept: str) -> HealthAnswer:
        if path == "/livez":
            return ALIVE if self._alive() else STUCK
        if path == "/readyz":
            return self._readiness.report_in_thread()
        if path == "/metrics":
            return scrape(self._metrics, accept)
        problem = Problem("not-found", 404, "Here are only /livez, /readyz and /metrics.")
        return HealthAnswer(404, msgspec.json.encode(problem.as_dict()), MEDIA_TYPE)


class _Handler(BaseHTTPRequestHandler):
    answers: _Answers
    timeout = CLIENT_TIMEOUT_SECONDS
    server_version = f"whence/{__version__}"
    sys_version = ""

    def do_GET(self) -> None:
        answer = self.answers.of(self.path.partition("?")[0], self.headers.get("accept", ""))
        self.send_response(answer.status)
        self.send_header("content-type", answer.media_type)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # the name is the base class's
        """Say nothing: probes and scrapes are not worth a line each."""
