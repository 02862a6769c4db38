"""Where a walk keeps how far it is: beside what it has taught, in the same transactions, so the two never differ."""

import time
from collections.abc import Iterable, Iterator

import msgspec
import psycopg
from psycopg.pq import TransactionStatus

from whence.evaluation.prequential import Book, Lists, Place
from whence.kit.sqlfiles import load_statements

KEEP_SECONDS = 0.25
"""Between two places: what a kill costs. Longer transactions would read over ever more rows that they replaced."""

_SQL = load_statements(__file__)


def take(connection: psycopg.Connection, namespace: str) -> bool:
    """Make a run ours as long as *connection* lives; whether no other process has it."""
    row = connection.execute(_SQL["lock"], {"namespace": namespace}).fetchone()
    return bool(row and row[0])


def has_note(connection: psycopg.Connection, name: str) -> bool:
    """Whether the schema of *connection* exists and has that note."""
    row = connection.execute(_SQL["has_notes"]).fetchone()
    return bool(row and row[0]) and connection.execute(_SQL["noted"], {"name": name}).fetchone() is not None


class KeptBook(Book):
    """The book of a walk whose learner uses the same connection."""

    def __init__(self, connection: psycopg.Connection) -> None:
        """Use an autocommitting connection whose schema is the run's."""
        self._connection = connection
        self._waiting: list[str] = []
        self._kept_at = time.monotonic()
        connection.execute(_SQL["make"])

    def place(self) -> Place | None:
        """Where an earlier walk was."""
        row = self._connection.execute(_SQL["place"]).fetchone()
        return Place(*row) if row else None

    def answers(self) -> Iterable[Lists]:
        """What that walk was answered."""
        rows: Iterator[tuple[str]] = iter(self._connection.execute(_SQL["answers"]).fetchall())
        return (msgspec.json.decode(text, type=dict[str, list[str]]) for (text,) in rows)

    def note(self, lists: Lists) -> None:
        """Take the next answers in."""
        self._waiting.append(msgspec.json.encode(lists).decode())

    def keep(self, place: Place, *, now: bool = False) -> None:
        """Commit what was taught and answered with the place."""
        if not now and time.monotonic() - self._kept_at < KEEP_SECONDS:
            return
        self._connection.execute(_SQL["add_answers"], {"lists": self._waiting})
        values = {"groups": place.groups, "compacted": place.compacted, "refined": place.refined}
        self._connection.execute(_SQL["keep"], values)
        self._waiting = []
        if self._is_open():
            self.pause()
            self.go_on()
        self._kept_at = time.monotonic()

    def pause(self) -> None:
        """End the transaction."""
        if self._is_open():
            self._connection.execute(b"COMMIT")

    def go_on(self) -> None:
        """Begin the next."""
        if not self._is_open():
            self._connection.execute(b"BEGIN")

    def write_down(self, name: str, value: str) -> None:
        """Note something about the run."""
        self._connection.execute(_SQL["note"], {"name": name, "value": value})

    def written_down(self, name: str) -> str | None:
        """What was noted under that name."""
        row = self._connection.execute(_SQL["noted"], {"name": name}).fetchone()
        return str(row[0]) if row else None

    def _is_open(self) -> bool:
        return self._connection.info.transaction_status != TransactionStatus.IDLE
