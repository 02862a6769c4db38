"""Rows become entries: the JSON that the API takes, with an id that is the same whenever the file is sent."""

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from whence.cli.bulk.readers import Row
from whence.domain.errors import FieldProblem
from whence.domain.events import MAX_EVENT_BYTES
from whence.domain.identity import backfill_event_id

MAX_ITEM_BYTES = 64 * 1024
"""An item's JSON: more than all its fields can have, so that a batch of items stays small."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that can be sent.

    Attributes:
        row: Its number in the file.
        body: Its JSON.
        lane_key: Entries of one key keep their order.
    """

    row: int
    body: bytes
    lane_key: int


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be taken."""

    row: int
    problems: tuple[FieldProblem, ...]


class EventEntries:
    """Makes entries of the rows of one file of events, in the file's order.

    A row without event_id gets one from the backfill's name, its content, and how many equal rows came before it. That
    takes some 100 bytes of memory for each such row.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._seen: dict[bytes, int] = {}

    def entry(self, row: Row) -> Entry | BadRow:
        """The entry of a row, or what is wrong with it."""
        if row.fields is None:
            return _unreadable(row)
        fields = row.fields
        body = _encoded(fields)
        if body is not None and "event_id" not in fields:
            fields = {**fields, "event_id": self._event_id(body)}
            body = _encoded(fields)
        if body is None:
            return BadRow(row.number, tuple(_unsendable(fields)))
        if len(body) > MAX_EVENT_BYTES:
            return _too_large(row, len(body), MAX_EVENT_BYTES)
        return Entry(row.number, body, _key(fields.get("user_id") or fields.get("session_id")))

    def _event_id(self, body: bytes) -> str:
        digest = hashlib.blake2b(body, digest_size=16).digest()
        ordinal = self._seen.get(digest, 0)
        self._seen[digest] = ordinal + 1
        return backfill_event_id(self._name, body, ordinal)


def item_entry(row: Row) -> Entry | BadRow:
    """The entry of a row of a file of items, or what is wrong with it."""
    if row.fields is None:
        return _unreadable(row)
    body = _encoded(row.fields)
    if body is None:
        return BadRow(row.number, tuple(_unsendable(row.fields)))
    if len(body) > MAX_ITEM_BYTES:
        return _too_large(row, len(body), MAX_ITEM_BYTES)
    return Entry(row.number, body, _key(row.fields.get("item_id")))


def _encoded(fields: Mapping[str, Any]) -> bytes | None:
    """JSON in canonical form: the same fields give the same bytes. None if JSON in UTF-8 cannot carry them."""
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        return text.encode()
    except (ValueError, TypeError, RecursionError):
        return None


def _unsendable(fields: Mapping[str, Any]) -> Iterator[FieldProblem]:
    for name, value in fields.items():
        try:
            json.dumps({name: value}, allow_nan=False, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            yield FieldProblem(_shown(name), "must be valid Unicode, in UTF-8 and without lone surrogates")
        except (ValueError, TypeError, RecursionError):
            yield FieldProblem(_shown(name), "must hold finite numbers, texts, lists and objects only")


def _shown(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def _unreadable(row: Row) -> BadRow:
    return BadRow(row.number, (row.problem,) if row.problem else ())


def _too_large(row: Row, size_bytes: int, limit_bytes: int) -> BadRow:
    problem = FieldProblem("", f"has {size_bytes} bytes of JSON; at most {limit_bytes} are possible", limit_bytes)
    return BadRow(row.number, (problem,))


def _key(value: object) -> int:
    return zlib.crc32(str(value).encode("utf-8", "replace"))
