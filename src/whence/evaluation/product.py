"""The product, driven synchronously: its pipeline, writer, compactor, refinement and read statement, on an event clock.

No log hop: records are handed to the pipeline as the consumer would hand them. Everything else is the real thing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
import psycopg

from whence.aggregate.batch import Ints
from whence.aggregate.compactor import Compactor
from whence.aggregate.declare import claim_log, declare_event_types
from whence.aggregate.decode import Rules
from whence.aggregate.dedupe import Mask
from whence.aggregate.metrics import AggregateMetrics
from whence.aggregate.pipeline import Position, cut_by_hour, process
from whence.aggregate.poison import PoisonGuard
from whence.aggregate.refinement import refine
from whence.aggregate.runs import BATCH_RECORDS_MAX
from whence.aggregate.write import Writer
from whence.domain.blend_weights import BlendWeights
from whence.domain.errors import FieldProblem, InvalidInput
from whence.domain.events import EventTypes, LoggedEvent
from whence.domain.state import Exclude
from whence.evaluation.metrics import LIST_SIZE
from whence.eventlog.port import Record
from whence.kit.clock import SystemClock
from whence.kit.pgarrays import load_bigint_arrays, register
from whence.recommend.read import Ask, read_now

LOG_ID = "e7a10a7e"
"""The log that an evaluation's scores come from."""

BATCH_EVENTS = BATCH_RECORDS_MAX
"""As the consumer's largest batch."""

SESSION = (
    # What a crash loses is learnt again.
    "SET synchronous_commit = off",
    # As in the service: compiling costs more than running, and plans are made once.
    "SET jit = off",
    "SET max_parallel_workers_per_gather = 0",
)

APPENDED_AT_US = 4_102_444_800_000_000
"""When the replayed log says that it took each record: 2100, later than any event."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the log that is replayed."""

    user: str
    item: str
    event_type: str
    at: datetime


class _NothingKnown:
    """The events of a file are distinct: a replay needs no dedupe window."""

    def repeats(self, hashes: Ints, backfill: Mask, hour: int) -> Mask:  # noqa: ARG002  # as `dedupe.Known` has it
        """None of them."""
        return np.zeros(hashes.shape, np.bool_)


class Product:
    """An installation that learns events and answers at moments of event time."""

    def __init__(self, connection: psycopg.Connection, types: EventTypes) -> None:
        """Use a migrated installation, empty or one that a Product has used; *connection* is autocommitting."""
        register(connection)
        load_bigint_arrays(connection)
        for statement in SESSION:
            connection.execute(statement.encode())
        claim_log(connection, LOG_ID, 1)
        codes = declare_event_types(connection, types.names)
        connection.execute(
            "INSERT INTO partition_position (partition, log_id, base_offset, next_offset) VALUES (0, %s, 0, 0) "
            "ON CONFLICT DO NOTHING",
            [LOG_ID],
        )
        row = connection.execute("SELECT next_offset FROM partition_position").fetchone()
        self._connection = connection
        self._rules = Rules(1, codes)
        self._writer = Writer(connection, LOG_ID)
        self._position = Position(0, row[0], APPENDED_AT_US if row[0] else 0) if row else Position(0, 0, 0)
        self._guard = PoisonGuard()
        self._known = _NothingKnown()
        self._compactor = Compactor(lambda: connection, AggregateMetrics(codes, 1), SystemClock())

    @property
    def learned(self) -> int:
        """How many events have been applied, also by an earlier process."""
        return self._position.next_offset

    def learn(self, events: Iterable[Event]) -> None:
        """Apply events in order, in batches as the consumer would."""
        records = [self._record(event, place) for place, event in enumerate(events, start=self._position.next_offset)]
        for start in range(0, len(records), BATCH_EVENTS):
            for run in cut_by_hour(records[start : start + BATCH_EVENTS], self._position.last_appended_us):
                batch = process(run, self._position, self._known, self._guard, self._rules)
                if batch.dead:
                    raise InvalidInput([FieldProblem("events", batch.dead[0].detail)])
                self._writer.write(batch, 0)
                self._position = Position(0, batch.end_offset, batch.last_appended_us)

    def compact(self, as_of: datetime) -> None:
        """Fold what is new into pairs, neighbour lists and trends."""
        while self._compactor.fold(self._connection, as_of):
            pass
        self._compactor.rank(self._connection, as_of)

    def refine(self, as_of: datetime) -> None:
        """Fit the refined neighbours."""
        refine(self._connection, as_of)

    def asker(
        self, mixture: BlendWeights, weights: Mapping[str, float]
    ) -> Callable[[str, datetime, Exclude], list[str]]:
        """What gives lists, best first, by that blend and these weights of the event types."""

        def ask(user: str, as_of: datetime, exclude: Exclude) -> list[str]:
            asked = Ask([user], [0], weights, as_of, size=LIST_SIZE, exclude=exclude, evidence_max=0, mixture=mixture)
            return [found.item_id for found in read_now(self._connection, asked).found]

        return ask

    @staticmethod
    def _record(event: Event, place: int) -> Record:
        logged = LoggedEvent(
            event_type=event.event_type,
            user_id=event.user,
            item_id=event.item,
            event_id=str(place),
            occurred_at=event.at,
            received_at=event.at,
        )
        # One append time for all: a replay has no dedupe window, and batches end where the append hour changes.
        return Record(0, place, APPENDED_AT_US, event.user.encode(), _encode(logged))
