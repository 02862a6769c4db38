"""How far an evaluation is, on stderr: a bar with the time left on a terminal, else a plain line now and then."""

import time

from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from whence.cli import console
from whence.cli.live import PLAIN_LINE_SECONDS, LiveProgress

SHOW_SECONDS = 0.2
"""Between two looks of the bar."""


class EvaluationProgress(LiveProgress):
    """Call it with what is going on, how much of it is done, and of how much."""

    def __init__(self) -> None:
        super().__init__(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._task: TaskID | None = None
        self._stage = ""
        self._begun = self._told = time.monotonic()
        self._first = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show it, if it is time to."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._begun, self._first = stage, now, done
            if self.live is not None:
                self._task = self.live.add_task(stage, total=total)
        elif now - self._told < (PLAIN_LINE_SECONDS if self.live is None else SHOW_SECONDS):
            return
        self._told = now
        if self.live is not None and self._task is not None:
            self.live.update(self._task, completed=done)
        else:
            console.progress(f"{stage}: {done:,} of {total:,}{self._left(now, done, total)}")

    def _left(self, now: float, done: int, total: int) -> str:
        if done <= self._first:
            return ""
        return f", about {(now - self._begun) / (done - self._first) * (total - done):,.0f} s left"
