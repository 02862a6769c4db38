"""What happens to services beside the load: kills at intervals, and a record of their memory."""

import random
import signal
import statistics
import threading
import time
from collections.abc import Sequence

from bench.report import say
from bench.services import Replica

MEMORY_SECONDS = 5.0
"""Between two looks at memory."""

RESTART_SECONDS = 1.0
"""After a kill, until the process is started again: what a supervisor takes."""


class Disturbance:
    """Kills a random replica every so often and starts it again, from entering the context until leaving it."""

    def __init__(self, replicas: Sequence[Replica], kill_seconds: float, seed: int = 1) -> None:
        """Prepare.

        Args:
            replicas: Any of which may be killed.
            kill_seconds: Between two kills; 0 for none.
            seed: Of the choices.
        """
        self.kills = 0
        self._replicas = replicas
        self._kill_seconds = kill_seconds
        self._random = random.Random(seed)
        self._memory_mb: list[float] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disturbance")

    def __enter__(self) -> "Disturbance":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def memory_mb(self) -> dict[str, float]:
        """Of all replicas together, whenever all ran: the medians of three thirds of the time, and the most."""
        third = max(len(self._memory_mb) // 3, 1)
        thirds = {
            "first_memory_mb": self._memory_mb[:third],
            "middle_memory_mb": self._memory_mb[third:-third] or self._memory_mb,
            "last_memory_mb": self._memory_mb[-third:],
        }
        return {name: statistics.median(looks) for name, looks in thirds.items()} | {
            "most_memory_mb": max(self._memory_mb)
        }

    def _run(self) -> None:
        kill_at = time.monotonic() + self._kill_seconds
        while not self._stopping.wait(MEMORY_SECONDS if self._memory_mb else 0):
            if all(replica.runs() for replica in self._replicas):
                self._memory_mb.append(sum(replica.pss_mb() for replica in self._replicas))
            if self._kill_seconds and time.monotonic() >= kill_at:
                kill_at += self._kill_seconds
                self._kill(self._random.choice(self._replicas))

    def _kill(self, replica: Replica) -> None:
        say(f"kill -9 of {replica.name} on port {replica.port}")
        replica.end(signal.SIGKILL)
        self.kills += 1
        self._stopping.wait(RESTART_SECONDS)
        replica.start()
