"""A database in memory that stands in for PostgreSQL under the real SQL users: connections, transactions, row locks.

It takes the very statements of the product's `.sql` files (`statements.py` says what each does), so that everything
above the driver is the real code. What a transaction writes is held back until it commits, and what it must keep
others from is locked. The same tests run on it and on a real PostgreSQL (tests/integration/aggregate).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import psycopg
from psycopg import sql

from simulation.tables import Tables
from simulation.world import Crashed, World

Parameters = Mapping[str, Any]
Rows = list[tuple[Any, ...]]

ORPHAN_TICKS_MAX = 12
"""Ticks that a session may outlive its client: PostgreSQL notices late that nobody is there."""


class Session:
    """The server's side of a connection."""

    def __init__(self) -> None:
        self.alive = True
        self.in_transaction = False
        self.committing = False
        self.writes: list[Callable[[], None]] = []


Statement = Callable[["Database", Session, Parameters], Rows]
"""Carries a statement out; the number of rows it gives is the row count."""


class Database:
    """The server.

    Attributes:
        tables: What is committed.
        at_once: Names of statements whose writes do not wait for the commit: a planted bug.
    """

    def __init__(self, world: World, statements: Mapping[str, tuple[str, Statement]]) -> None:
        self.world = world
        self.tables = Tables()
        self.at_once: frozenset[str] = frozenset()
        self._statements = dict(statements)
        self._locks: dict[object, Session] = {}
        self._orphans: list[tuple[int, Session]] = []
        self._running = ""

    def replace(self, name: str, statement: Statement) -> None:
        """Plant another behaviour of a statement."""
        (text,) = (text for text, (known, _) in self._statements.items() if known == name)
        self._statements[text] = (name, statement)

    def run(self, session: Session, statement: sql.SQL, given: Parameters) -> Rows:
        """Carry a statement out."""
        self._running, handler = self._statements[statement.as_string(None)]
        return handler(self, session, given)

    def write(self, session: Session, change: Callable[[], None]) -> None:
        """Change something now, or when the transaction commits."""
        if session.in_transaction and self._running not in self.at_once:
            session.writes.append(change)
        else:
            change()

    def locked(self, session: Session, key: object) -> bool:
        """Whether another session holds a lock."""
        return self._locks.get(key, session) is not session

    def lock(self, session: Session, key: object) -> None:
        """Take a lock, after waiting for whoever has it."""
        running = self._running
        while self.locked(session, key):
            if self.world.current is None:
                raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")
            self.world.pause()
            self.check(session)
        self._running = running
        self._locks[key] = session

    def check(self, session: Session) -> None:
        """Raise if the session is gone."""
        if not session.alive:
            raise psycopg.OperationalError("the connection is closed")

    def settle(self, session: Session, *, commit: bool) -> None:
        """End the transaction. Locks whose key starts with "session" last as long as the session."""
        writes, session.writes = session.writes, []
        if commit:
            for change in writes:
                change()
        session.in_transaction = session.committing = False
        self._unlock(session, keep_session_locks=True)

    def end(self, session: Session) -> None:
        """The session is over: what was being committed is, everything else is rolled back."""
        if session.alive:
            session.alive = False
            self.settle(session, commit=session.committing)
            self._unlock(session, keep_session_locks=False)

    def hang_up(self, session: Session) -> None:
        """The client is gone; the server may notice later."""
        ticks = 0 if self.world.calm else self.world.chance.choice((0, 0, ORPHAN_TICKS_MAX))
        if ticks:
            self._orphans.append((ticks, session))
        else:
            self.end(session)

    def tick(self) -> None:
        """Time passes at the server."""
        left = [(0 if self.world.calm else ticks - 1, session) for ticks, session in self._orphans]
        self._orphans = [(ticks, session) for ticks, session in left if ticks > 0]
        for ticks, session in left:
            if ticks <= 0:
                self.end(session)

    def _unlock(self, session: Session, *, keep_session_locks: bool) -> None:
        self._locks = {
            key: holder
            for key, holder in self._locks.items()
            if holder is not session or (keep_session_locks and str(key).startswith("session"))
        }


class Cursor:
    """What a statement gave."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.rowcount = len(rows)

    def fetchall(self) -> Rows:
        """All rows."""
        return self._rows

    def fetchone(self) -> tuple[Any, ...] | None:
        """The first row."""
        return self._rows[0] if self._rows else None

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._rows)


class Connection:
    """What the product uses of `psycopg.Connection`, autocommitting. Fails before, within and after each I/O."""

    def __init__(self, database: Database) -> None:
        self.session = Session()
        self._database = database
        self._world = database.world
        self._gone = False
        types = SimpleNamespace(oid=0, array_oid=0)
        everything: dict[str, object] = dict.fromkeys(("int2", "int4", "int8", "float8", "bool", "bytea"), types)
        everything["timestamptz"] = types
        self.adapters = SimpleNamespace(
            types=everything, register_dumper=lambda *_: None, register_loader=lambda *_: None
        )

    def execute(self, statement: sql.SQL, given: Parameters | None = None, *, binary: bool = False) -> Cursor:
        """Carry a statement out."""
        self._io()
        rows = self._database.run(self.session, statement, given or {})
        self._io()
        return Cursor(rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._io()
        self.session.in_transaction = True
        try:
            yield
        except Crashed:
            raise
        except BaseException:
            if not self._gone:
                self._database.settle(self.session, commit=False)
            raise
        self._commit()

    def close(self) -> None:
        """Hang up."""
        if not self._gone:
            self._gone = True
            self._database.hang_up(self.session)

    def _commit(self) -> None:
        self._io()
        self.session.committing = True
        # From here on the server commits whether or not anybody waits for the answer.
        self._io()
        self._database.settle(self.session, commit=True)
        self._io()

    def _io(self) -> None:
        if not self._gone:
            self._world.io()
        if not self._gone and self._world.happens(self._world.loss_chance):
            self.close()
        if self._gone or not self.session.alive:
            self.close()
            raise psycopg.OperationalError("the connection is lost")


class Client:
    """The connections of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connections: list[Connection] = []

    def connect(self) -> psycopg.Connection:
        """A new connection, in the type that the product asks for."""
        connection = Connection(self._database)
        self._connections.append(connection)
        return cast("psycopg.Connection", connection)

    def gone(self) -> None:
        """The process has ended."""
        for connection in self._connections:
            connection.close()
