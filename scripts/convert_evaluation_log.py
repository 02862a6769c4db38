"""Turn the public logs that quality is measured on into event files for `whence evaluate`.

    D=../shared/data
    python scripts/convert_evaluation_log.py retail $D/online_retail_until_2011-10-31.parquet retail.parquet
    python scripts/convert_evaluation_log.py retailrocket $D/retailrocket_until_2015-08-24.parquet rr.parquet
    python scripts/convert_evaluation_log.py diginetica $D/diginetica_train_sessions.parquet diginetica.parquet

Preparation as docs/quality.md says. Online Retail: one invoice is one basket at one time (column `basket`).
Diginetica has no times: clicks are a second apart, the sessions of the first 93 % begin at one moment and the others at
another, an hour later.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as arrow
from pyarrow import parquet

Row = dict[str, Any]
TYPES = ("view", "cart", "purchase")
EARLIER, LATER, EARLIER_PERCENT = 1_451_606_400, 1_451_610_000, 93
"""2016-01-01, an hour later, and how many of Diginetica's sessions are before that hour."""


def main() -> None:
    """Convert one log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", choices=tuple(LOGS))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    columns = parquet.read_table(arguments.source).to_pydict()
    rows = list(LOGS[arguments.log](columns))
    parquet.write_table(arrow.Table.from_pylist(rows), arguments.target)
    print(f"{len(rows)} events in {arguments.target}")


def retail(columns: dict[str, list[Any]]) -> Iterator[Row]:
    """Purchases of known customers, one for each invoice and item, at the invoice's first time."""
    names = ("invoice", "item_code", "qty", "ts", "price", "user")
    first: dict[str, int] = {}
    lines: set[tuple[str, str, str]] = set()
    for invoice, code, quantity, ts, price, user in zip(*(columns[name] for name in names), strict=True):
        if user is not None and quantity > 0 and price > 0 and re.match(r"\d{5}", str(code)):
            first[str(invoice)] = min(first.get(str(invoice), ts), ts)
            lines.add((str(invoice), str(code), str(user)))
    for ts, invoice, code, user in sorted((first[line[0]], *line) for line in lines):
        yield {"event_type": "purchase", "user_id": user, "item_id": code, "occurred_at": at(ts), "basket": invoice}


def retailrocket(columns: dict[str, list[Any]]) -> Iterator[Row]:
    """Views, carts and purchases in the order of time, user, type and item."""
    for ts, user, kind, item in sorted(zip(*(columns[name] for name in ("ts", "user", "etype", "item")), strict=True)):
        yield {"event_type": TYPES[kind], "user_id": str(user), "item_id": str(item), "occurred_at": at(ts)}


def diginetica(columns: dict[str, list[Any]]) -> Iterator[Row]:
    """Clicks of sessions."""
    sessions = columns["seq"]
    earlier = len(sessions) * EARLIER_PERCENT // 100
    for number, items in enumerate(sessions):
        for place, item in enumerate(items):
            ts = (EARLIER if number < earlier else LATER) + place
            yield {"event_type": "click", "session_id": f"s{number}", "item_id": str(item), "occurred_at": at(ts)}


LOGS = {"retail": retail, "retailrocket": retailrocket, "diginetica": diginetica}


def at(ts: float) -> str:
    """Seconds since the epoch as RFC 3339."""
    return datetime.fromtimestamp(ts, UTC).isoformat().replace("+00:00", "Z")


if __name__ == "__main__":
    main()
