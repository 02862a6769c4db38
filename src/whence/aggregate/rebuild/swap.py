"""The fence, and the swap in one transaction.

While the fence stands nobody applies batches or folds segments; requests are answered from the tables that serve. Both
rest on locks of one transaction: when it ends, however it ends, everybody goes on.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg
from psycopg import sql

from whence.aggregate.rebuild.shadow import REBUILT, shadow_of
from whence.domain.errors import DependencyUnavailable
from whence.kit.database import connect, schema
from whence.kit.sqlfiles import load_statements

FENCE_WAIT_SECONDS = 10
"""Longest wait for a batch or a fold that is under way, and for a vacuum to be called off."""

FROZEN_SECONDS = 120
"""PostgreSQL ends the session of a rebuild that freezes inside the fence for so long, so that aggregate goes on."""

LOCK_WAIT_MS = 300
"""Longest wait for one of the locks that also keep readers out. Below PostgreSQL's deadlock_timeout of 1 s: if a reader
and we wait for each other, we give way before one of the two is ended with an error."""

LOCK_TRIES_MAX = 40
LOCK_REST_SECONDS = 0.25
"""Tries to get these locks behind one fence, about 20 s at most, and the rest between two of them for the readers."""

_SQL = load_statements(__file__)


class TablesBusy(DependencyUnavailable):
    """Others hold the tables for longer than we may wait. Nothing was done."""

    def __init__(self, holder: str) -> None:
        super().__init__("postgresql", f"{holder} holds the tables")


@contextmanager
def folding_alone(url: str, namespace: str) -> Iterator[psycopg.Connection]:
    """An autocommitting connection that alone folds the installation's segments.

    Raises:
        TablesBusy: If a fold that is under way does not end.
    """
    with connect(url, namespace, "rebuild") as connection:
        _limit_waits(connection)
        with _busy_if_locked("a fold"):
            connection.execute(_SQL["fold_alone"])
        yield connection


@contextmanager
def fenced(connection: psycopg.Connection, namespace: str) -> Iterator[None]:
    """A transaction of *connection* in which nobody moves the installation's positions.

    Raises:
        TablesBusy: If others hold the tables.
    """
    with connection.transaction():
        _limit_waits(connection)
        with _busy_if_locked("a batch or a vacuum"):
            # Calls vacuums off and keeps them away; nobody else minds.
            connection.execute(_lock((namespace, shadow_of(namespace)), "SHARE UPDATE EXCLUSIVE"))
            connection.execute(_SQL["apply_nothing"])
        yield


def swap(connection: psycopg.Connection, namespace: str) -> None:
    """Put the shadow's tables in the place of the installation's, which are dropped; commits with the fence.

    Raises:
        TablesBusy: If readers hold the tables for too long.
    """
    shadow, former = shadow_of(namespace), f"{namespace}$former"
    _keep_readers_out(connection, namespace)
    given: dict[str, object] = {"serving": namespace, "shadow": shadow, "tables": list(REBUILT)}
    views = _statements(connection, "views", given)
    for statement in _statements(connection, "rights", given):
        connection.execute(statement)
    connection.execute(_SQL["next_epochs"].format(serving=schema(namespace), shadow=schema(shadow)))
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema(former)))
    for table in REBUILT:
        for source, target in ((namespace, former), (shadow, namespace)):
            move = sql.SQL("ALTER TABLE {}.{} SET SCHEMA {}")
            connection.execute(move.format(schema(source), sql.Identifier(table), schema(target)))
    for statement in views:
        connection.execute(statement)
    tables = sql.SQL(", ").join(_names(former))
    connection.execute(sql.SQL("DROP TABLE {}").format(tables))
    for emptied in (former, shadow):
        connection.execute(sql.SQL("DROP SCHEMA {}").format(schema(emptied)))


def _keep_readers_out(connection: psycopg.Connection, namespace: str) -> None:
    """Lock all tables of the installation against everybody, giving way to readers again and again."""
    for _ in range(LOCK_TRIES_MAX):
        try:
            with connection.transaction():
                connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(f"{LOCK_WAIT_MS}ms"))
                connection.execute(_lock((namespace,), "ACCESS EXCLUSIVE"))
        except psycopg.errors.LockNotAvailable:
            time.sleep(LOCK_REST_SECONDS)
        else:
            return
    raise TablesBusy("a long transaction (a backup, a reconcile, a fit)")


@contextmanager
def _busy_if_locked(by: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise TablesBusy(by) from error


def _limit_waits(connection: psycopg.Connection) -> None:
    limits = {"lock": f"{FENCE_WAIT_SECONDS}s", "frozen": f"{FROZEN_SECONDS}s"}
    connection.execute(_SQL["limits"], limits)


def _lock(namespaces: tuple[str, ...], mode: LiteralString) -> sql.Composed:
    tables = sql.SQL(", ").join([name for namespace in namespaces for name in _names(namespace)])
    return sql.SQL("LOCK TABLE {} IN {} MODE").format(tables, sql.SQL(mode))


def _names(namespace: str) -> list[sql.Composed]:
    return [sql.SQL("{}.{}").format(schema(namespace), sql.Identifier(table)) for table in REBUILT]


def _statements(connection: psycopg.Connection, name: str, given: dict[str, object]) -> list[bytes]:
    """Statements that a query writes."""
    return [statement.encode() for (statement,) in connection.execute(_SQL[name], given).fetchall()]
