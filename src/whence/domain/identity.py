"""Identity of events: their ids, and the 64-bit hashes that stand for (user, event id) in the dedupe window."""

import hashlib
import uuid

BACKFILL_DIGEST_BYTES = 16


def event_hash(user: str, event_id: str) -> int:
    """64 bits that stand for (user, event_id), as a signed number (PostgreSQL's bigint, numpy's int64).

    A new event is taken for a repeat with a chance of (ids in the window) / 2^64.
    """
    digest = hashlib.blake2b(user.encode() + b"\x00" + event_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def new_event_id(now_ms: int, random: bytes) -> str:
    """A UUIDv7 (RFC 9562) from a time in milliseconds and 10 random bytes."""
    value = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random, "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def backfill_event_id(name: str, row: bytes, ordinal: int) -> str:
    """The id of an imported row that carries none: the same file gives the same ids, today or next year.

    Args:
        name: The backfill's name.
        row: The row in canonical form.
        ordinal: 0 for the first row of this content in the file, 1 for the second equal one, …
    """
    digest = hashlib.blake2b(digest_size=BACKFILL_DIGEST_BYTES)
    for part in (name.encode(), row, str(ordinal).encode()):
        digest.update(len(part).to_bytes(8, "big") + part)
    return f"bf:{digest.hexdigest()}"


def record_event_id(partition: int, offset: int) -> str:
    """The id of a foreign producer's record without one."""
    return f"log:{partition}:{offset}"
