"""The catalogue in PostgreSQL: put, get and withdraw items."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from whence.catalogue.checks import Item
from whence.kit.sqlfiles import load_statements

_STATEMENTS = load_statements(__file__)


async def put_items(connection: AsyncConnection, items: Mapping[str, Item]) -> set[str]:
    """Put items into the catalogue by id, in place of what was there: all or none.

    Returns:
        The ids that were not in the catalogue before.
    """
    await _map_ids(connection, list(items))
    entries = [{"external_id": item_id, **item.model_dump()} for item_id, item in items.items()]
    cursor = await connection.execute(_STATEMENTS["put_items"], {"items": json.dumps(entries)})
    return {row[0] for row in await cursor.fetchall()}


async def get_item(connection: AsyncConnection, item_id: str) -> dict[str, Any] | None:
    """An item of the catalogue as the API shows it; None if it is not there, or was deleted."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_STATEMENTS["get_item"], {"id": item_id})
        row = await cursor.fetchone()
    return {"item_id": item_id, **row} if row else None


async def delete_item(connection: AsyncConnection, item_id: str) -> None:
    """Withdraw an item, known or not: from now on it is not recommended, until it is put back."""
    await _map_ids(connection, [item_id])
    await connection.execute(_STATEMENTS["delete_item"], {"id": item_id})


async def _map_ids(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Give integers to ids that have none. Looks first: an insert that conflicts burns a number of the sequence."""
    cursor = await connection.execute(_STATEMENTS["known_ids"], {"ids": list(ids)})
    known = {row[0] for row in await cursor.fetchall()}
    if missing := [item_id for item_id in ids if item_id not in known]:
        await connection.execute(_STATEMENTS["map_ids"], {"ids": missing})
