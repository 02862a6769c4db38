"""Services as processes of their own, several of each, that a benchmark may kill and that come back."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import pss_mb
from integration.service import free_port
from program import PATIENCE_SECONDS, get, until


@dataclass(slots=True)
class Replica:
    """One process of a service, on a port that it keeps."""

    name: str
    settings: Mapping[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start the process; it may take a moment until it answers."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("WHENCE_")}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "whence", "serve", self.name, "--port", str(self.port)],
                env=ours | {"WHENCE_LOG_LEVEL": "error"} | dict(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def wait_until_ready(self) -> None:
        """Wait until it says so."""
        assert until(lambda: get(f"http://127.0.0.1:{self.port}/readyz")[0] == 200 or not self.runs())
        assert self.runs(), self.log.read_text(errors="replace")

    def runs(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def end(self, number: signal.Signals) -> None:
        """Send a signal and wait until the process is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE_SECONDS)

    def pss_mb(self) -> float:
        """Its memory."""
        return pss_mb([self.pid]) if self.runs() else 0.0

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self.process is not None
        return self.process.pid


@contextmanager
def replicas(folder: Path, settings: Mapping[str, str], names: Sequence[str]) -> Iterator[list[Replica]]:
    """A running replica for each name; all are ended afterwards."""
    with ExitStack() as stack:
        made = []
        for place, name in enumerate(names):
            made.append(Replica(name, settings, folder / f"{name}-{place}.log"))
            made[-1].start()
            stack.callback(made[-1].end, signal.SIGTERM)
        for replica in made:
            replica.wait_until_ready()
        yield made
