"""`whence up --detach`: the supervisor in a session of its own, which tells this command how the start goes.

It writes one JSON object a line into a pipe: `{"line": …}` for people, and at the end either `{"ready": <endpoints>}`
or `{"failed": [[field, problem], …], "code": <exit code>}`.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping

from whence.cli.stores import prepare_stores
from whence.domain.errors import DependencyUnavailable, FieldProblem, InvalidInput
from whence.embedded.logfile import LogFile
from whence.embedded.signals import StopSignals
from whence.embedded.state import StateFolder
from whence.embedded.stores import EmbeddedLog
from whence.embedded.supervisor import Supervisor
from whence.kit.settings import Settings

_NAME = "supervisor"


def start(settings: Settings, embedded_log: EmbeddedLog, report: Callable[[str], None]) -> dict[str, str | None]:
    """Start a detached supervisor and wait until all is ready.

    Returns:
        The endpoints.

    Raises:
        InvalidInput, DependencyUnavailable: What the supervisor ran into; nothing runs then.
    """
    state = StateFolder(settings.state)
    state.make()
    reading, writing = os.pipe()
    with state.log(_NAME).open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "whence", "up"),
                *("--state", str(state.path), "--log", embedded_log, "--report-to", str(writing)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            start_new_session=True,
        )
    os.close(writing)
    try:
        return _listen(reading, report, LogFile(state.log(_NAME)))
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise


def run(settings: Settings, embedded_log: EmbeddedLog, report_to: int) -> None:
    """Be the detached supervisor: run everything until a signal comes."""
    log = LogFile(StateFolder(settings.state).log(_NAME))
    tell = _teller(report_to)

    def report(line: str) -> None:
        with contextlib.suppress(OSError):  # a full disk is no reason to stop
            log.append(f"{line}\n".encode())
        tell({"line": line})

    try:
        with (
            StopSignals() as signals,
            Supervisor(settings, prepare_stores, report, signals, embedded_log) as supervisor,
        ):
            tell({"ready": supervisor.endpoints()})
            os.close(report_to)
            signals.asked.wait()
            report("stopping")
    except InvalidInput as error:
        tell({"failed": [[problem.field, problem.problem] for problem in error.problems], "code": 2})
        raise
    except DependencyUnavailable as error:
        tell({"failed": [[error.dependency, str(error)]], "code": 3})
        raise


def _teller(descriptor: int) -> Callable[[Mapping[str, object]], None]:
    """A function that writes a document into the pipe while somebody listens."""

    def tell(document: Mapping[str, object]) -> None:
        with contextlib.suppress(OSError):  # closed: the command that started us has all it needs, or is gone
            os.write(descriptor, json.dumps(document).encode() + b"\n")

    return tell


def _listen(descriptor: int, report: Callable[[str], None], log: LogFile) -> dict[str, str | None]:
    """Pass the supervisor's lines on until it is ready or has failed."""
    with os.fdopen(descriptor, encoding="utf-8") as pipe:
        for text in pipe:
            document = json.loads(text)
            if "line" in document:
                report(document["line"])
            elif "ready" in document:
                endpoints: dict[str, str | None] = document["ready"]
                return endpoints
            elif document["code"] == 2:
                raise InvalidInput([FieldProblem(field, problem) for field, problem in document["failed"]])
            else:
                raise DependencyUnavailable(*document["failed"][0])
    raise DependencyUnavailable("supervisor", f"the supervisor has ended; the end of {log.path}:\n{log.tail()}")
