"""Chance, virtual time, and tasks of which one runs at a time: everything follows from the seed.

A task is a thread that hands the turn back at its I/O, so that real, synchronous code can be suspended in the middle
of a transaction. No two ever run at once.
"""

import random
import threading
from collections.abc import Callable

START_US = 1_709_553_600_000_000
"""2024-03-04T12:00Z in microseconds since the epoch."""

SWITCH_CHANCE = 0.25
"""How likely an I/O hands the turn to somebody else; each handing over costs two switches of threads."""

PATIENCE_SECONDS = 120.0
"""A task that does not hand the turn back for so long of real time hangs."""


class Crashed(BaseException):
    """The process is gone, as by kill -9: nothing of it may run any more."""


class Task:
    """A thread of the simulated world."""

    def __init__(self, name: str, body: Callable[[], None]) -> None:
        self.name = name
        self.ended = False
        self.error: BaseException | None = None
        self.frozen_ticks = 0
        self._body = body
        self._killed = False
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Let it run until it hands the turn back."""
        self._go.release()
        assert self._back.acquire(timeout=PATIENCE_SECONDS), f"{self.name} hangs"
        if self.error is not None:
            raise self.error

    def pause(self) -> None:
        """Hand the turn back; called by the task itself."""
        self._back.release()
        self._go.acquire()
        if self._killed:
            raise Crashed

    def kill(self) -> None:
        """End it where it stands."""
        self._killed = True
        if not self.ended:
            self.resume()

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._killed:
                self._body()
        except Crashed:
            pass
        except BaseException as error:  # noqa: BLE001  # handed on by `resume`
            self.error = error
        self.ended = True
        self._back.release()


class World:
    """What all tasks share.

    Attributes:
        chance: Where every decision comes from.
        now_us: Virtual time, microseconds since the epoch.
        calm: Whether nothing fails any more.
        current: The task that has the turn.
        crash_chance, loss_chance: How likely an I/O ends its process, or its connection.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now_us = START_US
        self.calm = False
        self.current: Task | None = None
        self.crash_chance = self.chance.choice((0.0, 0.002, 0.01))
        self.loss_chance = self.chance.choice((0.0, 0.005, 0.02, 0.05))

    def monotonic(self) -> float:
        """Virtual seconds."""
        return self.now_us / 1e6

    def pass_time(self, longest_us: int) -> None:
        """Let some time pass."""
        self.now_us += self.chance.randrange(1, longest_us)

    def happens(self, probability: float) -> bool:
        """Whether a trouble of this probability happens; none does once it is calm."""
        return not self.calm and self.chance.random() < probability

    def io(self) -> None:
        """An I/O begins or ends: others may run, and the process may die here."""
        self.pass_time(20_000)
        if self.chance.random() < SWITCH_CHANCE:
            self.pause()
        self.crash()

    def crash(self) -> None:
        """Perhaps the process dies here."""
        if self.current is not None and self.happens(self.crash_chance):
            raise Crashed

    def pause(self) -> None:
        """Let others run."""
        if self.current is not None:
            self.current.pause()

    def run(self, task: Task) -> None:
        """Give a task the turn until it hands it back."""
        self.current = task
        try:
            task.resume()
        finally:
            self.current = None
