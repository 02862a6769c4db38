"""The event log on PostgreSQL: the shared suite, and what happens when the server goes away."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from conftest import Installation
from integration.eventlog.conformance import (
    PARTITIONS,
    PATIENCE_SECONDS,
    EventLogConformance,
    append,
    fill,
    places,
    read_until,
    reading,
    record,
)
from integration.eventlog.proxy import AnswerCuttingProxy
from whence.domain.errors import DependencyUnavailable, LogDamaged, OutcomeUnknown
from whence.eventlog import adapters, postgres_appender
from whence.eventlog.places import PostgresPlace
from whence.eventlog.port import APPEND_TIMEOUT_SECONDS, Appender, Consumer, NewRecord, Scanner
from whence.eventlog.postgres_appender import WRITE_TIMEOUT_SECONDS
from whence.eventlog.postgres_readers import MAX_POLL_BYTES
from whence.kit.database import connect


class PostgresLogUnderTest:
    """A log in a schema of its own."""

    def __init__(self, url: str, namespace: str, partitions: int = PARTITIONS) -> None:
        self.url = url
        self.namespace = namespace
        self.place = PostgresPlace(url, namespace, partitions)
        adapters.prepare(self.place)

    async def appender(self) -> Appender:
        """A new writing side."""
        return await adapters.open_appender(self.place)

    def consumer(self) -> Consumer:
        """A new reading side."""
        return adapters.open_consumer(self.place)

    def scanner(self) -> Scanner:
        """A new scanner."""
        return adapters.open_scanner(self.place)

    def connect(self) -> psycopg.Connection:
        """A connection beside the adapter."""
        return connect(self.url, self.namespace, "test")

    def trim(self, partition: int, low: int) -> None:
        """Delete the records below an offset."""
        with self.connect() as connection:
            connection.execute('DELETE FROM log_record WHERE partition = %s AND "offset" < %s', [partition, low])

    def replace(self) -> None:
        """Make the log anew."""
        with self.connect() as connection:
            connection.execute("TRUNCATE log_info, log_partition, log_record")
        adapters.prepare(self.place)

    def drop(self) -> None:
        """Remove the schema."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(self.namespace)))


