"""How far an import is, on stderr: a live line on a terminal, else a plain one now and then."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from whence.cli import console
from whence.cli.bulk.delivery import Tally

ROWS_BETWEEN_LOOKS = 500
"""Looking at the clock for each row would cost more than it shows."""

PLAIN_LINE_SECONDS = 5.0
"""Between two lines where nobody watches live."""


class ImportProgress:
    """Call it with the number of rows read so far."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._started = time.monotonic()
        self._last_line = self._started
        self._live: Progress | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._live = Progress(*columns, console=Console(stderr=True), transient=True)
            self._live.add_task("reading")
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, rows: int) -> None:
        """Show it, if it is time to."""
        if rows % ROWS_BETWEEN_LOOKS:
            return
        if self._live is not None:
            self._live.update(self._live.task_ids[0], description=self._text(rows))
        elif time.monotonic() - self._last_line >= PLAIN_LINE_SECONDS:
            self._last_line = time.monotonic()
            console.progress(self._text(rows))

    def _text(self, rows: int) -> str:
        rate = self._tally.accepted / max(time.monotonic() - self._started, 0.001)
        bad = f", {self._tally.rejected:,} rejected" if self._tally.rejected else ""
        return f"{rows:,} rows read, {self._tally.accepted:,} accepted{bad}, {rate:,.0f}/s"
