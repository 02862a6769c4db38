"""How far the records of an installation have been applied, asked from the database."""

import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bench.stores import Installation

PATIENCE_SECONDS = 600.0
"""Longer than any backlog of a benchmark takes on a loaded machine."""

LOOK_AGAIN_SECONDS = 0.1
WATCH_SECONDS = 0.005
"""Between two looks while progress is watched: how much later than in truth something is seen at most."""

_APPLIED = "SELECT coalesce(sum(next_offset), 0)::bigint FROM partition_position"
_POSITIONS = "SELECT partition, next_offset FROM partition_position"


def applied(installation: Installation) -> int:
    """Records of all partitions together that have been applied."""
    with installation.connect() as connection:
        row = connection.execute(_APPLIED).fetchone()
    return row[0] if row else 0


def wait_for_applied(installation: Installation, records: int) -> None:
    """Wait until so many records of all partitions together have been applied."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := applied(installation)) < records:
        assert time.monotonic() < deadline, f"only {found} of {records} records are applied"
        time.sleep(LOOK_AGAIN_SECONDS)


class Watch:
    """Watches the positions from a thread of its own, from entering the context until leaving it."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self._seen: dict[int, list[tuple[int, float]]] = {}

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def moves(self) -> Mapping[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
        """For each partition the positions that it has had and when each was first seen, by the monotonic clock."""
        return {
            partition: (np.array([at for at, _ in moves], np.int64), np.array([when for _, when in moves]))
            for partition, moves in self._seen.items()
        }

    def visible_at(self, partition: int, offsets: Sequence[int]) -> npt.NDArray[np.float64]:
        """When the records at these offsets were seen to be applied; infinity for one that was not."""
        positions, times = self.moves()[partition]
        return np.append(times, np.inf)[np.searchsorted(positions, offsets, side="right")]

    def _run(self) -> None:
        with self._installation.connect() as connection:
            while not self._stopping.wait(WATCH_SECONDS):
                rows = connection.execute(_POSITIONS).fetchall()
                now = time.monotonic()
                for partition, next_offset in rows:
                    moves = self._seen.setdefault(partition, [])
                    if not moves or moves[-1][0] != next_offset:
                        moves.append((next_offset, now))
