"""Numbered SQL migrations, applied in order under an advisory lock: safe twice, and from two places at once."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import psycopg

from whence.kit.database import conninfo, database_errors, schema

MigrationSet = Literal["scores", "log"]

MIGRATION_TIMEOUT_MS = 0
"""No limit: a migration of large tables takes as long as it takes."""

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_APPLIED = """
CREATE TABLE IF NOT EXISTS schema_migration (
    set_name text NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (set_name, version)
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step."""

    version: int
    name: str
    text: str


def migrations(set_name: MigrationSet) -> list[Migration]:
    """The steps of a set in order."""
    found = []
    for entry in files("whence.migrations").joinpath(set_name).iterdir():
        if match := _FILE.fullmatch(entry.name):
            found.append(Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


def migrate(url: str, namespace: str, sets: Iterable[MigrationSet]) -> list[str]:
    """Bring the installation's schema to this version.

    Returns:
        What was applied now, as `set/version_name`; empty if nothing was to do.

    Raises:
        DependencyUnavailable: If the server cannot be reached.
    """
    with database_errors(), psycopg.connect(conninfo(url, namespace, "migrate", MIGRATION_TIMEOUT_MS)) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('whence migrate ' || %s, 0))", [namespace])
        connection.execute(psycopg.sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema(namespace)))
        connection.execute(_APPLIED)
        done = []
        for set_name, migration in _pending(connection, sets):
            connection.execute(migration.text.encode())
            connection.execute(
                "INSERT INTO schema_migration (set_name, version, name) VALUES (%s, %s, %s)",
                [set_name, migration.version, migration.name],
            )
            done.append(f"{set_name}/{migration.version:04}_{migration.name}")
        return done


def pending(url: str, namespace: str, sets: Iterable[MigrationSet]) -> list[str]:
    """What `migrate` would apply now, without applying it."""
    with database_errors(), psycopg.connect(conninfo(url, namespace, "migrate")) as connection:
        found = connection.execute("SELECT to_regclass('schema_migration')").fetchone()
        steps = _pending(connection, sets) if found and found[0] else [(s, m) for s in sets for m in migrations(s)]
        return [f"{set_name}/{step.version:04}_{step.name}" for set_name, step in steps]


def _pending(connection: psycopg.Connection, sets: Iterable[MigrationSet]) -> list[tuple[MigrationSet, Migration]]:
    rows = connection.execute("SELECT set_name, version FROM schema_migration").fetchall()
    return [(name, step) for name in sets for step in migrations(name) if (name, step.version) not in set(rows)]
