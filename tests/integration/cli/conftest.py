"""Real services for the commands that talk to them."""

import socket
import subprocess
from contextlib import closing

import msgspec
import pytest

from conftest import Installation
from program import PATIENCE_SECONDS, Program, get, until
from whence.domain.events import LoggedEvent
from whence.eventlog.adapters import open_scanner


class Service:
    """`whence serve NAME` on a port of its own."""

    def __init__(self, name: str, program: Program, installation: Installation, **settings: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._name = name
        self._program = program
        self._process: subprocess.Popen[str] | None = None
        self.settings = {
            "WHENCE_DATABASE_URL": installation.url,
            "WHENCE_NAMESPACE": installation.namespace,
            f"WHENCE_{name.upper()}_URL": self.url,
            **settings,
        }

    def start(self) -> None:
        """Start it and wait until it is ready."""
        words = ("serve", self._name, "--port", str(self._port))
        self._process = self._program.start(*words, **self.settings)
        assert until(lambda: get(f"{self.url}/readyz")[0] == 200)

    def stop(self) -> None:
        """Tell it to stop, and wait."""
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE_SECONDS)


class Ingest(Service):
    """Ingest, and what its log holds."""

    def __init__(self, program: Program, installation: Installation, **settings: str) -> None:
        super().__init__("ingest", program, installation, **settings)
        self._installation = installation

    def events(self) -> list[LoggedEvent]:
        """What the log holds, partition by partition, in order."""
        with closing(open_scanner(self._installation.log)) as scanner:
            return [
                msgspec.json.decode(record.value, type=LoggedEvent)
                for partition in range(scanner.partitions)
                for records in scanner.scan(partition, 0, 2**62)
                for record in records
            ]


@pytest.fixture
def ingest(program: Program, installation: Installation) -> Ingest:
    made = Ingest(program, installation)
    made.start()
    return made


@pytest.fixture
def recommend(program: Program, installation: Installation) -> Service:
    made = Service("recommend", program, installation)
    made.start()
    return made
