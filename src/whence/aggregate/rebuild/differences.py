"""What differs between the tables that serve and those made anew, table by table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from whence.aggregate.compare import LOG_SUM_TOLERANCE
from whence.aggregate.pair_fold import first_epoch_kept
from whence.aggregate.rebuild.shadow import shadow_of
from whence.aggregate.trend import LEVELS
from whence.domain.events import DEDUPE_WINDOW_HOURS
from whence.kit.database import schema
from whence.kit.sqlfiles import load_statements

EXAMPLES_MAX = 5
"""Rows of a table that are shown; all are counted."""

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class TableDifferences:
    """The rows of one table that differ.

    Attributes:
        table: Its name.
        rows: How many there are.
        examples: The first of them, each (as it serves, as it was made anew); None where there is no row.
    """

    table: str
    rows: int
    examples: Sequence[tuple[dict[str, Any] | None, dict[str, Any] | None]] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        examples = [{"serving": serving, "rebuilt": rebuilt} for serving, rebuilt in self.examples]
        return {"rows": self.rows, "examples": examples}


def differences(connection: psycopg.Connection, namespace: str, as_of: datetime) -> list[TableDifferences]:
    """Compare everything that both sides must agree on once they stand at the same offsets and are folded.

    Counts, times, recent items, books and hashes exactly, sums to `LOG_SUM_TOLERANCE`. Lists of neighbours and trends
    follow from the counts and are not compared: those that serve are as old as their last change.

    Args:
        connection: That fences both sides.
        namespace: The installation.
        as_of: Buckets and pairs that are too old to count at this time are left out.
    """
    parameters = {
        "tolerance": LOG_SUM_TOLERANCE,
        "first_epoch": first_epoch_kept(as_of),
        "levels": [level.code for level in LEVELS],
        "kept_from": [level.kept_from(as_of) for level in LEVELS],
        "window_hours": DEDUPE_WINDOW_HOURS,
    }
    return [_of_table(connection, namespace, table, parameters) for table in _SQL.names()]


def _of_table(
    connection: psycopg.Connection, namespace: str, table: str, parameters: dict[str, object]
) -> TableDifferences:
    differing = _SQL[table].format(serving=schema(namespace), shadow=schema(shadow_of(namespace)))
    count = sql.SQL("SELECT count(*) FROM ({}) AS differing").format(differing)
    row = connection.execute(count, parameters).fetchone()
    rows = int(row[0]) if row else 0
    if not rows:
        return TableDifferences(table, 0)
    some = sql.SQL("SELECT serving, rebuilt FROM ({}) AS differing LIMIT {}").format(differing, EXAMPLES_MAX)
    return TableDifferences(table, rows, connection.execute(some, parameters).fetchall())
