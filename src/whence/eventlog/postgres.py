"""The event log on PostgreSQL: append-only tables, for one machine or one database server.

Why readers never see a hole: an appender takes offsets by updating the partition's row and holds that row's lock until
its commit is visible, so the next appender of the partition can commit only afterwards. Records of a partition become
visible in offset order, and a snapshot that sees an offset sees all below it.

`postgres_appender.py` is the writing side, `postgres_readers.py` the reading sides; this module is what they share.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg

from whence.domain.errors import DependencyUnavailable
from whence.kit.database import conninfo, database_errors
from whence.kit.sqlfiles import load_statements

DEPENDENCY = "postgresql"

STATEMENTS = load_statements(__file__)
"""The statements of `postgres.sql`."""


class LogInfo(NamedTuple):
    """Which log this is."""

    log_id: str
    partitions: int


def prepare(url: str, namespace: str, partitions: int) -> None:
    """Give a migrated installation its log: a random id and its partitions. Does nothing where there is a log.

    Raises:
        DependencyUnavailable: If the server cannot be reached.
    """
    with database_errors(), psycopg.connect(conninfo(url, namespace, "migrate")) as connection:
        connection.execute(STATEMENTS["make_log"], {"log_id": secrets.token_hex(4), "partitions": partitions})
        connection.execute(STATEMENTS["make_partitions"])


@contextmanager
def log_errors(namespace: str) -> Iterator[None]:
    """Turn the driver's errors into our families; a missing log is one that `whence migrate` mends."""
    with database_errors():
        try:
            yield
        except psycopg.errors.UndefinedTable as error:
            raise _no_log(namespace) from error


def log_info(row: tuple[str, int] | None, namespace: str) -> LogInfo:
    """Which log the row of `log_info` names.

    Raises:
        DependencyUnavailable: If there is no row: the log has not been made.
    """
    if row is None:
        raise _no_log(namespace)
    return LogInfo(*row)


def channel(namespace: str) -> str:
    """The notification channel on which appenders wake the consumers of an installation."""
    return f"{namespace}_log"


def _no_log(namespace: str) -> DependencyUnavailable:
    return DependencyUnavailable(DEPENDENCY, f"there is no event log in the schema {namespace}: run `whence migrate`")
