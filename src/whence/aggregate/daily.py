"""The daily refinement beside the loop: due once a day (UTC), fitted by a process of its own.

Every aggregate process looks; an advisory lock lets one of them fit. A fit keeps a core busy for seconds, and in a
process of its own it takes neither the loop's interpreter lock nor its memory.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from threading import Event

import psycopg
import structlog

from whence.aggregate.metrics import AggregateMetrics
from whence.aggregate.refinement import is_due
from whence.domain.errors import WhenceError
from whence.kit.clock import Clock

LOOK_SECONDS = 60.0
"""Between two looks, and before the first one: a process that has just started has more urgent work."""

FIT_SECONDS_MAX = 1_800.0
"""A fit that takes longer is ended; the former weights stay, and the next look tries again."""

STOP_SECONDS = 2.0
"""A fit that does not end in this time when we stop is killed: it writes in one transaction."""

NICENESS = 10
"""How far a fit steps back behind the services."""

FIT_COMMAND = (sys.executable, "-P", "-m", "whence", "refine", "--if-due", "--json")


class DailyRefinement:
    """Looks every minute whether a fit is due, in a thread of its own."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection],
        metrics: AggregateMetrics,
        clock: Clock,
        command: Sequence[str] = FIT_COMMAND,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._connect = connect
        self._metrics = metrics
        self._clock = clock
        self._command = command
        self._look_seconds = look_seconds
        self._logger = structlog.get_logger("refinement")

    def run(self, stopping: Event) -> None:
        """Look until *stopping* is set."""
        while not stopping.wait(self._look_seconds):
            try:
                with closing(self._connect()) as connection:
                    due = is_due(connection, self._clock.now())
            except WhenceError as error:
                self._logger.warning("cannot look whether a fit is due", reason=str(error))
                continue
            if due:
                with self._metrics.stage("refine"):
                    self._fit(stopping)

    def _fit(self, stopping: Event) -> None:
        """Run a fit to its end, or until we have to stop."""
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: os.nice(NICENESS),  # noqa: PLW1509  # nothing but a system call between fork and exec
        )
        waited = 0.0
        while process.poll() is None and waited < FIT_SECONDS_MAX and not stopping.wait(0.25):
            waited += 0.25
        if process.poll() is None:
            process.terminate()
        try:
            output, _ = process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        tell = self._logger.info if process.returncode == 0 else self._logger.warning
        tell("refinement", exit_code=process.returncode, output=output.strip()[-1_000:])
