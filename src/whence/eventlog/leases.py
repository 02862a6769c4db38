"""Who reads which partition: leases in the scores database, for any log, by the database's clock alone.

Every member gets an equal share, within one partition. A member takes what is free or expired up to its share; what it
has beyond that, it gives back itself once its batch is done. Leases only keep members out of each other's way: that
nothing is applied twice rests on the compare-and-swap of the position.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import psycopg

from whence.kit.database import connect, database_errors
from whence.kit.sqlfiles import load_statements

LEASE_SECONDS = 10.0
"""A member that has not renewed for this long has lost its partitions: longer than any healthy pause of a batch, short
enough that the events of a dead member wait seconds only."""

RENEW_SECONDS = 0.5
"""How often a member renews. It is also how soon it sees what others gave back, so that a hand-over takes about a
second."""

_SQL = load_statements(__file__)


class Leases:
    """One member's view: what it owns and what it should give back. For one thread; reconnects by itself."""

    def __init__(
        self, url: str, namespace: str, owner: str, partitions: int, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        """Prepare to take part; the first `renew` joins.

        Args:
            url: The scores database.
            namespace: The installation.
            owner: A name that no other process has, now or after a restart.
            partitions: How many partitions the log has.
            lease_seconds: How long a membership and a lease last without `renew`.
        """
        self._url = url
        self._namespace = namespace
        self._partitions = partitions
        self._parameters: Mapping[str, Any] = {"owner": owner, "partitions": partitions, "lease_seconds": lease_seconds}
        self._connection: psycopg.Connection | None = None
        self._owned: frozenset[int] = frozenset()
        self._share = 0

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that were ours at the last `renew`, less those released since."""
        return self._owned

    def surplus(self, keep: Collection[int] = ()) -> frozenset[int]:
        """Owned partitions beyond our fair share: `release` them as soon as no batch of theirs is under way.

        Args:
            keep: Those that are given away last.
        """
        return frozenset(sorted(self._owned, key=lambda partition: (partition not in keep, partition))[self._share :])

    def renew(self) -> frozenset[int]:
        """Stay a member, keep what is ours, and claim what is free up to the fair share: one short transaction.

        Returns:
            The partitions that are ours now. One that was ours before may be missing: it had expired.

        Raises:
            DependencyUnavailable: The database does not answer; our leases run on until they expire.
        """
        try:
            with database_errors():
                self._owned = self._renewed(self._ready_connection())
        except BaseException:
            self.close()
            raise
        return self._owned

    def release(self, partitions: Iterable[int]) -> None:
        """Give partitions back, so that others can claim them at once. What is not ours is left alone.

        Raises:
            DependencyUnavailable: The database does not answer; the leases run on until they expire.
        """
        released = sorted(partitions)
        self._owned -= frozenset(released)
        self._execute("release", {"released": released})

    def leave(self) -> None:
        """Give everything back, end the membership, and close.

        Raises:
            DependencyUnavailable: The database does not answer; membership and leases run on until they expire.
        """
        self._owned = frozenset()
        try:
            self._execute("release_all")
            self._execute("leave")
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the connection; what is ours stays ours until it expires."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _renewed(self, connection: psycopg.Connection) -> frozenset[int]:
        with connection.transaction():
            for name in ("keep_member", "forget_members"):
                connection.execute(_SQL[name], self._parameters)
            members, before = connection.execute(_SQL["members"], self._parameters).fetchall()[0]
            self._share = self._fair_share(members, before)
            owned = _partitions(connection.execute(_SQL["renew"], self._parameters))
            if (wanted := self._share - len(owned)) > 0:
                owned |= _partitions(connection.execute(_SQL["claim"], {**self._parameters, "wanted": wanted}))
        return owned

    def _fair_share(self, members: int, before: int) -> int:
        """Equal shares; the first members by name take one of the remainder each, so that the shares add up."""
        share, remainder = divmod(self._partitions, members)
        return share + (before < remainder)

    def _execute(self, name: str, more: Mapping[str, Any] | None = None) -> None:
        try:
            with database_errors():
                self._ready_connection().execute(_SQL[name], {**self._parameters, **(more or {})})
        except BaseException:
            self.close()
            raise

    def _ready_connection(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = connect(self._url, self._namespace, "leases")
            self._connection.execute(_SQL["make_rows"], self._parameters)
        return self._connection


def _partitions(cursor: psycopg.Cursor) -> frozenset[int]:
    return frozenset(row[0] for row in cursor)
