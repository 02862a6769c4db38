"""One service as a child process that is started again whenever it ends."""

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from whence.domain.errors import DependencyUnavailable
from whence.embedded.logfile import LogFile
from whence.embedded.processes import birth, listens
from whence.embedded.state import Part
from whence.kit.clock import utc_text
from whence.kit.listening import free_port, local_url
from whence.kit.probe import probe

STEADY_SECONDS = 3.0
"""A child that lived this long is started again at once; one that did not waits, see `RESTART_DELAYS_SECONDS`."""

RESTART_DELAYS_SECONDS = (0.0, 0.2, 0.5, 1.0, 2.0)
"""Waits before the first, second, … start after short lives; the last one stays. Bounds what a crash loop costs."""

STARTS_MAX = 3
"""A child that ends so often before it has ever been ready will not become so: the whole start fails."""

_WRONG_USE = 2
_LOG_THREAD_SECONDS = 1.0


Command = Callable[[str, int], Sequence[str]]
"""The words that start a service on a host and port."""


class Child:
    """A service in a process of its own, with its settings in the environment alone."""

    def __init__(
        self, name: str, command: Command, host: str, port: int, environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self._command = command
        self.url = local_url(host, port)
        self._host = host
        self._port = port
        self._environment = environment
        self._log = LogFile(log)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_thread: threading.Thread | None = None
        self._part: Part | None = None
        self._has_been_ready = False
        self._short_lives = 0
        self._started_at = 0.0
        self._start_again_at: float | None = None

    @property
    def part(self) -> Part:
        """What runs now."""
        if self._part is None:
            raise DependencyUnavailable(self.name, f"{self.name} has not been started")
        return self._part

    def launch(self) -> None:
        """Start the process. A port that somebody took before we were ever ready is given up for the next free one."""
        if not self._has_been_ready:
            self._port = free_port(self._host, self._port)
            self.url = local_url(self._host, self._port)
        self._process = subprocess.Popen(
            self._command(self._host, self._port),
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,  # so that Ctrl-C in our terminal reaches us alone: we stop them in order
        )
        self._log_thread = self._log.follow(cast("BinaryIO", self._process.stdout))
        self._started_at = time.monotonic()
        self._start_again_at = None
        pid = self._process.pid
        since = utc_text(datetime.now(UTC), "seconds")
        self._part = Part(self.name, pid, birth(pid) or 0, self._port, self.url, since)

    def tend(self, report: Callable[[str], None]) -> bool:
        """Start the process again if it has ended and its wait is over; whether it was started."""
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return False
        now = time.monotonic()
        if self._start_again_at is None:
            self._short_lives = 0 if now - self._started_at >= STEADY_SECONDS else self._short_lives + 1
            self._fail_if_hopeless(code)
            delay = RESTART_DELAYS_SECONDS[min(max(self._short_lives - 1, 0), len(RESTART_DELAYS_SECONDS) - 1)]
            self._start_again_at = now + delay
            report(f"{self.name} has ended ({_ending(code)}); starting it again{f' in {delay:g} s' if delay else ''}")
        if now < self._start_again_at:
            return False
        self.launch()
        return True

    def is_ready(self) -> bool:
        """Whether the service says that it can do its work."""
        process = self._process
        running = process is not None and process.poll() is None and listens(process.pid, self._port)
        ready = running and probe(f"{self.url}/readyz")
        self._has_been_ready = self._has_been_ready or ready
        return ready

    def ask_to_stop(self) -> None:
        """Let the service finish what is under way and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process now."""
        self._signal(signal.SIGKILL)

    def has_ended(self) -> bool:
        """Whether there is no process."""
        return self._process is None or self._process.poll() is not None

    def log_tail(self) -> str:
        """The last lines that the service has said."""
        if self._log_thread is not None:
            self._log_thread.join(_LOG_THREAD_SECONDS)
        return self._log.tail()

    def _fail_if_hopeless(self, code: int) -> None:
        if self._has_been_ready or (code != _WRONG_USE and self._short_lives < STARTS_MAX):
            return
        raise DependencyUnavailable(
            self.name,
            f"{self.name} does not start ({_ending(code)}); the end of {self._log.path}:\n{self.log_tail()}",
        )

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
