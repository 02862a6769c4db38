"""The scores made anew from the log: equal where nothing was wrong, mended where something was."""

import random
from contextlib import closing
from typing import Any

import psycopg
import pytest

from conftest import Installation
from integration.aggregate.rebuilding import NOW, compacted, lively, rebuilt, state
from integration.aggregate.support import EVENT_TYPES, Running, Shop, event, running
from whence.aggregate.rebuild.shadow import REBUILT
from whence.domain.errors import InvalidInput, LogDamaged
from whence.embedded.kafka.cluster import KafkaCluster
from whence.recommend.read import Ask, read_now


def test_a_rebuild_of_honest_scores_finds_nothing_and_changes_nothing(shop: Shop, aggregator: Running) -> None:
    lively(shop, aggregator)
    compacted(shop, aggregator)
    before = state(shop)
    assert all(before.values())
    done = rebuilt(shop)
    assert [(table.table, table.rows, table.examples) for table in done.tables if table.rows] == []
    assert done.swapped
    assert done.records == sum(done.next_offsets.values()) == sum(shop.books())
    assert state(shop) == before
    schemas = shop.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE %s", f"{shop.installation.namespace}%")
    assert schemas == [(shop.installation.namespace,)]


def structure(shop: Shop) -> dict[str, list[tuple[Any, ...]]]:
    """How the tables are made, as far as PostgreSQL knows it by name."""
    own = (
        "FROM pg_class AS held JOIN pg_namespace AS schema ON schema.oid = held.relnamespace "
        "WHERE nspname = current_schema() AND relkind IN ('r', 'i', 'v', 'p')"
    )
    return {
        "relations": shop.rows(f"SELECT relname, relkind, reloptions, relowner {own} ORDER BY 1"),
        "columns": shop.rows(
            "SELECT held.relname, attname, atttypid, attnotnull, attstorage, attnum FROM pg_attribute "
            f"JOIN (SELECT held.oid, relname {own}) AS held ON held.oid = attrelid WHERE attnum > 0 ORDER BY 1, attnum"
        ),
        "indexes": shop.rows(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1"
        ),
        "constraints": shop.rows(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE connamespace = current_schema()::regnamespace ORDER BY 1, 2"
        ),
        "views": shop.rows("SELECT viewname, definition FROM pg_views WHERE schemaname = current_schema() ORDER BY 1"),
        "functions": shop.rows(
            "SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace ORDER BY 1"
        ),
        "rights": shop.rows(
            "SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants "
            "WHERE table_schema = current_schema() ORDER BY 1, 2, 3"
        ),
    }


def test_tables_views_and_rights_are_as_before(shop: Shop, aggregator: Running) -> None:
    lively(shop, aggregator)
    shop.connection.execute("CREATE VIEW mine AS SELECT user_id, sum(count) AS events FROM signal GROUP BY user_id")
    shop.connection.execute("GRANT SELECT ON signal, mine, pair TO pg_monitor")
    shop.connection.execute("GRANT UPDATE ON user_recent TO PUBLIC")
    before = structure(shop)
    assert ("mine", "pg_monitor", "SELECT") in before["rights"]
    rebuilt(shop)
    assert structure(shop) == before
    views = (
        "SELECT (SELECT sum(events) FROM mine), (SELECT count(*) FROM pair), (SELECT count(*) FROM user_recent_item)"
    )
    tables = (
        "SELECT (SELECT sum(count) FROM signal), (SELECT sum(cardinality(units)) FROM pair_count), "
        "(SELECT sum(length(packed)) / 25 FROM user_recent)"
    )
    assert shop.rows(views) == shop.rows(tables)


KEPT = {
    *("user_ref", "item_ref", "event_type", "aggregated_log", "partition_lease", "consumer_member", "dead_letter"),
    *("item_refined", "refined_fit", "catalogue_item", "served_list", "schema_migration", "recipe"),
    *("log_info", "log_partition", "log_record"),
}
"""What a rebuild leaves alone: it does not follow from the log, or is made anew by itself."""


