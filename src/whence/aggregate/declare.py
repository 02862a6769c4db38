"""What must be so before the first batch: the event types have codes, and the scores belong to this log."""

from collections.abc import Sequence

import psycopg

from whence.domain.errors import LogDamaged
from whence.kit.database import database_errors
from whence.kit.sqlfiles import load_statements

_SQL = load_statements(__file__)


def declare_event_types(connection: psycopg.Connection, names: Sequence[str]) -> dict[str, int]:
    """The codes of the declared event types, made where there are none."""
    with database_errors():
        codes = event_type_codes(connection)
        if missing := [name for name in names if name not in codes]:
            connection.execute(_SQL["add_event_types"], {"names": missing})
            codes = event_type_codes(connection)
    return {name: codes[name] for name in names}


def event_type_codes(connection: psycopg.Connection) -> dict[str, int]:
    """The codes of all event types that were ever declared."""
    return dict(connection.execute(_SQL["event_types"]).fetchall())


def claim_log(connection: psycopg.Connection, log_id: str, partitions: int) -> None:
    """Make sure that the scores are aggregated from this log and no other.

    Raises:
        LogDamaged: If they were aggregated from another log: adding a second one would mix two histories.
    """
    with database_errors():
        connection.execute(_SQL["claim_log"], {"log_id": log_id, "partitions": partitions})
        claimed = connection.execute(_SQL["claimed_log"]).fetchone()
    if claimed != (log_id, partitions):
        raise LogDamaged(
            f"these scores were aggregated from another log (id and partitions {claimed}, not {(log_id, partitions)}): "
            "let WHENCE_LOG_URL point at that one, or choose a new WHENCE_NAMESPACE and start from this one"
        )
