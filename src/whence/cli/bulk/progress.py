"""How far an import is, on stderr: a live line on a terminal, else a plain one now and then."""

import time

from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from whence.cli import console
from whence.cli.bulk.delivery import Tally
from whence.cli.live import PLAIN_LINE_SECONDS, LiveProgress

ROWS_BETWEEN_LOOKS = 500
"""Looking at the clock for each row would cost more than it shows."""


class ImportProgress(LiveProgress):
    """Call it with the number of rows read so far."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        if self.live is not None:
            self.live.add_task("reading")
        self._tally = tally
        self._started = time.monotonic()
        self._last_line = self._started

    def __call__(self, rows: int) -> None:
        """Show it, if it is time to."""
        if rows % ROWS_BETWEEN_LOOKS:
            return
        if self.live is not None:
            self.live.update(self.live.task_ids[0], description=self._text(rows))
        elif time.monotonic() - self._last_line >= PLAIN_LINE_SECONDS:
            self._last_line = time.monotonic()
            console.progress(self._text(rows))

    def _text(self, rows: int) -> str:
        rate = self._tally.accepted / max(time.monotonic() - self._started, 0.001)
        bad = f", {self._tally.rejected:,} rejected" if self._tally.rejected else ""
        return f"{rows:,} rows read, {self._tally.accepted:,} accepted{bad}, {rate:,.0f}/s"
