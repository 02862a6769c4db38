"""The table of signals under load: tables of any size made at once, the upsert of deltas, and a raw COPY of them."""

from dataclasses import dataclass, replace

import numpy as np
import psycopg

from bench.stores import Installation
from bench.traffic import ITEM_SKEW, TYPE_SHARES, USER_SKEW, skewed
from whence.aggregate.batch import Ints, SignalDeltas
from whence.aggregate.fold import Touches, fold_signals
from whence.aggregate.write import add_signals
from whence.kit.clock import now_us
from whence.kit.pgarrays import register

BATCH_EVENTS = 5_000
"""Events of a batch: what the aggregator takes at once from a backlog."""

ITEMS = 50_000
ROWS_PER_USER = 10
"""Existing rows for each user: ten times the rows are ten times the users."""

RAW = "raw_signal"
"""A twin of `signal`, with the same rows, that deltas are copied into; its new rows differ by their event type."""

FIRST_NEW_TYPE = 100
_HOUR_US = 3_600_000_000
_POSTGRES_EPOCH_US = 946_684_800_000_000
_COPY_HEAD, _COPY_END = b"PGCOPY\n\xff\r\n\x00" + bytes(8), b"\xff\xff"
_KINDS = {"user": ">i8", "item": ">i8", "type_code": ">i2", "count": ">i8", "log_sum": ">f8", "last_us": ">i8"}
_COPY_ROW = np.dtype(
    [("fields", ">i2"), *((name, [("size", ">i4"), ("value", kind)]) for name, kind in _KINDS.items())]
)


@dataclass(frozen=True, slots=True)
class SignalTable:
    """An installation whose `signal` holds many rows, and a twin of that table for raw COPY."""

    installation: Installation
    connection: psycopg.Connection
    users: int

    @classmethod
    def make(cls, installation: Installation, rows: int) -> "SignalTable":
        """Fill both tables with *rows* rows of the same traffic that comes later."""
        connection = installation.connect()
        connection.execute("SET statement_timeout = 0")
        register(connection)
        table = cls(installation, connection, rows // ROWS_PER_USER)
        deltas = table._rows(rows)
        connection.execute(f"CREATE TABLE {RAW} (LIKE signal INCLUDING ALL)".encode())
        for name in ("signal", RAW):
            _copy(connection, name, deltas)
            connection.execute(f"VACUUM (FREEZE, ANALYZE) {name}".encode())
        return table

    def deltas(self, random: np.random.Generator, events: int = BATCH_EVENTS) -> SignalDeltas:
        """A batch of events, folded; users and items by their ids."""
        return fold_signals(
            Touches(
                user=skewed(random, events, self.users, USER_SKEW),
                item=skewed(random, events, ITEMS, ITEM_SKEW),
                type_code=random.choice(len(TYPE_SHARES), events, p=TYPE_SHARES) + 1,
                time_us=now_us() - random.integers(0, _HOUR_US, events),
                offset=np.arange(events),
            )
        )

    def upsert(self, batch: SignalDeltas) -> None:
        """Add a batch as the aggregator does."""
        with self.connection.transaction():
            add_signals(self.connection, batch, np.arange(self.users), np.arange(ITEMS))

    def copy(self, batch: SignalDeltas, number: int) -> None:
        """Add the same rows to the twin, as new ones all over it; *number* is another one for each batch."""
        new_type = FIRST_NEW_TYPE + number * len(TYPE_SHARES) + batch.type_code
        _copy(self.connection, RAW, replace(batch, type_code=new_type))

    def _rows(self, rows: int) -> SignalDeltas:
        """As many rows as wanted, in the order of their keys."""
        random = np.random.default_rng(rows)
        events = 2 * rows
        while True:
            found = self.deltas(random, events)
            if found.user.size >= rows:
                kept = np.sort(random.permutation(found.user.size)[:rows])
                return _taken(found, kept)
            events *= 2


def _copy(connection: psycopg.Connection, table: str, rows: SignalDeltas) -> None:
    with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT binary)".encode()) as copy:
        copy.write(_COPY_HEAD)
        for start in range(0, rows.user.size, BATCH_EVENTS):
            copy.write(_packed(rows, slice(start, start + BATCH_EVENTS)))
        copy.write(_COPY_END)


def _packed(rows: SignalDeltas, part: slice) -> bytes:
    packed = np.empty(rows.user[part].size, _COPY_ROW)
    packed["fields"] = len(_KINDS)
    for name, kind in _KINDS.items():
        packed[name]["size"], packed[name]["value"] = np.dtype(kind).itemsize, getattr(rows, name)[part]
    packed["last_us"]["value"] -= _POSTGRES_EPOCH_US
    return packed.tobytes()


def _taken(rows: SignalDeltas, kept: Ints) -> SignalDeltas:
    columns = (rows.user, rows.item, rows.type_code, rows.count)
    user, item, type_code, count = (column[kept] for column in columns)
    return SignalDeltas(user, item, type_code, count, rows.log_sum[kept], rows.last_us[kept])