class DatabaseOfItsOwn:
    """A database that can be closed for everybody but us."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self.name = f"outage_{uuid.uuid4().hex[:12]}"
        self._on_server(sql.SQL("CREATE DATABASE {}"))
        self.url = make_conninfo(server_url, dbname=self.name)

    def take_down(self) -> None:
        """End all its connections and take no new ones."""
        self._on_server(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false"))
        self.end_connections()

    def end_connections(self) -> None:
        """End all its connections; new ones are welcome."""
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s", [self.name]
            )

    def bring_up(self) -> None:
        """Take connections again."""
        self._on_server(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true"))

    def drop(self) -> None:
        """Remove it."""
        self._on_server(sql.SQL("DROP DATABASE {} WITH (FORCE)"))

    def _on_server(self, statement: sql.SQL) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(self.name)))


@pytest.fixture
def log(postgres_url: str) -> Iterator[PostgresLogUnderTest]:
    made = PostgresLogUnderTest(postgres_url, f"log_{uuid.uuid4().hex[:12]}")
    yield made
    made.drop()


@pytest.fixture
def database(postgres_url: str) -> Iterator[DatabaseOfItsOwn]:
    made = DatabaseOfItsOwn(postgres_url)
    yield made
    made.drop()


class TestPostgresLog(EventLogConformance):
    """The suite on PostgreSQL."""


def test_prepare_leaves_a_log_as_it_is(log: PostgresLogUnderTest) -> None:
    fill(log, 0, 3)
    with closing(log.scanner()) as before:
        adapters.prepare(PostgresPlace(log.url, log.namespace, PARTITIONS + 5))
        with closing(log.scanner()) as after:
            assert (after.log_id, after.partitions) == (before.log_id, PARTITIONS)
            assert after.watermarks(0) == (0, 3)


def test_a_missing_log_says_how_to_make_one(installation: Installation) -> None:
    with installation.connect() as connection:
        connection.execute("TRUNCATE log_info")
    for namespace in (installation.namespace, "nowhere"):
        with pytest.raises(DependencyUnavailable, match="whence migrate"):
            adapters.open_scanner(PostgresPlace(installation.url, namespace))
        with pytest.raises(DependencyUnavailable, match="whence migrate"):
            asyncio.run(adapters.open_appender(PostgresPlace(installation.url, namespace)))


def test_an_append_under_way_hides_what_comes_after_it(log: PostgresLogUnderTest) -> None:
    """One appender stalls before its commit: the partition shows nothing, and the next append waits for it."""

    async def run() -> list[int]:
        appender = await log.appender()
        with log.connect() as stalled, reading(log, {0: 0}) as consumer:
            with stalled.transaction(force_rollback=True):
                stalled.execute("UPDATE log_partition SET next_offset = next_offset + 1 WHERE partition = 0")
                stalled.execute("INSERT INTO log_record VALUES (0, 0, now(), 'k', 'never committed')")
                waiting = asyncio.create_task(appender.append([record(0, "next")]))
                await asyncio.sleep(0.3)
                assert not waiting.done()
                assert consumer.poll(10, 0.0) == []
            offsets = await waiting
        await appender.close()
        return offsets

    assert asyncio.run(run()) == [0]


def test_a_write_that_does_not_end_is_given_up(log: PostgresLogUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[int]:
        appender = await log.appender()
        with log.connect() as stalled, stalled.transaction(force_rollback=True), monkeypatch.context() as short:
            stalled.execute("UPDATE log_partition SET next_offset = next_offset + 1 WHERE partition = 0")
            short.setattr(postgres_appender, "WRITE_TIMEOUT_SECONDS", 0.3)
            with pytest.raises(OutcomeUnknown, match="no answer in time"):
                await appender.append([record(0, "waits")])
        offsets = await appender.append([record(1, "another partition")])
        await appender.close()
        return offsets

    assert WRITE_TIMEOUT_SECONDS < APPEND_TIMEOUT_SECONDS
    assert asyncio.run(run()) == [0]


def test_a_poll_is_bounded_by_bytes(log: PostgresLogUnderTest) -> None:
    big = b"x" * 100_000
    for _ in range(5):
        append(log, [NewRecord(0, b"k", big)] * 50)
    with reading(log, {0: 0}) as consumer:
        first = consumer.poll(1_000, 10.0)
        assert MAX_POLL_BYTES <= sum(len(r.value) for r in first) < MAX_POLL_BYTES + 2 * len(big)
        rest = read_until(consumer, 250 - len(first))
        assert [r.offset for r in first + rest] == list(range(250))


def test_backlogs_share_a_poll_and_leave_room_for_who_has_little(log: PostgresLogUnderTest) -> None:
    append(log, [record(partition, number) for partition in (0, 1) for number in range(40)] + [record(2, 0)])
    with reading(log, {0: 0, 1: 0, 2: 0}) as consumer:
        found = Counter(one.partition for one in consumer.poll(30, PATIENCE_SECONDS))
        assert found.total() == 30
        assert found[2] == 1
        assert min(found[0], found[1]) >= 10


def test_a_record_larger_than_the_bound_still_comes(log: PostgresLogUnderTest) -> None:
    append(log, [NewRecord(0, b"k", bytes(MAX_POLL_BYTES + 1)), record(0, "small")])
    with reading(log, {0: 0}) as consumer:
        assert [r.offset for r in consumer.poll(10, 10.0)] == [0]
        assert places(consumer.poll(10, 10.0)) == [(0, 1, b"small")]


def test_a_record_that_was_deleted_from_the_middle_is_damage(log: PostgresLogUnderTest) -> None:
    fill(log, 0, 5)
    with log.connect() as connection:
        connection.execute('DELETE FROM log_record WHERE "offset" = 2')
    with reading(log, {0: 0}) as consumer, pytest.raises(LogDamaged, match="offset 2"):
        consumer.poll(10, 0.0)


def test_commits_are_durable_whatever_the_database_says(database: DatabaseOfItsOwn) -> None:
    log = PostgresLogUnderTest(database.url, "fast_and_loose")
    with log.connect() as connection:
        connection.execute(f"ALTER DATABASE {database.name} SET synchronous_commit = off".encode())
        connection.execute("CREATE TABLE commits (kind text)")
        connection.execute(
            "CREATE FUNCTION note_commits() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "INSERT INTO commits VALUES (current_setting('synchronous_commit')); RETURN null; END $$"
        )
        connection.execute(
            "CREATE TRIGGER note AFTER INSERT ON log_record FOR EACH STATEMENT EXECUTE FUNCTION note_commits()"
        )
    append(log, [record(0, "a")])
    with log.connect() as connection:
        assert connection.execute("SELECT kind FROM commits").fetchall() == [("on",)]


def test_an_appender_says_so_while_the_server_is_down_and_recovers_alone(database: DatabaseOfItsOwn) -> None:
    log = PostgresLogUnderTest(database.url, "outage")

    async def run() -> None:
        appender = await log.appender()
        assert await appender.append([record(0, "before")]) == [0]
        await asyncio.to_thread(database.take_down)
        for _ in range(2):
            with pytest.raises(DependencyUnavailable) as down:
                await appender.append([record(0, "during")])
            assert not isinstance(down.value, OutcomeUnknown), "an idle connection's end is seen before it is used"
            with pytest.raises(DependencyUnavailable):
                await appender.check()
        await asyncio.to_thread(database.bring_up)
        assert await appender.append([record(0, "after")]) == [1]
        await appender.close()

    asyncio.run(run())


def test_an_appender_refuses_a_log_that_was_made_anew_under_it(database: DatabaseOfItsOwn) -> None:
    log = PostgresLogUnderTest(database.url, "replaced")

    async def run() -> None:
        appender = await log.appender()
        await asyncio.to_thread(log.replace)
        await asyncio.to_thread(database.end_connections)
        with pytest.raises(DependencyUnavailable, match="anew"):
            await appender.append([record(0, "whose?")])
        await appender.close()

    asyncio.run(run())


def test_a_lost_answer_leaves_the_outcome_unknown(log: PostgresLogUnderTest) -> None:
    async def run(proxy: AnswerCuttingProxy) -> list[int]:
        appender = await adapters.open_appender(PostgresPlace(proxy.url, log.namespace))
        proxy.cut_answers()
        with pytest.raises(OutcomeUnknown):
            await appender.append([record(0, "in the log, as it turns out")])
        proxy.mend()
        offsets = await appender.append([record(0, "next")])
        await appender.close()
        return offsets

    with AnswerCuttingProxy(log.url) as proxy:
        assert asyncio.run(run(proxy)) == [1]
    with reading(log, {0: 0}) as consumer:
        assert places(read_until(consumer, 2))[0] == (0, 0, b"in the log, as it turns out")


def test_an_error_of_the_server_means_that_nothing_was_appended(log: PostgresLogUnderTest) -> None:
    with log.connect() as connection:
        connection.execute("ALTER TABLE log_record ADD CHECK (value <> 'forbidden')")

    async def run() -> list[int]:
        appender = await log.appender()
        with pytest.raises(DependencyUnavailable) as refused:
            await appender.append([record(0, "fine"), record(1, "forbidden")])
        assert not isinstance(refused.value, OutcomeUnknown)
        offsets = await appender.append([record(0, "a"), record(1, "b")])
        await appender.close()
        return offsets

    assert asyncio.run(run()) == [0, 0]


def test_a_consumer_keeps_its_positions_through_an_outage(database: DatabaseOfItsOwn) -> None:
    log = PostgresLogUnderTest(database.url, "outage")
    fill(log, 0, 3)
    with reading(log, {0: 0}) as consumer:
        assert len(consumer.poll(2, 10.0)) == 2
        database.take_down()
        for _ in range(2):
            with pytest.raises(DependencyUnavailable):
                consumer.poll(2, 0.0)
        database.bring_up()
        assert places(consumer.poll(2, 10.0)) == [(0, 2, b"2")]


def test_a_waiting_consumer_finds_records_whose_notice_was_lost(log: PostgresLogUnderTest) -> None:
    with reading(log, {0: 0}) as consumer:
        assert consumer.poll(10, 0.0) == []
        with log.connect() as connection:
            connection.execute("UPDATE log_partition SET next_offset = 1 WHERE partition = 0")
            connection.execute("INSERT INTO log_record VALUES (0, 0, now(), 'k', 'silent')")
        began = time.monotonic()
        assert places(consumer.poll(10, PATIENCE_SECONDS)) == [(0, 0, b"silent")]
        assert time.monotonic() - began < PATIENCE_SECONDS / 2
