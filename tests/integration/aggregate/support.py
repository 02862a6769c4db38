"""A log to write to and an aggregator to turn, for tests on a real PostgreSQL."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg

from conftest import Installation
from whence.aggregate.consumer import Aggregator
from whence.aggregate.declare import claim_log, declare_event_types
from whence.aggregate.decode import Rules
from whence.aggregate.metrics import AggregateMetrics
from whence.domain.errors import DependencyUnavailable
from whence.domain.partition import partition_of
from whence.eventlog.adapters import open_appender, open_consumer
from whence.eventlog.leases import Leases
from whence.eventlog.port import Consumer, NewRecord
from whence.kit.clock import SYSTEM_TIMES, Times

EVENT_TYPES = ("view", "click", "cart", "purchase", "dismiss")

DRAIN_SECONDS = 60
"""A drain that takes longer will not end."""

Fields = dict[str, Any]


def event(user: str, item: str, event_id: str, event_type: str = "view", **more: object) -> Fields:
    """An event as the log holds it, received at noon."""
    return {
        "event_type": event_type,
        "user_id": user,
        "item_id": item,
        "event_id": event_id,
        "received_at": "2024-03-04T12:00:00Z",
        **more,
    }


def record(fields: Fields, partitions: int = 16) -> NewRecord:
    """The event's record in its right partition."""
    key = str(fields["user_id"]).encode()
    return NewRecord(partition_of(key, partitions), key, json.dumps(fields).encode())


class Shop:
    """An installation with its log, as producers and the database's readers see it."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.connection = installation.connect()

    def close(self) -> None:
        """Let go of the connection."""
        self.connection.close()

    def append(self, *events: Fields) -> None:
        """Append events, each to the partition of its user."""
        self.append_records([record(fields) for fields in events])

    def append_records(self, records: Sequence[NewRecord]) -> list[int]:
        """Append records as they are; their offsets."""

        async def go() -> list[int]:
            appender = await open_appender(self.installation.log)
            try:
                chunks = [records[start : start + 1_000] for start in range(0, len(records), 1_000)]
                return [offset for chunk in chunks for offset in await appender.append(chunk)]
            finally:
                await appender.close()

        return asyncio.run(go())

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What a query gives."""
        return self.connection.execute(query.encode(), parameters).fetchall()

    def value(self, query: str, *parameters: object) -> Any:  # whatever the column is
        """The only value that a query gives."""
        (row,) = self.rows(query, *parameters)
        return row[0]

    def counts(self) -> Counter[tuple[str, str, str]]:
        """How often each user did what with each item."""
        rows = self.rows(
            "SELECT u.external_id, i.external_id, t.name, s.count FROM signal s JOIN user_ref u ON u.id = s.user_id "
            "JOIN item_ref i ON i.id = s.item_id JOIN event_type t ON t.code = s.event_type"
        )
        return Counter({(user, item, name): count for user, item, name, count in rows})

    def books(self) -> tuple[int, int, int, int]:
        """Applied, duplicate, dead, absent over all partitions."""
        (row,) = self.rows(
            "SELECT coalesce(sum(applied), 0)::int, coalesce(sum(duplicate), 0)::int, coalesce(sum(dead), 0)::int, "
            "coalesce(sum(absent), 0)::int FROM partition_position"
        )
        return row[0], row[1], row[2], row[3]


class Running:
    """An aggregator that the test turns by hand."""

    def __init__(
        self,
        installation: Installation,
        owner: str = "test",
        lease_seconds: float = 10.0,
        log: Consumer | None = None,
        times: Times = SYSTEM_TIMES,
    ) -> None:
        self.log = log or open_consumer(installation.log)
        self.waits: list[float] = []
        with installation.connect() as connection:
            claim_log(connection, self.log.log_id, self.log.partitions)
            codes = declare_event_types(connection, EVENT_TYPES)
        self.metrics = AggregateMetrics(codes, self.log.partitions)
        self.leases = Leases(installation.url, installation.namespace, owner, self.log.partitions, lease_seconds)
        rules = Rules(self.log.partitions, codes)
        self._installation = installation
        self.connections: list[psycopg.Connection] = []
        self.aggregator = Aggregator(
            self.log, self.leases, self._connect, rules, self.metrics, self.waits.append, times
        )
        self.steps = self.aggregator.steps()

    def step_to(self, name: str) -> None:
        """Go on until the step *name* comes next."""
        for step in self.steps:
            if step == name:
                return

    def turn(self, turns: int = 1) -> None:
        """Whole turns."""
        for _ in range(turns):
            self.step_to("report")

    def drain(self, shop: Shop) -> None:
        """Turn until every readable record of every partition is applied."""
        target = sum(self.log.watermarks(number).high for number in range(self.log.partitions))
        until = time.monotonic() + DRAIN_SECONDS
        while sum(shop.books()) < target:
            assert not self.aggregator.halted
            assert time.monotonic() < until, f"{sum(shop.books())} of {target} records are applied"
            self.turn()

    def metric(self, name: str, **labels: str) -> float:
        """A sample of the registry; 0 if there is none."""
        text = self.metrics.registry.render()[0].decode()
        wanted = "".join(f'{key}="{value}",' for key, value in sorted(labels.items())).rstrip(",")
        for line in text.splitlines():
            if line.startswith(f"{name}{{{wanted}}} " if wanted else f"{name} "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def close(self) -> None:
        """Stop as after SIGTERM."""
        with suppress(DependencyUnavailable):
            self.leases.leave()
        self.aggregator.close()
        self.log.close()

    def _connect(self) -> psycopg.Connection:
        self.connections.append(self._installation.connect())
        return self.connections[-1]


@contextmanager
def running(installation: Installation, owner: str = "test", lease_seconds: float = 10.0) -> Iterator[Running]:
    """A running aggregator."""
    with closing(Running(installation, owner, lease_seconds)) as aggregator:
        yield aggregator


def settle_hours(shop: Shop, user: str, hours: Sequence[int]) -> None:
    """Let the records of the user's partition have been appended this many hours after 2024-03-04T12:00Z."""
    partition = partition_of(user.encode(), 16)
    for offset, hour in enumerate(hours):
        shop.connection.execute(
            "UPDATE log_record SET appended_at = timestamptz '2024-03-04T12:00Z' + make_interval(hours => %s) "
            'WHERE partition = %s AND "offset" = %s',
            [hour, partition, offset],
        )
