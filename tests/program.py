"""The real `whence` program, run as people run it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from whence.embedded.parent import end_with_parent

PATIENCE_SECONDS = 120.0
"""A slow, loaded machine is no failure."""

LIFE_SECONDS = 600.0
"""What is started here and not stopped is killed then, so that a test that waits for its words ends, too."""

_LOOK_AGAIN_SECONDS = 0.05


class Program:
    """`whence` in a folder, without any setting of the environment that runs the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".whence"
        self.states = [self.state]
        self._started: dict[subprocess.Popen[str], threading.Timer] = {}

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, without stdin; `WHENCE_NAME="value"` are its settings."""
        return self._run(subprocess.DEVNULL, words, settings)

    def run_reading(self, stdin: IO[bytes], *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """The same with something to read."""
        return self._run(stdin, words, settings)

    def _run(
        self, stdin: int | IO[bytes], words: tuple[str, ...], settings: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            _command(words),
            cwd=self.folder,
            env=_environment(settings),
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def start(self, *words: str, **settings: str) -> subprocess.Popen[str]:
        """Start a command that stays; it is stopped by `close` at the latest."""
        tests = os.getpid()
        process = subprocess.Popen(
            _command(words),
            cwd=self.folder,
            env=_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: _begin(tests),
        )
        limit = threading.Timer(LIFE_SECONDS, process.kill)
        limit.daemon = True
        limit.start()
        self._started[process] = limit
        return process

    def up(self, *words: str, **settings: str) -> dict[str, str]:
        """`whence up --detach`; the endpoints."""
        done = self.run("up", "--detach", "--json", *words, **settings)
        assert done.returncode == 0, done.stderr
        endpoints: dict[str, str] = json.loads(done.stdout)
        return endpoints

    def status(self) -> dict[str, dict[str, Any]]:
        """`whence status` by name."""
        return {part["name"]: part for part in json.loads(self.run("status", "--json").stdout)}

    def close(self) -> None:
        """Stop everything that was started here and delete the state in all `states`."""
        for process, limit in self._started.items():
            limit.cancel()
            if process.poll() is None:
                process.terminate()
            try:
                process.communicate(timeout=PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        for state in self.states:
            if state.exists():
                self.run("reset", "--yes", "--state", str(state))


def get(url: str) -> tuple[int, bytes]:
    """The status and body of a GET, without proxies; status 0 if nobody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def until(condition: Callable[[], object]) -> bool:
    """Whether the condition comes true in generous time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_AGAIN_SECONDS)
    return True


def is_alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def _command(words: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-P", "-m", "whence", *words]


def _environment(settings: dict[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("WHENCE_", "PYTHON"))}
    return ours | settings


def _begin(tests: int) -> None:
    """Undo what the shell that runs the tests may have ignored, and end with the tests if they are killed."""
    end_with_parent(tests)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
