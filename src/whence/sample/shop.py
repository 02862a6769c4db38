"""The sample shop: a real shop's catalogue and purchases, moved in time so that they look recent.

The files beside this module are a cut of "Online Retail" (Chen, Sain, Guo 2012, CC BY 4.0; see ATTRIBUTION.md), made
by `scripts/cut_sample_shop.py`.
"""

import csv
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files

BACKFILL = "sample-shop"
"""The name under which the purchases are imported; with the event ids it makes a second import change nothing."""

ATTRIBUTION = 'a cut of "Online Retail" (Chen, Sain, Guo 2012; CC BY 4.0)'

WEEK = timedelta(weeks=1)


@dataclass(frozen=True, slots=True)
class Purchase:
    """What one customer bought of one item on one invoice, when the shop was real.

    Attributes:
        event_id: The invoice and the item: the same purchase has the same id in every run.
        user_id: The customer, as `customer-<number of the source>`.
        item_id: The shop's code of the item.
        at: The time on the invoice (2011), taken as UTC; whole minutes.
        quantity: Pieces, over all lines of that item on the invoice.
        value: Pounds sterling, over the same lines.
    """

    event_id: str
    user_id: str
    item_id: str
    at: datetime
    quantity: int
    value: float


def items() -> list[dict[str, object]]:
    """The catalogue, by item id, with the field names of the API: item_id, title, categories."""
    return [json.loads(line) for line in _read("items.jsonl").decode().splitlines()]


def purchases() -> list[Purchase]:
    """All purchases in the order of their time."""
    rows = csv.DictReader(gzip.decompress(_read("purchases.csv.gz")).decode().splitlines())
    return [
        Purchase(
            event_id=f"{row['invoice']}:{row['item_id']}",
            user_id=f"customer-{row['customer']}",
            item_id=row["item_id"],
            at=datetime.fromisoformat(row["time"]).replace(tzinfo=UTC),
            quantity=int(row["quantity"]),
            value=float(row["value"]),
        )
        for row in rows
    ]


def weeks_to_recent(last: datetime, now: datetime) -> int:
    """Whole weeks to add to *last* so that it lies in the seven days up to *now*, and never after it."""
    return (now - last) // WEEK


def events(found: Iterable[Purchase], weeks: int) -> list[dict[str, object]]:
    """Purchases as events of the API, every one later by the same whole number of weeks: days of the week stay."""
    return [
        {
            "event_id": purchase.event_id,
            "event_type": "purchase",
            "user_id": purchase.user_id,
            "item_id": purchase.item_id,
            "occurred_at": f"{(purchase.at + weeks * WEEK).isoformat(timespec='seconds')[:19]}Z",
            "quantity": purchase.quantity,
            "value": purchase.value,
        }
        for purchase in found
    ]


def _read(name: str) -> bytes:
    return files("whence.sample").joinpath(name).read_bytes()
