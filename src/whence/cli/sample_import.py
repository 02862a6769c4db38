"""Bringing the sample shop in through the real path: the catalogue, then the purchases as a backfill."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from whence.cli.client import ServiceClient
from whence.domain.errors import DependencyUnavailable
from whence.domain.identity import event_hash
from whence.domain.tokens import FreshnessToken, parse_token
from whence.sample import shop

if TYPE_CHECKING:
    import psycopg

    from whence.kit.sqlfiles import Statements

ITEMS_PER_REQUEST = 100
"""Items of one catalogue request."""

APPLY_SECONDS = 600.0
"""Wait for what has been sent to be applied: minutes on the slowest machine, then something is wrong."""

FOLD_SECONDS = 60.0
"""Wait for the lists that all users share: they may be a minute behind, and the story goes on without them."""

POLL_SECONDS = 0.05
"""Pause between two looks at the positions."""

LANES = 4
"""Requests under way at once: ingest and the log work on one while another is on its way."""


@dataclass(frozen=True, slots=True)
class History:
    """What was done with the purchases.

    Attributes:
        purchases, customers: How many there are in the sample shop.
        sent: How many were sent now; the rest was there already.
        weeks: All times were moved by so many weeks.
        last_at: When the last purchase was, after that.
        seconds: From the first event sent to the last one applied.
        lists_seconds: How much later the lists that all users share had them too; None if they were late.
    """

    purchases: int
    customers: int
    sent: int
    weeks: int
    last_at: datetime
    seconds: float
    lists_seconds: float | None

    @property
    def events_per_second(self) -> float:
        """The rate through the whole path; 0 if nothing was sent."""
        return self.sent / self.seconds if self.sent else 0.0


def put_catalogue(recommend: ServiceClient) -> int:
    """Put all items; how many there are."""
    items = shop.items()
    for start in range(0, len(items), ITEMS_PER_REQUEST):
        recommend.post("/v1/items/batch", {"items": items[start : start + ITEMS_PER_REQUEST]})
    return len(items)


def bring_history(database: "psycopg.Connection", ingest: Callable[[], ServiceClient], now: datetime) -> History:
    """Send the purchases that have not been applied yet, and wait until they count everywhere."""
    from whence.kit.sqlfiles import load_statements

    statements = load_statements(__file__)
    purchases = shop.purchases()
    weeks = shop.weeks_to_recent(purchases[-1].at, now)
    missing = not_applied(database, statements, purchases)
    start = time.perf_counter()
    token = _send(ingest, shop.events(missing, weeks))
    if not _wait(database, statements, token, "not_applied", APPLY_SECONDS):
        raise DependencyUnavailable("aggregate", f"the events are not applied after {APPLY_SECONDS:g} s; see its log")
    applied_at = time.perf_counter()
    folded = _wait(database, statements, token, "not_folded", FOLD_SECONDS)
    return History(
        purchases=len(purchases),
        customers=len({purchase.user_id for purchase in purchases}),
        sent=len(missing),
        weeks=weeks,
        last_at=purchases[-1].at + weeks * shop.WEEK,
        seconds=applied_at - start,
        lists_seconds=time.perf_counter() - applied_at if folded else None,
    )


def not_applied(
    database: "psycopg.Connection", statements: "Statements", purchases: Sequence[shop.Purchase]
) -> list[shop.Purchase]:
    """The purchases that no batch has applied; the services would drop the others as duplicates, only slower."""
    import numpy as np

    rows = database.execute(statements["applied_backfill"]).fetchall()
    applied = np.frombuffer(b"".join(hashes for (hashes,) in rows), dtype="<i8")
    ours = np.array([event_hash(purchase.user_id, purchase.event_id) for purchase in purchases], dtype=np.int64)
    known = np.isin(ours, applied)
    return [purchase for purchase, is_known in zip(purchases, known, strict=True) if not is_known]


def _send(ingest: Callable[[], ServiceClient], events: Iterable[dict[str, object]]) -> FreshnessToken | None:
    """Send events as `whence import events` does; the place in the log after the last of them, if there was one.

    Raises:
        InvalidInput: If ingest refuses one: the sample shop and the settings do not go together.
    """
    from whence.cli.bulk.delivery import Delivery, Tally
    from whence.cli.bulk.entries import BadRow, EventEntries
    from whence.cli.bulk.readers import Row
    from whence.cli.bulk.targets import EventsToIngest
    from whence.domain.errors import InvalidInput

    entries, tally = EventEntries(shop.BACKFILL), Tally()
    with Delivery(LANES, lambda: EventsToIngest(ingest(), shop.BACKFILL), tally) as delivery:
        for number, event in enumerate(events, start=1):
            entry = entries.entry(Row(number, event))
            if isinstance(entry, BadRow):
                raise InvalidInput(list(entry.problems))
            delivery.put(entry)
    if tally.bad_rows:
        raise InvalidInput(list(tally.bad_rows[0].problems))
    token = tally.token()
    return parse_token(token) if token else None


def _wait(
    database: "psycopg.Connection",
    statements: "Statements",
    token: FreshnessToken | None,
    what: Literal["not_applied", "not_folded"],
    seconds: float,
) -> bool:
    """Wait until no record below the token is *what* any more; whether that came in time."""
    from psycopg.rows import dict_row

    deadline = time.perf_counter() + seconds
    while token is not None:
        offsets = {"partitions": list(token.offsets), "next_offsets": list(token.offsets.values())}
        row = database.cursor(row_factory=dict_row).execute(statements["behind"], offsets).fetchone()
        if row is not None and row[what] == 0:
            break
        if time.perf_counter() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
