"""External ids become the database's integers.

Runs before the batch's transaction, autocommitted: an id without signals does no harm, and no row lock is held while
signals are written. Known ids are looked up before new ones are inserted, because a conflict burns a sequence value.
"""

from collections.abc import Sequence

import numpy as np
import psycopg
from psycopg import sql

from whence.aggregate.batch import Ints
from whence.aggregate.memory import BoundedMemory
from whence.domain.errors import BrokenInvariant
from whence.kit.sqlfiles import load_statements

KEYS_MAX = 200_000
"""External ids that a process remembers, users and items each: about 30 MB."""

_SQL = load_statements(__file__)


class IdMap:
    """Users' and items' internal ids, remembered in bounded memory. Needs an autocommitting connection."""

    def __init__(self, connection: psycopg.Connection, keys_max: int = KEYS_MAX) -> None:
        self._users = _Ids(connection, _SQL["known_users"], _SQL["add_users"], keys_max)
        self._items = _Ids(connection, _SQL["known_items"], _SQL["add_items"], keys_max)

    def users(self, external_ids: Sequence[str]) -> Ints:
        """The internal ids in the order given, made where there were none."""
        return self._users.resolve(external_ids)

    def items(self, external_ids: Sequence[str]) -> Ints:
        """The same for items."""
        return self._items.resolve(external_ids)


class _Ids:
    def __init__(self, connection: psycopg.Connection, known: sql.SQL, add: sql.SQL, keys_max: int) -> None:
        self._connection = connection
        self._known = known
        self._add = add
        self._memory: BoundedMemory[str, int] = BoundedMemory(keys_max)

    def resolve(self, external_ids: Sequence[str]) -> Ints:
        found = self._memory.get_all(external_ids)
        if missing := sorted(set(external_ids) - found.keys()):
            fetched = self._fetch(missing)
            self._memory.update(fetched.items())
            found |= fetched
        return np.fromiter(map(found.__getitem__, external_ids), np.int64, len(external_ids))

    def _fetch(self, missing: list[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for statement in (self._known, self._add, self._known):
            if left := [key for key in missing if key not in found]:
                found |= dict(self._connection.execute(statement, {"external_ids": left}).fetchall())
        if len(found) != len(missing):
            raise BrokenInvariant(f"{len(missing) - len(found)} external ids have no internal id after inserting them")
        return found
