"""Ctrl-C, `kill` and a closed terminal as one request to stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Within its block, signals set `asked`; a second one sets `hurry`. A signal that was ignored stays ignored."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.hurry = threading.Event()
        self._interrupts = False

    def __enter__(self) -> Self:
        self._before = {
            number: signal.signal(number, self._note)
            for number in _STOPPING
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Within this block the first signal also raises KeyboardInterrupt, for work that cannot look at `asked`."""
        self._interrupts = True
        try:
            if self.asked.is_set():
                raise KeyboardInterrupt
            yield
        finally:
            self._interrupts = False

    def _note(self, _: int, __: FrameType | None) -> None:
        (self.hurry if self.asked.is_set() else self.asked).set()
        if self._interrupts:
            self._interrupts = False
            raise KeyboardInterrupt
