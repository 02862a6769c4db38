"""What differs between the tables and the log, row by row. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from whence.aggregate.batch import DeadLetter
from whence.aggregate.positions import StoredPosition
from whence.aggregate.recompute import Expected, Signal
from whence.kit.clock import from_us, to_us

LOG_SUM_TOLERANCE = 1e-9
"""Sums are compared to this relative error: float addition depends on the order by less (2e-12 measured)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Attributes:
        kind: `signal`, `recent`, `books`, `record` or `user`.
        where: The row, in words.
        field: What differs.
        expected, found: By the log, and in the table; None where there is no row.
    """

    kind: str
    where: str
    field: str
    expected: Any
    found: Any

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def compare_signals(
    users: Sequence[str], expected: Expected, rows: Sequence[tuple[Any, ...]], type_names: Mapping[int, str]
) -> list[Difference]:
    """Signals of *users*: counts and times exactly, sums within `LOG_SUM_TOLERANCE`."""
    found = {(user, item, code): Signal(count, log_sum, to_us(at)) for user, item, code, count, log_sum, at in rows}
    wanted = {
        (user, item, code): signal for user in users for (item, code), signal in expected.signals.get(user, {}).items()
    }
    differences = []
    for user, item, code in sorted(wanted.keys() | found.keys()):
        where = f"user {user!r}, item {item!r}, {type_names.get(code, code)}"
        one, other = wanted.get((user, item, code)), found.get((user, item, code))
        differences += _signal_differences(where, one, other)
    return differences


def _signal_differences(where: str, wanted: Signal | None, found: Signal | None) -> list[Difference]:
    if wanted is None or found is None:
        counts = [None if signal is None else signal.count for signal in (wanted, found)]
        return [Difference("signal", where, "count", *counts)]
    differences = []
    if wanted.count != found.count:
        differences.append(Difference("signal", where, "count", wanted.count, found.count))
    if not math.isclose(wanted.log_sum, found.log_sum, rel_tol=0, abs_tol=LOG_SUM_TOLERANCE):
        differences.append(Difference("signal", where, "log_sum", wanted.log_sum, found.log_sum))
    if wanted.last_us != found.last_us:
        differences.append(Difference("signal", where, "last_at", _text(wanted.last_us), _text(found.last_us)))
    return differences


def compare_recents(users: Sequence[str], expected: Expected, rows: Sequence[tuple[Any, ...]]) -> list[Difference]:
    """Recent items of *users*, in order."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    for user, item, last_at, offset in rows:
        found.setdefault(user, []).append((item, to_us(last_at), offset))
    return [
        Difference("recent", f"user {user!r}", "items", _shown(wanted), _shown(found.get(user, [])))
        for user in users
        if (wanted := expected.recents(user)) != found.get(user, [])
    ]


def compare_books(held: StoredPosition, passes: Sequence[Expected]) -> list[Difference]:
    """A partition's counts and times."""
    where = f"partition {held.partition}"
    one = passes[0]
    applied, duplicate = (sum(getattr(each, name) for each in passes) for name in ("applied", "duplicate"))
    last_events = [each.last_event_us for each in passes if each.last_event_us is not None]
    pairs = {
        "applied": (applied, held.applied),
        "duplicate": (duplicate, held.duplicate),
        "dead": (one.dead, held.dead),
        "absent": (held.next_offset - held.base_offset - one.records, held.absent),
        "last_appended_at": (_text(one.last_appended_us or None), _iso(held.last_appended_at)),
        "last_event_at": (_text(max(last_events, default=None)), _iso(held.last_event_at)),
    }
    return [Difference("books", where, name, *pair) for name, pair in pairs.items() if pair[0] != pair[1]]


def difference_of_letter(partition: int, letter: DeadLetter) -> Difference:
    """A record that can never be applied and that is not among the dead letters."""
    where = f"partition {partition}, offset {letter.offset}"
    return Difference("record", where, "verdict", f"dead: {letter.detail}", None)


def difference_of_user(user: str) -> Difference:
    """Something is held of a user of whom the log knows nothing."""
    return Difference("user", f"user {user!r}", "rows", None, "signals or recent items that no event explains")


def _shown(entries: Sequence[tuple[str, int, int]]) -> list[list[Any]]:
    return [[item, _text(time_us), offset] for item, time_us, offset in entries]


def _text(time_us: int | None) -> str | None:
    return None if time_us is None else from_us(time_us).isoformat()


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