def test_of_every_table_it_is_decided_whether_it_follows_from_the_log(shop: Shop) -> None:
    tables = shop.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    assert {name for (name,) in tables} == KEPT | set(REBUILT)


DAMAGES = {
    "signal": ("UPDATE signal SET count = count + 1 WHERE ctid = (SELECT min(ctid) FROM signal)", 1),
    "user_recent": ("DELETE FROM user_recent WHERE user_id IN (SELECT user_id FROM user_recent LIMIT 2)", 2),
    "pair_count": ("UPDATE pair_count SET units[1] = units[1] + 1 WHERE ctid = (SELECT min(ctid) FROM pair_count)", 1),
    "trend_bucket": ("INSERT INTO trend_bucket VALUES (2, '2024-03-01T00:00Z', 99, 1)", 1),
    "partition_position": ("UPDATE partition_position SET applied = applied + 1, dead = dead - 1 WHERE dead > 0", 1),
    "batch_segment": (
        "UPDATE batch_segment SET event_hashes = substr(event_hashes, 9) WHERE (partition, first_offset) IN "
        "(SELECT partition, first_offset FROM batch_segment WHERE length(event_hashes) > 0 LIMIT 1)",
        1,
    ),
}


def test_every_kind_of_damage_is_found_and_mended(shop: Shop, aggregator: Running) -> None:
    lively(shop, aggregator)
    compacted(shop, aggregator)
    before = state(shop)
    for damage, _ in DAMAGES.values():
        shop.connection.execute(damage.encode())
    shop.connection.execute("UPDATE signal SET log_sum = log_sum + 1e-6 WHERE ctid = (SELECT max(ctid) FROM signal)")
    damaged = state(shop)
    expected = {table: rows for table, (_, rows) in DAMAGES.items()} | {"signal": 2}
    looked = rebuilt(shop, swap=False)
    assert {table.table: table.rows for table in looked.tables} == expected
    assert not looked.swapped
    assert state(shop) == damaged
    done = rebuilt(shop)
    assert {table.table: table.rows for table in done.tables} == expected
    (serving, made), *_ = next(table.examples for table in done.tables if table.table == "trend_bucket")
    assert made is None
    assert serving is not None
    assert serving["item_id"] == 99
    assert state(shop) == before


def test_repeats_are_recognised_and_positions_go_on_afterwards(shop: Shop, aggregator: Running) -> None:
    lively(shop, aggregator)
    before = shop.counts()
    rebuilt(shop)
    shop.append(*(event(f"u{n % 20}", f"i{n % 13}", str(n), "purchase" if n % 3 else "view") for n in range(400)))
    shop.append(event("u3", "i1", "b", backfill="h"), event("u3", "new", "fresh"))
    aggregator.drain(shop)
    assert aggregator.metric("whence_aggregate_fenced_total") == 1
    before["u3", "new", "view"] = 1
    assert shop.counts() == before


def test_verdicts_stay_whatever_the_rules_say_by_now(shop: Shop, aggregator: Running) -> None:
    shop.append(event("u1", "a", "1", "wink"), event("u1", "a", "2"))
    aggregator.drain(shop)
    shop.connection.execute("INSERT INTO event_type (name) VALUES ('wink')")
    letters = shop.rows("SELECT * FROM dead_letter")
    done = rebuilt(shop)
    assert done.difference_count == 0
    assert shop.books() == (1, 0, 1, 0)
    assert shop.rows("SELECT * FROM dead_letter") == letters


def test_a_record_that_was_applied_cannot_die(shop: Shop, aggregator: Running) -> None:
    lively(shop, aggregator)
    before = state(shop)["signal"]
    shop.connection.execute("DELETE FROM dead_letter")
    with pytest.raises(LogDamaged, match="was applied and has no verdict"):
        rebuilt(shop)
    assert state(shop)["signal"] == before


