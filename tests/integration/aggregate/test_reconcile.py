"""The tables against the log: no difference after honest work, every kind of damage found."""

from collections.abc import Callable
from contextlib import closing

import pytest

from integration.aggregate.support import Running, Shop, event, record, settle_hours
from whence.aggregate import reconcile
from whence.aggregate.reconcile import Findings, Reconciliation, reconciliation
from whence.domain.errors import LogDamaged
from whence.eventlog.adapters import open_scanner
from whence.eventlog.port import NewRecord


def reconciled(shop: Shop, ask: Callable[[Reconciliation], None] = Reconciliation.everything) -> Findings:
    with (
        closing(open_scanner(shop.installation.log)) as scanner,
        shop.installation.connect() as connection,
        reconciliation(connection, scanner) as comparison,
    ):
        ask(comparison)
        return comparison.findings


def lively(shop: Shop, aggregator: Running) -> None:
    """Ten users with repeats, dead letters, a backfill, a dismissal and more than 64 items of one of them."""
    events = [event(f"u{n % 10}", f"i{n % 7}", str(n), "purchase" if n % 3 else "view") for n in range(300)]
    many = [event("u1", f"x{n}", f"m{n}", occurred_at=f"2024-03-04T10:{n % 60:02}:00Z") for n in range(80)]
    others = [event("u2", "i1", "d", "dismiss"), event("u3", "i1", "b", backfill="h"), event("u3", "i1", "b")]
    shop.append(*events, *many, *others, *events[:30])
    good = record(event("u4", "i1", "z"))
    shop.append_records([NewRecord(good.partition, good.key, b"broken"), good])
    aggregator.drain(shop)


def test_no_difference_after_honest_work(shop: Shop, aggregator: Running) -> None:
    lively(shop, aggregator)
    findings = reconciled(shop)
    assert findings.differences == []
    assert (findings.records, findings.users) == (415, 10)
    assert findings.signals == shop.value("SELECT count(*) FROM signal")


def test_records_that_are_not_applied_yet_are_no_difference(shop: Shop, aggregator: Running) -> None:
    lively(shop, aggregator)
    shop.append(event("u1", "new", "later"))
    assert reconciled(shop).differences == []


def test_several_passes_over_a_partition_find_the_same(
    shop: Shop, aggregator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    lively(shop, aggregator)
    monkeypatch.setattr(reconcile, "EVENTS_PER_PASS_MAX", 10)
    findings = reconciled(shop)
    assert (findings.differences, findings.users, findings.records) == ([], 10, 415)


@pytest.mark.parametrize(
    ("damage", "kind", "field"),
    [
        (
            "UPDATE signal SET count = count + 1 WHERE {u1} AND item_id = (SELECT min(item_id) FROM signal)",
            "signal",
            "count",
        ),
        ("UPDATE signal SET log_sum = log_sum + 1e-8 WHERE {u1} AND event_type = 1", "signal", "log_sum"),
        ("UPDATE signal SET last_at = last_at + interval '1 microsecond' WHERE {u1}", "signal", "last_at"),
        ("DELETE FROM signal WHERE {u1} AND event_type = 1", "signal", "count"),
        ("INSERT INTO signal SELECT user_id, 1, 5, 1, 0, now() FROM signal WHERE {u1} LIMIT 1", "signal", "count"),
        ("UPDATE user_recent SET packed = substr(packed, 25) WHERE {u1}", "recent", "items"),
        ("DELETE FROM user_recent WHERE {u1}", "recent", "items"),
        ("UPDATE partition_position SET applied = applied + 1, dead = dead - 1 WHERE dead > 0", "books", "dead"),
        ("UPDATE partition_position SET last_event_at = now()", "books", "last_event_at"),
        ("DELETE FROM dead_letter", "record", "verdict"),
        (
            "WITH stranger AS (INSERT INTO user_ref (external_id) VALUES ('stranger') RETURNING id) "
            "INSERT INTO signal SELECT id, 1, 1, 1, 0, now() FROM stranger",
            "user",
            "rows",
        ),
    ],
)
def test_every_kind_of_damage_is_found(shop: Shop, aggregator: Running, damage: str, kind: str, field: str) -> None:
    lively(shop, aggregator)
    u1 = "user_id = (SELECT id FROM user_ref WHERE external_id = 'u1')"
    shop.connection.execute(damage.format(u1=u1).encode())
    findings = reconciled(shop)
    assert findings.difference_count > 0
    assert {(one.kind, one.field) for one in findings.differences} >= {(kind, field)}


def test_some_users_alone_or_at_random(shop: Shop, aggregator: Running) -> None:
    lively(shop, aggregator)
    shop.connection.execute(
        "UPDATE signal SET count = 99 WHERE user_id = (SELECT id FROM user_ref WHERE external_id = 'u5')"
    )
    assert reconciled(shop, lambda comparison: comparison.users(["u1", "u2", "nobody"])).differences == []
    found = reconciled(shop, lambda comparison: comparison.users(["u5"]))
    assert {one.found for one in found.differences} == {99}
    assert found.users == 1
    assert reconciled(shop, lambda comparison: comparison.sample(100)).difference_count == len(found.differences)


def test_repeats_across_hours_are_judged_by_the_same_rule(shop: Shop, aggregator: Running) -> None:
    repeats = [event("u1", "a", "same"), *(event("u1", "b", f"{n}") for n in range(4)), event("u1", "a", "same")]
    shop.append(*repeats, event("u1", "c", "old", backfill="h"), event("u1", "c", "old", backfill="h"))
    settle_hours(shop, "u1", [0, 0, 30, 10, 31, 24, 25, 300])
    aggregator.drain(shop)
    assert shop.books() == (7, 1, 0, 0)
    assert reconciled(shop).differences == []


def test_another_log_and_a_trimmed_one_are_refused(shop: Shop, aggregator: Running) -> None:
    lively(shop, aggregator)
    shop.connection.execute('DELETE FROM log_record WHERE "offset" < 2')
    with pytest.raises(LogDamaged, match="the log begins at 2"):
        reconciled(shop)
    shop.connection.execute("UPDATE log_info SET log_id = '00000000'")
    with pytest.raises(LogDamaged, match="this is 00000000"):
        reconciled(shop)
