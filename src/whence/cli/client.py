"""How commands talk to the services: JSON over HTTP, at addresses from the settings or `endpoints.json`."""

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self
from urllib.parse import quote, urlencode, urlsplit

from whence.domain.errors import DependencyUnavailable, FieldProblem, InvalidInput, OutcomeUnknown
from whence.kit.settings import Settings

ServiceName = Literal["ingest", "recommend"]

ENDPOINTS_FILE = "endpoints.json"
"""In the state folder: where `whence up` notes the addresses of what it runs."""

TIMEOUT_SECONDS = 30.0
"""For each answer: longer than any wait that a service allows itself, so that its own message comes first."""

ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""A larger answer is none of our services'."""

_BROKEN = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, http.client.HTTPException)
"""The connection was there and broke: the other side may have had the request."""

Parameters = Mapping[str, str | int | Sequence[str]]


def service_url(settings: Settings, service: ServiceName) -> str:
    """The base URL of a service: the setting, else what `whence up` has noted in the state folder.

    Raises:
        DependencyUnavailable: If neither tells.
    """
    if given := str(getattr(settings, f"{service}_url")):
        return given
    try:
        noted = json.loads((settings.state / ENDPOINTS_FILE).read_text(encoding="utf-8"))
        return str(noted[service])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DependencyUnavailable(
            service,
            f"nothing tells where {service} runs: start everything with `whence up` (in this folder, or name its "
            f"folder by WHENCE_STATE), or set WHENCE_{service.upper()}_URL",
        ) from error


def path_of(*parts: str) -> str:
    """A path from its parts, each quoted, so that ids may contain anything."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class ServiceClient:
    """Requests to one service over one kept connection; not for several threads."""

    def __init__(self, service: ServiceName, base_url: str, api_key: str | None = None) -> None:
        """Name the service; *api_key* is sent as a bearer token."""
        address = urlsplit(base_url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise InvalidInput([FieldProblem(f"WHENCE_{service.upper()}_URL", f"{base_url!r} is no http(s) URL")])
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        self._service = service
        self._base_url = base_url
        self._prefix = address.path.rstrip("/")
        self._connection = kind(address.hostname, address.port, timeout=TIMEOUT_SECONDS)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    @classmethod
    def of(cls, settings: Settings, service: ServiceName) -> Self:
        """The client of a service as the settings tell."""
        return cls(service, service_url(settings, service), next(iter(settings.keys()), None))

    def get(self, path: str, parameters: Parameters | None = None) -> Any:
        """The JSON answer to a GET; errors as in `send`."""
        query = urlencode(parameters, doseq=True) if parameters else ""
        return self.send("GET", f"{path}?{query}" if query else path)

    def post(self, path: str, document: object) -> Any:
        """The JSON answer to a POST of a document; errors as in `send`."""
        return self.send("POST", path, json.dumps(document).encode(), "application/json")

    def send(self, method: str, path: str, body: bytes | None = None, content_type: str | None = None) -> Any:
        """The JSON answer to a request.

        Repeated once when the kept connection breaks: every route may be repeated. For an event that holds only if
        it carries its event_id, so give it one.

        Raises:
            InvalidInput: With the service's own words, if it refuses the request.
            DependencyUnavailable: If it cannot be reached or cannot serve.
            OutcomeUnknown: If the request went out and no answer came.
        """
        headers = self._headers | ({"Content-Type": content_type} if content_type else {})
        try:
            try:
                status, answer = self._exchange(method, self._prefix + path, body, headers)
            except _BROKEN:
                self._connection.close()
                status, answer = self._exchange(method, self._prefix + path, body, headers)
        except _BROKEN as error:
            self._connection.close()
            raise OutcomeUnknown(self._service, self._silent(f"the connection broke: {error}")) from error
        except OSError as error:
            self._connection.close()
            raise DependencyUnavailable(self._service, self._silent(str(error))) from error
        return self._judged(status, answer)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read(ANSWER_BYTES_MAX)

    def _judged(self, status: int, answer: bytes) -> Any:
        try:
            document = json.loads(answer) if answer else None
        except ValueError:
            why = self._silent(f"it answered {status} with something that is no JSON")
            raise DependencyUnavailable(self._service, why) from None
        if status < 400:  # HTTP's errors begin here, and its servers' own at 500
            return document
        problem = document if isinstance(document, dict) else {}
        detail = str(problem.get("detail") or problem.get("title") or f"status {status}")
        if status >= 500:
            raise DependencyUnavailable(self._service, f"{self._service} at {self._base_url}: {detail}")
        errors = [entry for entry in problem.get("errors", []) if isinstance(entry, dict)]
        raise InvalidInput(
            [FieldProblem(str(entry.get("field", "")), str(entry.get("problem", detail))) for entry in errors]
            or [FieldProblem("", detail)]
        )

    def _silent(self, why: str) -> str:
        return f"{self._service} at {self._base_url} does not answer ({why}); `whence status` shows what runs"
