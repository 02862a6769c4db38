"""Partitions of which the log does not answer, or less than we have read: tried again later, after the others."""

from collections.abc import Collection
from dataclasses import dataclass

from whence.kit.clock import Times

PAUSE_SECONDS = 2.0
"""After a partition has not answered, none is taken over for so long: each try may take seconds, and the partitions
that are ours already go on meanwhile."""

CUT_OFF_SECONDS = 30.0
"""A log that ends before our position for so long was cut off. A broker that was frozen, and does not yet know that
another one leads since, says so for some seconds."""


@dataclass(slots=True)
class _Trouble:
    tried_at: float
    cut_off_since: float | None = None


class Postponed:
    """When to try which partition again."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._troubles: dict[int, _Trouble] = {}
        self._pause_until = 0.0

    def due(self, waiting: Collection[int]) -> list[int]:
        """Which of the partitions that wait to be taken over to try now, in order: the silent ones last."""
        if self._times.monotonic() < self._pause_until:
            return []
        tried_at = {partition: trouble.tried_at for partition, trouble in self._troubles.items()}
        return sorted(waiting, key=lambda partition: (tried_at.get(partition, 0.0), partition))

    def silent(self, partition: int) -> None:
        """The partition did not answer: nobody knows whether it still ends where it did."""
        self._note(partition).cut_off_since = None

    def cut_off(self, partition: int) -> bool:
        """The partition ends before our position; whether it has said so for so long that it is true."""
        trouble = self._note(partition)
        if trouble.cut_off_since is None:
            trouble.cut_off_since = trouble.tried_at
        return trouble.tried_at - trouble.cut_off_since >= CUT_OFF_SECONDS

    def settled(self, partition: int) -> None:
        """The partition is well, or has been given up."""
        self._troubles.pop(partition, None)

    def _note(self, partition: int) -> _Trouble:
        now = self._times.monotonic()
        self._pause_until = now + PAUSE_SECONDS
        trouble = self._troubles.setdefault(partition, _Trouble(now))
        trouble.tried_at = now
        return trouble
