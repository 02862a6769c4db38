"""How far an evaluation is, on stderr: a bar with the time left on a terminal, else a plain line now and then."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from whence.cli import console

SHOW_SECONDS = 0.2
"""Between two looks of the bar."""

PLAIN_LINE_SECONDS = 5.0
"""Between two lines where nobody watches live."""


class EvaluationProgress:
    """Call it with what is going on, how much of it is done, and of how much."""

    def __init__(self) -> None:
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._begun = self._told = time.monotonic()
        self._first = 0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
            self._live = Progress(*columns, console=Console(stderr=True), transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show it, if it is time to."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._begun, self._first = stage, now, done
            if self._live is not None:
                self._task = self._live.add_task(stage, total=total)
        elif now - self._told < (PLAIN_LINE_SECONDS if self._live is None else SHOW_SECONDS):
            return
        self._told = now
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=done)
        else:
            console.progress(f"{stage}: {done:,} of {total:,}{self._left(now, done, total)}")

    def _left(self, now: float, done: int, total: int) -> str:
        if done <= self._first:
            return ""
        return f", about {(now - self._begun) / (done - self._first) * (total - done):,.0f} s left"
