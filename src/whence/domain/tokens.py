"""Freshness tokens: "everything below these offsets is in"."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from whence.domain.errors import FieldProblem, InvalidInput

MAX_TOKEN_LENGTH = 6_144
"""Characters: a token of 256 partitions with 19-digit offsets has 6,042; and a URL of 8 KB must hold it."""

_TOKEN = re.compile(r"[0-9a-f]{8}\.[0-9]{1,6}:[0-9]{1,19}(,[0-9]{1,6}:[0-9]{1,19})*")


@dataclass(frozen=True, slots=True)
class FreshnessToken:
    """A place in the log.

    Attributes:
        log_id: Eight hex digits that name the log.
        offsets: For each partition the next offset; everything below it is meant.
    """

    log_id: str
    offsets: Mapping[int, int]

    def __str__(self) -> str:
        return f"{self.log_id}." + ",".join(
            [f"{partition}:{offset}" for partition, offset in sorted(self.offsets.items())]
        )


def token_of(log_id: str, partition: int, next_offset: int) -> str:
    """The token of one place."""
    return f"{log_id}.{partition}:{next_offset}"


def parse_token(text: str) -> FreshnessToken:
    """The token that *text* writes down.

    Raises:
        InvalidInput: If it is not of the form `<8 hex>.<partition>:<offset>[,…]`.
    """
    if len(text) > MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(text):
        raise InvalidInput(
            [FieldProblem("after", "not a freshness token: send what ingest answered as `token`, unchanged")]
        )
    log_id, _, places = text.partition(".")
    pairs = (place.split(":") for place in places.split(","))
    return FreshnessToken(log_id, {int(partition): int(offset) for partition, offset in pairs})