def test_a_trimmed_log_is_refused_with_the_time_it_speaks_from_unless_told_otherwise(
    shop: Shop, aggregator: Running
) -> None:
    lively(shop, aggregator)
    before = state(shop)
    shop.connection.execute("UPDATE log_record SET appended_at = '2024-03-04T12:34:56Z'")
    shop.connection.execute('DELETE FROM log_record WHERE "offset" < 2')
    with pytest.raises(LogDamaged, match=r"the log begins at 2 \(appended 2024-03-04T12:34:56Z\).*--without-beginning"):
        rebuilt(shop)
    assert state(shop) == before
    done = rebuilt(shop, without_beginning=True)
    assert done.swapped
    assert len(done.gone) > 1
    assert shop.value("SELECT max(base_offset) FROM partition_position") == 2
    assert sum(shop.books()) == done.records < sum(done.next_offsets.values())
    shop.append(event("u3", "new", "fresh"))
    aggregator.turn(3)
    assert shop.counts()["u3", "new", "view"] == 1


def test_another_log_an_older_version_and_dependents_are_refused(shop: Shop, aggregator: Running) -> None:
    shop.append(event("u1", "a", "1"))
    aggregator.drain(shop)
    shop.connection.execute("CREATE MATERIALIZED VIEW taken AS SELECT * FROM signal")
    with pytest.raises(InvalidInput, match="taken"):
        rebuilt(shop)
    shop.connection.execute("DROP MATERIALIZED VIEW taken")
    shop.connection.execute("INSERT INTO schema_migration (set_name, version, name) VALUES ('scores', 9000, 'later')")
    with pytest.raises(InvalidInput, match="tables are of version 9000"):
        rebuilt(shop)
    shop.connection.execute("DELETE FROM schema_migration WHERE version = 9000")
    shop.connection.execute("UPDATE schema_migration SET version = version + 1000 WHERE set_name = 'scores'")
    with pytest.raises(InvalidInput, match="whence migrate"):
        rebuilt(shop)
    shop.connection.execute("UPDATE schema_migration SET version = version - 1000 WHERE set_name = 'scores'")
    shop.connection.execute("UPDATE log_info SET log_id = '00000000'")
    with pytest.raises(LogDamaged, match="this is 00000000"):
        rebuilt(shop)


def test_an_installation_without_events_has_nothing_to_rebuild(shop: Shop, aggregator: Running) -> None:
    assert not rebuilt(shop).swapped
    aggregator.turn()
    done = rebuilt(shop)
    assert (done.swapped, done.records, done.difference_count) == (True, 0, 0)


def test_lists_are_the_same_before_and_after_over_a_connection_that_stays(
    shop: Shop, installation: Installation, aggregator: Running
) -> None:
    rng = random.Random(1)
    shop.append(
        *(
            event(f"u{rng.randrange(1_000)}", f"i{rng.randrange(200)}", str(n), rng.choice(EVENT_TYPES))
            for n in range(12_000)
        )
    )
    aggregator.drain(shop)
    rebuilt(shop)
    with installation.connect() as reader:
        for setting in ("plan_cache_mode = force_generic_plan", "enable_seqscan = off"):
            reader.execute(f"SET {setting}".encode())
        before = top_20s(reader)
        assert sum(len(found) for found in before.values()) > 15_000
        shop.connection.execute("UPDATE signal SET count = count + 7")
        rebuilt(shop)
        assert top_20s(reader) == before


def top_20s(connection: psycopg.Connection) -> dict[str, list[tuple[str, float]]]:
    found = {}
    for number in range(1_000):
        ask = Ask([f"u{number}"], [0], dict.fromkeys(EVENT_TYPES, 1.0), NOW, size=20)
        found[f"u{number}"] = [(one.item_id, round(one.score, 9)) for one in read_now(connection, ask).found]
    return found


def test_on_kafka(installation: Installation, kafka: KafkaCluster) -> None:
    place = installation.on_kafka(kafka)
    with closing(Shop(place)) as shop, running(place) as aggregator:
        lively(shop, aggregator)
        compacted(shop, aggregator)
        before = state(shop)
        shop.connection.execute("UPDATE signal SET count = count + 1")
        done = rebuilt(shop)
        assert [table.table for table in done.tables if table.rows] == ["signal"]
        assert state(shop) == before
        shop.append(event("u3", "new", "fresh"))
        aggregator.drain(shop)
        assert shop.counts()["u3", "new", "view"] == 1
