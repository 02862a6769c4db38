"""What we hold of a user, page by page."""

import base64
import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from whence.domain.decay import decayed_sum
from whence.domain.errors import FieldProblem, InvalidInput
from whence.kit.clock import from_us, to_us
from whence.kit.sqlfiles import load_statements

PAGE_MAX = 500

SORTED_MAX = 5_000
"""Signals of a user that one page sorts by time. Of users with more, bots mostly, those on the newest items come first
and all others by item, so that a page costs the same however many there are."""

_STATEMENTS = load_statements(__file__)
_PLACE = struct.Struct(">qqh")
_ITEM_PLACE = struct.Struct(">qh")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended that is newest first: the last row's time, internal item id and event type code."""

    last_at_us: int
    item: int
    code: int

    def cursor(self) -> str:
        """The place as text for the client, who does not look into it."""
        return base64.urlsafe_b64encode(_PLACE.pack(self.last_at_us, self.item, self.code)).decode()


@dataclass(frozen=True, slots=True)
class ItemPlace:
    """Where a page ended that goes by item."""

    item: int = 0
    code: int = 0

    def cursor(self) -> str:
        """The place as text for the client, who does not look into it."""
        return base64.urlsafe_b64encode(_ITEM_PLACE.pack(self.item, self.code)).decode()


def parse_cursor(text: str) -> Place | ItemPlace:
    """The place that a cursor stands for.

    Raises:
        InvalidInput: If it is none of ours.
    """
    try:
        packed = base64.b64decode(text.encode("ascii"), b"-_", validate=True)
        if len(packed) == _ITEM_PLACE.size:
            return ItemPlace(*_ITEM_PLACE.unpack(packed))
        place = Place(*_PLACE.unpack(packed))
        from_us(place.last_at_us)
    except (ValueError, binascii.Error, struct.error, OverflowError, OSError) as error:
        problem = "not a cursor: send what the last page answered as `next`, unchanged"
        raise InvalidInput([FieldProblem("cursor", problem)]) from error
    return place


async def read_page(
    connection: AsyncConnection,
    user_id: str,
    weights: Mapping[str, float],
    now: datetime,
    size: int,
    after: Place | ItemPlace | None,
) -> dict[str, Any]:
    """A page of a user's signals as the API shows it; `weight` is the type's weight times the decayed sum now.

    Newest first; of a user with more than `SORTED_MAX` only those on the newest items, then all others by item.
    """
    newest: list[dict[str, Any]] = []
    rest: ItemPlace | None = after if isinstance(after, ItemPlace) else None
    if not isinstance(after, ItemPlace):
        newest, is_large = await _newest(connection, user_id, after, size + 1)
        rest = ItemPlace() if is_large else None
    others: list[dict[str, Any]] = []
    if rest is not None and len(newest) <= size:
        place = {"after_item": rest.item, "after_code": rest.code}
        others = await _rows(connection, "others", {"user_id": user_id, "size": size + 1 - len(newest), **place})
    rows = newest + others
    following = _place(rows[size - 1], by_time=size <= len(newest)).cursor() if len(rows) > size else None
    return {"user_id": user_id, "signals": [_signal(row, weights, now) for row in rows[:size]], "next": following}


async def _newest(
    connection: AsyncConnection, user_id: str, after: Place | None, size: int
) -> tuple[list[dict[str, Any]], bool]:
    """The next signals by time, and whether these are not all that the user has."""
    values = {
        "user_id": user_id,
        "size": size,
        "sorted_max": SORTED_MAX,
        "after_last_at": after and from_us(after.last_at_us),
        "after_item": after and after.item,
        "after_code": after and after.code,
    }
    rows = await _rows(connection, "newest", values)
    return [row for row in rows if row["item_id"] is not None], rows[0]["is_large"]


async def _rows(connection: AsyncConnection, statement: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_STATEMENTS[statement], values, prepare=True)
        return await cursor.fetchall()


def _place(row: Mapping[str, Any], *, by_time: bool) -> Place | ItemPlace:
    if by_time:
        return Place(to_us(row["last_at"]), row["item_ref"], row["code"])
    return ItemPlace(row["item_ref"], row["code"])


def _signal(row: Mapping[str, Any], weights: Mapping[str, float], now: datetime) -> dict[str, Any]:
    decayed = decayed_sum(row["log_sum"], max(now, row["last_at"]).timestamp())
    return {
        "item_id": row["item_id"],
        "event_type": row["event_type"],
        "count": row["count"],
        "weight": weights.get(row["event_type"], 0.0) * decayed,
        "last_at": row["last_at"],
    }
