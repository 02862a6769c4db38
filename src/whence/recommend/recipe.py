"""Recipes: the weights of event types that somebody published, version by version.

The newest version is in force. Until there is one, and for types that it does not name, the weights of
`WHENCE_EVENT_TYPES` count. `read.sql` looks the recipe up in the statement that makes a list, so that no list that is
begun after a publication is made with an older one; who reads signals by other statements asks here first.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection, Connection
from psycopg.rows import class_row

from whence.kit.database import database_errors
from whence.kit.sqlfiles import load_statements

HISTORY_MAX = 1_000
"""Versions that are shown: people publish them by hand."""

_STATEMENTS = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A published recipe; version 0 stands for none.

    Attributes:
        weights: By event type; other types have the weight that the setting gives them.
        published_by: User and host of the command that published it.
    """

    version: int
    weights: Mapping[str, float]
    published_at: datetime | None
    published_by: str | None

    def over(self, initial: Mapping[str, float]) -> dict[str, float]:
        """The weights that count: the published ones, else the initial ones of the setting."""
        return {**initial, **self.weights}


UNPUBLISHED = Recipe(0, {}, None, None)
"""What is in force before the first publication."""


async def recipe_in_force(connection: AsyncConnection) -> Recipe:
    """The newest recipe at the moment of the call."""
    async with connection.cursor(row_factory=class_row(Recipe)) as cursor:
        await cursor.execute(_STATEMENTS["newest"], {"size": 1}, prepare=True)
        return await cursor.fetchone() or UNPUBLISHED


def newest_recipes(connection: Connection, size: int = 1) -> list[Recipe]:
    """The newest recipes, the one in force first.

    Raises:
        DependencyUnavailable: If PostgreSQL does not serve us.
    """
    with database_errors(), connection.cursor(row_factory=class_row(Recipe)) as cursor:
        return cursor.execute(_STATEMENTS["newest"], {"size": size}).fetchall()


def declared_types(connection: Connection) -> list[str]:
    """All event types that were ever declared to the scores; weights can be given to these."""
    with database_errors():
        return [name for (name,) in connection.execute(_STATEMENTS["types"]).fetchall()]


def publish(
    connection: Connection,
    changes: Mapping[str, float],
    initial: Mapping[str, float],
    published_by: str,
    expected: int | None = None,
) -> tuple[Recipe, Recipe | None]:
    """Publish the recipe in force with some changes as the next version, unless it changes nothing.

    When this returns, every list that is begun afterwards is made with it. Of several at once each makes a version,
    and each starts from the one before it.

    Args:
        connection: Autocommitting.
        changes: New weights by event type, checked.
        initial: The weights of the setting; published along, so that all services agree from then on.
        published_by: Who does it.
        expected: The version that must be in force.

    Returns:
        The recipe that was in force, and the one that is now: the same twice if nothing changed, None if nothing was
        published because another version than *expected* is in force.

    Raises:
        DependencyUnavailable: If PostgreSQL does not serve us; whether it was published is then unknown.
    """
    with database_errors(committing=True), connection.transaction():
        connection.execute(_STATEMENTS["lock"])
        before = next(iter(newest_recipes(connection)), UNPUBLISHED)
        if expected not in (None, before.version):
            return before, None
        weights = {**before.over(initial), **changes}
        if before.version and weights == before.weights:
            return before, before
        values = {"weights": json.dumps(weights), "published_by": published_by}
        with connection.cursor(row_factory=class_row(Recipe)) as cursor:
            after = cursor.execute(_STATEMENTS["add"], values).fetchone()
    return before, after
