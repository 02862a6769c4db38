"""Scores to make anew, and how to look at all of them."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from integration.aggregate.support import Running, Shop, event, record
from whence.aggregate.compactor import Compactor
from whence.aggregate.rebuild.story import Rebuild, Rebuilt, Wish
from whence.eventlog.adapters import open_scanner
from whence.eventlog.port import NewRecord

NOW = datetime(2024, 3, 4, 12, 30, tzinfo=UTC)

EXACT = {
    "signal": "SELECT user_id, item_id, event_type, count, last_at, round(log_sum::numeric, 9) FROM signal "
    "ORDER BY 1, 2, 3",
    "user_recent": "SELECT user_id, packed FROM user_recent ORDER BY 1",
    "pair_count": "SELECT source_id, epoch, destination_ids, units, bought_units FROM pair_count ORDER BY 1, 2",
    "trend_bucket": "SELECT level, start_at, item_id, count FROM trend_bucket ORDER BY 1, 2, 3",
    "trend_list": "SELECT horizon, rank, item_id, round(value::numeric, 12) FROM trend_list ORDER BY 1, 2",
    "item_neighbours": "SELECT source_id, destination_ids, probabilities, bought FROM item_neighbours ORDER BY 1",
    "books": "SELECT partition, log_id, base_offset, next_offset, applied, duplicate, dead, absent, last_appended_at, "
    "last_event_at FROM partition_position ORDER BY 1",
    "dead_letter": 'SELECT * FROM dead_letter ORDER BY partition, "offset"',
    "user_ref": "SELECT id, external_id FROM user_ref ORDER BY 1",
}


class Clock:
    def now(self) -> datetime:
        return NOW


def rebuilt(
    shop: Shop,
    *,
    swap: bool = True,
    without_beginning: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Rebuilt:
    with closing(open_scanner(shop.installation.log)) as scanner:
        place = (shop.installation.url, shop.installation.namespace)
        return Rebuild(*place, scanner, Clock(), progress).run(Wish(swap, without_beginning))


def state(shop: Shop) -> dict[str, list[tuple[Any, ...]]]:
    return {name: shop.rows(query) for name, query in EXACT.items()}


def lively(shop: Shop, aggregator: Running) -> None:
    """Twenty users with repeats, dead letters, backfills, dismissals, and one who touches more than 64 items."""
    events = [event(f"u{n % 20}", f"i{n % 13}", str(n), "purchase" if n % 3 else "view") for n in range(400)]
    many = [event("u1", f"x{n % 90}", f"m{n}", "purchase" if n % 7 else "view") for n in range(200)]
    others = [event("u2", "i1", "d", "dismiss"), event("u3", "i1", "b", backfill="h"), event("u3", "i1", "b")]
    good = record(event("u4", "i1", "z"))
    shop.append(*events[:200])
    aggregator.drain(shop)
    shop.append(*events[200:], *many[:70], *others, *events[:30])
    aggregator.drain(shop)
    shop.append(*many[70:])
    shop.append_records([NewRecord(good.partition, good.key, b"broken"), good])
    aggregator.drain(shop)


def compacted(shop: Shop, aggregator: Running) -> None:
    with closing(Compactor(shop.installation.connect, aggregator.metrics, Clock())) as compactor:
        compactor.turn()
