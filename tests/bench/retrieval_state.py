"""A large shop made in SQL: what the read statement reads, as full as it can be."""

from datetime import datetime

import psycopg

from whence.domain.decay import log_contribution
from whence.kit.sqlfiles import load_statements

ITEMS = 100_000
USERS = 1_000_000
SIGNALS = 10_000_000
READERS = 200
"""The users that are read: all their lists are full."""

READER_SIGNALS = 200
NEIGHBOURS = 50
TYPES = ("view", "click", "cart", "purchase", "dismiss")

_SQL = load_statements(__file__)


def fill(connection: psycopg.Connection, now: datetime, signals: int = SIGNALS) -> None:
    """Fill an empty installation; users have an equal share of the signals, and the first `READERS` have 200 more."""
    connection.execute("SET statement_timeout = 0")
    connection.cursor().executemany("INSERT INTO event_type (name) VALUES (%s)", [(name,) for name in TYPES])
    connection.execute(_SQL["shop"], {"items": ITEMS, "neighbours": NEIGHBOURS})
    users = USERS * signals // SIGNALS
    connection.execute(_SQL["users"], {"users": users})
    shared = {"items": ITEMS, "now": now, "log_sum": log_contribution(now.timestamp()) - 1}
    rest = {"first_user": READERS + 1, "last_user": users, "each": (signals - READERS * READER_SIGNALS) // users}
    connection.execute(_SQL["signals"], shared | {"first_user": 1, "last_user": READERS, "each": READER_SIGNALS})
    connection.execute(_SQL["signals"], shared | rest)
    connection.execute(_SQL["recents"], {"readers": READERS})
    connection.execute("VACUUM (ANALYZE)")
