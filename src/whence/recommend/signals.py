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

_STATEMENTS = load_statements(__file__)
_PLACE = struct.Struct(">qqh")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the last row's time, internal item id and event type code."""

    last_at_us: int
    item: int
    code: int

    def cursor(self) -> str:
        """The place as text for the client, who does not look into it."""
        return base64.urlsafe_b64encode(_PLACE.pack(self.last_at_us, self.item, self.code)).decode()


def parse_cursor(text: str) -> Place:
    """The place that a cursor stands for.

    Raises:
        InvalidInput: If it is none of ours.
    """
    try:
        place = Place(*_PLACE.unpack(base64.b64decode(text.encode("ascii"), b"-_", validate=True)))
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
    after: Place | None,
) -> dict[str, Any]:
    """A page of a user's signals as the API shows it; `weight` is the type's weight times the decayed sum now."""
    values = {
        "user_id": user_id,
        "size": size + 1,
        "after_last_at": after and from_us(after.last_at_us),
        "after_item": after and after.item,
        "after_code": after and after.code,
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_STATEMENTS["page"], values, prepare=True)
        rows = await cursor.fetchall()
    shown, last = rows[:size], rows[size - 1] if len(rows) > size else None
    following = Place(to_us(last["last_at"]), last["item_ref"], last["code"]).cursor() if last else None
    return {"user_id": user_id, "signals": [_signal(row, weights, now) for row in shown], "next": following}


def _signal(row: Mapping[str, Any], weights: Mapping[str, float], now: datetime) -> dict[str, Any]:
    decayed = decayed_sum(row["log_sum"], max(now, row["last_at"]).timestamp())
    return {
        "item_id": row["item_id"],
        "event_type": row["event_type"],
        "count": row["count"],
        "weight": weights.get(row["event_type"], 0.0) * decayed,
        "last_at": row["last_at"],
    }
