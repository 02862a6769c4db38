"""Dead letters: what can never be applied as it lies in the log, kept with its bytes and the reason.

The verdict stays for good, so that a recomputation from the log agrees. A replay appends the event anew, under its own
user and event id, once: as the backfill `REPLAY_NAME`, whose ids are recognised for ever.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec
import psycopg

from whence.aggregate.batch import DeadLetter
from whence.aggregate.decode import Rules, decode
from whence.domain.errors import FieldProblem, InvalidInput, WhenceError
from whence.domain.events import MAX_ID_LENGTH
from whence.domain.partition import partition_of
from whence.eventlog.port import NewRecord, Record
from whence.kit.clock import to_us
from whence.kit.database import database_errors
from whence.kit.sqlfiles import load_statements

REPLAY_NAME = "dead-letters"
"""The backfill under whose name letters are replayed, if they are not of a backfill already."""

State = Literal["pending", "replayed", "discarded"]

Append = Callable[[NewRecord], int]
"""Appends a record to the log durably and gives its offset."""

_SQL = load_statements(__file__)


class CannotReplay(WhenceError):
    """The letter would be dead again, or has been settled already."""


class Place(NamedTuple):
    """Where a record lies."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Letter:
    """A row of `dead_letter`."""

    partition: int
    offset: int
    log_id: str
    reason: str
    detail: str
    key: bytes
    value: bytes
    appended_at: datetime
    dead_at: datetime
    state: State

    @property
    def place(self) -> Place:
        """Where the record lies."""
        return Place(self.partition, self.offset)


def parse_place(text: str) -> Place:
    """The place that `partition:offset` names.

    Raises:
        InvalidInput: If it is not of that form.
    """
    partition, _, offset = text.partition(":")
    if not (_is_number(partition) and _is_number(offset)):
        raise InvalidInput([FieldProblem("PLACE", f"{text!r} is no place: partition:offset is right, as in 3:1042")])
    return Place(int(partition), int(offset))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18


class DeadLetters:
    """The letters of an installation. Needs an autocommitting connection."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def all(self, state: State | None, letters_max: int) -> tuple[list[Letter], int]:
        """The first letters in log order, of one state or of any, and how many there are in all."""
        letters = self._rows("letters", state=state, letters_max=letters_max)
        return [Letter(*row) for row in letters], int(self._rows("count_letters", state=state)[0][0])

    def pending(self) -> list[Place]:
        """Where letters lie that nobody has settled."""
        return [Place(*row) for row in self._rows("pending_places")]

    def one(self, place: Place) -> Letter:
        """The letter at a place.

        Raises:
            InvalidInput: If there is none.
        """
        return self._letter("letter", place)

    def replay(self, place: Place, rules: Rules, append: Append) -> Place:
        """Append the event anew and mark the letter as replayed.

        If this is cut off in between, the letter stays pending; replaying it again counts nothing twice.

        Returns:
            Where the event lies now.

        Raises:
            CannotReplay: The letter is not pending, or would be dead again.
            DependencyUnavailable: The database or the log does not answer.
        """
        with database_errors(), self._connection.transaction():
            letter = self._held(place)
            record = revived(letter, rules)
            offset = append(record)
            self._settle(place, "replayed")
        return Place(record.partition, offset)

    def discard(self, place: Place) -> None:
        """Mark the letter as discarded: it will never be applied.

        Raises:
            CannotReplay: The letter is not pending.
        """
        with database_errors(), self._connection.transaction():
            self._held(place)
            self._settle(place, "discarded")

    def _held(self, place: Place) -> Letter:
        letter = self._letter("hold_letter", place)
        if letter.state != "pending":
            raise CannotReplay(f"the dead letter {place} has been {letter.state} already")
        return letter

    def _settle(self, place: Place, state: State) -> None:
        self._connection.execute(_SQL["settle_letter"], {**place._asdict(), "state": state})

    def _letter(self, name: str, place: Place) -> Letter:
        rows = self._rows(name, **place._asdict())
        if not rows:
            raise InvalidInput([FieldProblem("PLACE", f"there is no dead letter at {place}; see `dead-letters list`")])
        return Letter(*rows[0])

    def _rows(self, name: str, **parameters: object) -> Sequence[tuple[Any, ...]]:
        with database_errors():
            return self._connection.execute(_SQL[name], parameters).fetchall()


def revived(letter: Letter, rules: Rules) -> NewRecord:
    """The record that a letter becomes: keyed by its user, in the right partition, under its own event id.

    An id that cannot be read becomes `dl:<log>:<partition>:<offset>`; a time of receipt that is missing becomes the
    time of the first append.

    Raises:
        CannotReplay: If that record would be dead again.
    """
    event = _parsed(letter)
    if not _is_id(event.get("event_id")):
        event["event_id"] = f"dl:{letter.log_id}:{letter.place}"
    if event.get("received_at") is None:
        event["received_at"] = letter.appended_at
    if event.get("backfill") is None:
        event["backfill"] = REPLAY_NAME
    key = str(event.get("user_id") or event.get("session_id") or "").encode(errors="replace")
    record = NewRecord(partition_of(key, rules.partitions), key, msgspec.json.encode(event))
    verdict = decode(Record(record.partition, 0, to_us(letter.dead_at), key, record.value), rules)
    if isinstance(verdict, DeadLetter):
        raise CannotReplay(f"the dead letter {letter.place} would be dead again: {verdict.detail}")
    return record


def _parsed(letter: Letter) -> dict[str, Any]:
    try:
        event = msgspec.json.decode(letter.value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise CannotReplay(f"the dead letter {letter.place} cannot be read: {letter.detail}")
    return event


def _is_id(value: object) -> bool:
    return (
        isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH and "\x00" not in value and value not in (".", "..")
    )
