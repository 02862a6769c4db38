"""The shadow: a schema beside the installation's with the tables that are made anew, by the product's own migrations.

Who connects with the shadow before the installation in the search path writes the former anew and reads everything
else (ids, event types, dead letters) from the latter: the same code, the same internal ids.
"""

import psycopg
from psycopg import sql

from whence.domain.errors import FieldProblem, InvalidInput
from whence.kit.database import conninfo, schema
from whence.kit.migrate import migrate, migrations
from whence.kit.sqlfiles import load_statements

REBUILT = (
    "partition_position",
    "compactor_position",
    "batch_segment",
    "signal",
    "user_recent",
    "trend_bucket",
    "trend_list",
    "pair_count",
    "item_neighbours",
)
"""The tables that follow from the log. Everything else stays as it is: ids, catalogue, verdicts, leases, the refined
neighbours (which are fitted anew within a day), and what was served."""

_SQL = load_statements(__file__)


def shadow_of(namespace: str) -> str:
    """The shadow's schema: a name that no installation can have."""
    return f"{namespace}$rebuild"


def check_version(connection: psycopg.Connection) -> None:
    """Make sure that the installation's tables are those of this program, no newer and no older ones.

    Raises:
        InvalidInput: If they are not.
    """
    ours = [step.version for step in migrations("scores")]
    theirs = [version for (version,) in connection.execute(_SQL["versions"]).fetchall()]
    if ours != theirs:
        problem = f"the tables are of version {max(theirs, default=0)}, this program is of {max(ours)}"
        raise InvalidInput([FieldProblem("", f"{problem}: `whence migrate`, and the same program everywhere")])


def make_shadow(connection: psycopg.Connection, url: str, namespace: str) -> list[str]:
    """Make empty shadow tables; what an earlier rebuild has left goes.

    Args:
        connection: Autocommitting, on the installation.
        url, namespace: Of the installation.

    Returns:
        What others have attached to the tables (indexes, triggers) that the swap drops with the former ones.

    Raises:
        InvalidInput: If the installation is not of this version, or something depends on its tables that could neither
            be carried over nor dropped.
    """
    check_version(connection)
    if hindrances := connection.execute(_SQL["hindrances"], _tables(namespace)).fetchall():
        names = ", ".join(name for (name,) in hindrances)
        raise InvalidInput([FieldProblem("", f"drop what depends on the tables, and make it anew afterwards: {names}")])
    drop_shadow(connection, namespace)
    migrate(url, shadow_of(namespace), ["scores"])
    for (statement,) in connection.execute(_SQL["superfluous"], _tables(shadow_of(namespace))).fetchall():
        connection.execute(statement.encode())
    attached = {"shadow": shadow_of(namespace), **_tables(namespace)}
    return [name for (name,) in connection.execute(_SQL["attached"], attached).fetchall()]


def drop_shadow(connection: psycopg.Connection, namespace: str) -> None:
    """Drop the shadow if there is one."""
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema(shadow_of(namespace))))


def connect_shadow(url: str, namespace: str) -> psycopg.Connection:
    """An autocommitting connection that writes to the shadow. Commits do not wait for the disk: the swap's does."""
    connection = psycopg.connect(conninfo(url, f"{shadow_of(namespace)},{namespace}", "rebuild"), autocommit=True)
    connection.execute("SET synchronous_commit = off")
    return connection


def bytes_of_tables(connection: psycopg.Connection, namespace: str) -> int:
    """The size of the installation's tables that will be made anew, indexes included."""
    row = connection.execute(_SQL["size"], _tables(namespace)).fetchone()
    return int(row[0]) if row else 0


def analyze(connection: psycopg.Connection) -> None:
    """Give the planner the facts about the shadow's tables; *connection* is of `connect_shadow`."""
    for table in REBUILT:
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))


def _tables(namespace: str) -> dict[str, object]:
    return {"namespace": namespace, "tables": list(REBUILT)}
