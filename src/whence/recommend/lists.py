"""Lists that are the same for everybody: what is active now, what was of late, and what goes with an item."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from whence.domain.state import Horizon
from whence.kit.sqlfiles import load_statements

ITEM_FIELDS = ("title", "description", "categories", "attributes", "url", "image_url")
"""What a list shows of an item's catalogue entry."""

_STATEMENTS = load_statements(__file__)


async def read_trend(
    connection: AsyncConnection, horizon: Horizon, size: int, categories: Sequence[str], unknown_items: bool
) -> list[dict[str, Any]]:
    """The strongest items of a horizon with their share of the decayed activity as `score`."""
    return await _read(connection, "trend", {"horizon": horizon}, size, categories, unknown_items)


async def read_similar(
    connection: AsyncConnection, item_id: str, size: int, categories: Sequence[str], unknown_items: bool
) -> list[dict[str, Any]]:
    """The strongest neighbours of an item with p(neighbour given item) as `score`."""
    return await _read(connection, "similar", {"item_id": item_id}, size, categories, unknown_items)


async def item_is_known(connection: AsyncConnection, item_id: str) -> bool:
    """Whether any event or catalogue entry ever named an item."""
    cursor = await connection.execute(_STATEMENTS["item_is_known"], {"item_id": item_id})
    row = await cursor.fetchone()
    return bool(row and row[0])


def shown_item(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """An item's catalogue entry from a row that was joined with it; None if there is none."""
    return None if row["title"] is None else {name: row[name] for name in ITEM_FIELDS}


async def _read(
    connection: AsyncConnection,
    statement: str,
    values: Mapping[str, Any],
    size: int,
    categories: Sequence[str],
    unknown_items: bool,
) -> list[dict[str, Any]]:
    filters = {"size": size, "categories": list(categories) or None, "unknown_items": unknown_items}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_STATEMENTS[statement], {**values, **filters}, prepare=True)
        rows = await cursor.fetchall()
    return [
        {"item_id": row["item_id"], "rank": rank, "score": row["score"], "item": shown_item(row)}
        for rank, row in enumerate(rows, start=1)
    ]
