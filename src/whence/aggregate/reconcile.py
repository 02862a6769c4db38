"""`whence reconcile`: the tables against the log, live, in bounded memory.

One repeatable-read snapshot of the scores says how far each partition has been applied; the log is read up to exactly
there. Partitions come one after the other, and a large one in several passes, each over an equal share of its users, so
that a pass holds what at most `EVENTS_PER_PASS_MAX` events amount to. Only decoded are the records of the pass's users.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psycopg

from whence.aggregate.compare import (
    Difference,
    compare_books,
    compare_recents,
    compare_signals,
    difference_of_letter,
    difference_of_user,
)
from whence.aggregate.declare import event_type_codes
from whence.aggregate.decode import Rules
from whence.aggregate.positions import StoredPosition, check_log, stored_positions, verdicts, what_is_gone
from whence.aggregate.recompute import Expected, Keys, Recomputation
from whence.domain.errors import LogDamaged
from whence.domain.partition import partition_of
from whence.eventlog.port import Scanner
from whence.kit.database import database_errors
from whence.kit.sqlfiles import load_statements

EVENTS_PER_PASS_MAX = 500_000
"""Applied events of one pass: some 200 MB if each of them is a signal of its own."""

USERS_PER_QUERY = 500
"""Users whose rows are read in one statement."""

DIFFERENCES_KEPT_MAX = 1_000
"""Differences that are kept to be shown; all are counted."""

Progress = Callable[[str], None]

_SQL = load_statements(__file__)


@dataclass(slots=True)
class Findings:
    """What a reconciliation found.

    Attributes:
        differences: The first `DIFFERENCES_KEPT_MAX` of them.
        difference_count: All of them.
        records, users, signals, recents: How much was compared; recents are users with recent items.
        next_offsets: Up to where, by partition.
    """

    differences: list[Difference] = field(default_factory=list)
    difference_count: int = 0
    records: int = 0
    users: int = 0
    signals: int = 0
    recents: int = 0
    next_offsets: dict[int, int] = field(default_factory=dict)

    def note(self, differences: Sequence[Difference]) -> None:
        """Add differences."""
        self.difference_count += len(differences)
        self.differences += differences[: DIFFERENCES_KEPT_MAX - len(self.differences)]


class Reconciliation:
    """Compares inside one snapshot."""

    def __init__(self, connection: psycopg.Connection, scanner: Scanner, progress: Progress) -> None:
        self._connection = connection
        self._scanner = scanner
        self._progress = progress
        with database_errors():
            self._rules = Rules(scanner.partitions, event_type_codes(connection))
        self._positions = stored_positions(connection)
        self.findings = Findings(next_offsets={held.partition: held.next_offset for held in self._positions})
        for held in self._positions:
            self._check_log(held)

    def everything(self) -> None:
        """Compare all users, all books, and look for rows that no record explains."""
        seen = array("q")
        for held in self._positions:
            self._progress(f"partition {held.partition}: {held.next_offset - held.base_offset} records")
            self._whole_partition(held, seen)
        signals, recents = self._rows("totals")[0]
        if (signals, recents) != (self.findings.signals, self.findings.recents):
            self._find_unexplained(seen)

    def users(self, users: Sequence[str]) -> None:
        """Compare these users alone; their partitions' books are left out."""
        for held in self._positions:
            mine = [user for user in users if partition_of(user.encode(), self._scanner.partitions) == held.partition]
            if mine:
                expected = self._recompute(held, Keys(frozenset(user.encode() for user in mine)))
                self._compare_users(expected, mine)

    def sample(self, users_max: int) -> None:
        """Compare some users, drawn at random."""
        self.users([user for (user,) in self._rows("sample_users", users_max=users_max)])

    def _whole_partition(self, held: StoredPosition, seen: "array[int]") -> None:
        shares = max(1, -(-held.applied // EVENTS_PER_PASS_MAX))
        passes: list[Expected] = []
        for share in range(shares):
            expected = self._recompute(held, Keys(share=share, shares=shares))
            self._compare_users(expected, list(expected.signals))
            seen.extend(hash(user) for user in expected.signals)
            expected.signals, expected.touches = {}, {}
            passes.append(expected)
        self.findings.records += passes[0].records
        self.findings.note(compare_books(held, passes))

    def _recompute(self, held: StoredPosition, keys: Keys) -> Expected:
        dead = verdicts(self._connection, held.partition, held.base_offset, held.next_offset)
        recomputation = Recomputation(self._rules, dead)
        if held.base_offset < held.next_offset:
            for records in self._scanner.scan(held.partition, held.base_offset, held.next_offset):
                recomputation.take(records, keys)
        expected = recomputation.expected
        self.findings.note([difference_of_letter(held.partition, letter) for letter in expected.wrongly_alive])
        return expected

    def _compare_users(self, expected: Expected, users: Sequence[str]) -> None:
        names = {code: name for name, code in self._rules.type_codes.items()}
        for start in range(0, len(users), USERS_PER_QUERY):
            some = users[start : start + USERS_PER_QUERY]
            signals, recents = self._rows("signals_of", users=some), self._rows("recents_of", users=some)
            self.findings.note(compare_signals(some, expected, signals, names))
            self.findings.note(compare_recents(some, expected, recents))
            self.findings.users += len(some)
            self.findings.signals += len(signals)
            self.findings.recents += len({user for user, *_ in recents})

    def _find_unexplained(self, seen: "array[int]") -> None:
        """Users of whom something is held though the log has no event of theirs; *seen*: hashes of the others."""
        explained, after = np.unique(np.frombuffer(seen, np.int64)), 0
        while rows := self._rows("known_users", after=after, rows_max=10 * USERS_PER_QUERY):
            known = np.isin([hash(user) for _, user in rows], explained)
            unexplained = [user for (_, user), is_known in zip(rows, known, strict=True) if not is_known]
            self.findings.note([difference_of_user(user) for user in unexplained])
            after = rows[-1][0]

    def _check_log(self, held: StoredPosition) -> None:
        check_log(held, self._scanner)
        if gone := what_is_gone(held, self._scanner):
            raise LogDamaged(f"{gone}: what came before can no longer be compared", held.partition)

    def _rows(self, name: str, **parameters: object) -> list[tuple[Any, ...]]:
        with database_errors():
            return self._connection.execute(_SQL[name], parameters).fetchall()


@contextmanager
def reconciliation(
    connection: psycopg.Connection, scanner: Scanner, progress: Progress = lambda _: None
) -> Iterator[Reconciliation]:
    """A reconciliation over the state of this moment.

    Raises:
        DependencyUnavailable: PostgreSQL or the log does not answer.
        LogDamaged: The log does not reach back as far as the scores, or is another one.
    """
    with database_errors(), connection.transaction():
        connection.execute(_SQL["snapshot"])
        yield Reconciliation(connection, scanner, progress)
