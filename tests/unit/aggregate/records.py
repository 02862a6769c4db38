"""Records for unit tests."""

import json
from typing import Any

from whence.aggregate.decode import Rules
from whence.domain.partition import partition_of
from whence.eventlog.port import Record

RULES = Rules(partitions=1, type_codes={"view": 1, "purchase": 2, "dismiss": 3})

NOON_US = 1_709_553_600_000_000
"""2024-03-04T12:00:00Z."""

HOUR_US = 3_600_000_000


def fields(**more: object) -> dict[str, Any]:
    """A view of item a by user u1, received at noon; None takes a field out."""
    event = {
        "event_type": "view",
        "user_id": "u1",
        "item_id": "a",
        "event_id": "1",
        "received_at": "2024-03-04T12:00:00Z",
        **more,
    }
    return {name: value for name, value in event.items() if value is not None}


def record(
    offset: int = 0, appended_at_us: int = NOON_US, partitions: int = 1, key: bytes | None = None, **more: object
) -> Record:
    """The event's record, in the partition that its key belongs to."""
    event = fields(**more)
    right = str(event.get("user_id") or event.get("session_id") or "").encode() if key is None else key
    return Record(
        partition_of(right, partitions), offset, appended_at_us, right, json.dumps(event, ensure_ascii=False).encode()
    )
