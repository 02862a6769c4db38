"""Waits that end in time, with one timer for all of them.

`asyncio.timeout` makes a timer, and forgets it again, for every wait: 3 µs, a tenth of what a small request takes.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from whence.kit.tasks import CurrentTask

T = TypeVar("T")


class Deadlines:
    """Ends waits at their deadlines, all of one event loop. A task is in one wait of an object at a time."""

    def __init__(self) -> None:
        self._waits: dict[asyncio.Task[object], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._current_task = CurrentTask()

    async def wait(self, awaitable: Awaitable[T], deadline: float) -> T:
        """What the awaitable gives.

        Args:
            awaitable: What is waited for; cancelled at the deadline.
            deadline: By `time.monotonic`, the clock of asyncio's own event loops.

        Raises:
            TimeoutError: If it has not ended by then.
        """
        task = self.begin(deadline)
        try:
            return await awaitable
        except asyncio.CancelledError:
            if self.passed(task):
                raise TimeoutError from None
            raise
        finally:
            self.end(task)

    def begin(self, deadline: float) -> "asyncio.Task[object] | None":
        """Begin waits of the current task that are cancelled at the deadline; what `passed` and `end` want."""
        task = self._current_task()
        if task is not None:
            self._waits[task] = deadline
            if self._timer is None or deadline < self._timer.when():
                self._look_at(deadline)
        return task

    def passed(self, task: "asyncio.Task[object] | None") -> bool:
        """Whether it was the deadline that cancelled a wait, and nothing else; then the task may go on."""
        return task is not None and task not in self._waits and task.uncancel() == 0

    def end(self, task: "asyncio.Task[object] | None") -> None:
        """End the waits, however they ended."""
        if task is not None:
            self._waits.pop(task, None)

    def _look_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._look)

    def _look(self) -> None:
        """End the waits that are due; come back for the next one."""
        now = time.monotonic()
        self._timer = None
        for task in [task for task, deadline in self._waits.items() if deadline <= now]:
            del self._waits[task]
            task.cancel()
        if self._waits:
            self._look_at(min(self._waits.values()))
