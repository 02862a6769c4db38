"""Two databases behind one face: a real PostgreSQL, and the one of the simulation."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import psycopg

from conftest import Installation
from integration.aggregate.support import EVENT_TYPES
from simulation.catalog import new_database
from simulation.database import Connection
from simulation.tables import PairRow, PositionRow, SegmentRow, SignalRow, Tables
from simulation.world import World
from whence.aggregate.declare import declare_event_types
from whence.kit.clock import to_us


class Place(Protocol):
    """Where batches are written to."""

    def connect(self) -> psycopg.Connection:
        """An autocommitting connection that gives up soon where it has to wait for a lock."""

    def tables(self) -> Tables:
        """What is committed."""

    def close(self) -> None:
        """Let go of connections."""


class Simulated:
    """The database of the simulation, in a world where nothing fails."""

    def __init__(self) -> None:
        world = World(0)
        world.calm = True
        self._database = new_database(world)

    def connect(self) -> psycopg.Connection:
        """A connection."""
        return cast("psycopg.Connection", Connection(self._database))

    def tables(self) -> Tables:
        """What is committed."""
        return self._database.tables

    def close(self) -> None:
        """Nothing to let go of."""


class Postgres:
    """An installation in a real PostgreSQL."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._connections: list[psycopg.Connection] = []
        self._reader = installation.connect()
        self.types = declare_event_types(self._reader, EVENT_TYPES)

    def connect(self) -> psycopg.Connection:
        """A connection."""
        connection = self._installation.connect()
        connection.execute("SET statement_timeout = '2s'")
        self._connections.append(connection)
        return connection

    def close(self) -> None:
        """Let go of connections."""
        for connection in [*self._connections, self._reader]:
            connection.close()

    def tables(self) -> Tables:
        """What is committed."""
        return Tables(
            users=dict(self._rows("SELECT external_id, id FROM user_ref")),
            items=dict(self._rows("SELECT external_id, id FROM item_ref")),
            types=dict(self.types),
            signals=self._signals(),
            recents=dict(self._rows("SELECT user_id, packed FROM user_recent")),
            positions=self._positions(),
            segments=self._segments(),
            letters=self._letters(),
            folded=dict(self._rows("SELECT partition, next_offset FROM compactor_position")),
            buckets=self._buckets(),
            pairs=self._pairs(),
        )

    def _rows(self, query: str) -> Sequence[tuple[Any, ...]]:
        return self._reader.execute(query.encode()).fetchall()

    def _signals(self) -> dict[tuple[int, int, int], SignalRow]:
        rows = self._rows("SELECT user_id, item_id, event_type, count, log_sum, last_at FROM signal")
        return {
            (user, item, code): SignalRow(count, log_sum, to_us(at)) for user, item, code, count, log_sum, at in rows
        }

    def _positions(self) -> dict[int, PositionRow]:
        rows = self._rows(
            "SELECT partition, log_id, base_offset, next_offset, epoch, applied, duplicate, dead, absent, "
            "last_appended_at, last_event_at FROM partition_position"
        )
        return {
            partition: PositionRow(*rest, *(None if moment is None else to_us(moment) for moment in moments))
            for partition, *rest, moments in ((*row[:-2], row[-2:]) for row in rows)
        }

    def _segments(self) -> dict[tuple[int, int], SegmentRow]:
        rows = self._rows(f"SELECT partition, first_offset, {', '.join(SegmentRow.__slots__)} FROM batch_segment")
        return {(partition, first): SegmentRow(*rest) for partition, first, *rest in rows}

    def _letters(self) -> dict[tuple[int, int], tuple[str, bytes]]:
        rows = self._rows('SELECT partition, "offset", reason, value FROM dead_letter')
        return {(partition, offset): (reason, value) for partition, offset, reason, value in rows}

    def _buckets(self) -> dict[tuple[int, int, int], int]:
        rows = self._rows("SELECT level, start_at, item_id, count FROM trend_bucket")
        return {(level, to_us(start), item): count for level, start, item, count in rows}

    def _pairs(self) -> dict[tuple[int, int], PairRow]:
        rows = self._rows("SELECT source_id, epoch, destination_ids, units, bought_units FROM pair_count")
        return {(source, epoch): PairRow(*(tuple(column) for column in rest)) for source, epoch, *rest in rows}
