"""The task that runs now, without a system call.

Before Python 3.12 `asyncio.get_running_loop`, and all that asks it, looks the process id up each time: with six such
places a tenth of what a small request costs.
"""

import asyncio


class CurrentTask:
    """Tells the current task; remembers the event loop that it was asked in last."""

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self) -> asyncio.Task[object] | None:
        """As `asyncio.current_task`."""
        task = None if self._loop is None else asyncio.current_task(self._loop)
        if task is None:  # asked for the first time, or in another loop
            self._loop = asyncio.get_running_loop()
            task = asyncio.current_task(self._loop)
        return task
