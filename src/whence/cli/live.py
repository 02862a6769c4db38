"""What commands show on stderr while they work: a live display on a terminal, nothing of it elsewhere."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn

PLAIN_LINE_SECONDS = 5.0
"""Between two lines where nobody watches live."""


class LiveProgress:
    """A live display while the context lasts.

    Attributes:
        live: The display; None where stderr is no terminal.
    """

    def __init__(self, *columns: ProgressColumn) -> None:
        watched = sys.stderr.isatty()
        self.live = Progress(*columns, console=Console(stderr=True), transient=True) if watched else None

    def __enter__(self) -> Self:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()
