"""A sample of users: the same for the same state, at the cost of a probe for each, however many users there are.

Internal ids are counted up from 1, so ids can be drawn without reading the table: a stride that visits every number
below a power of two once. Each prefix of it is spread over all ids, old and new users alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from psycopg import Connection

from whence.kit.sqlfiles import load_statements

PROBES_A_QUERY = 1_000

PROBES_MAX = 1_000_000
"""Ids that are looked up for a sample; where not even a hundredth of them touched anything, it stays smaller."""

GOLDEN_SECTION = 0.6180339887498949
"""A stride of this share of the range leaves no large gap at any time."""

_STATEMENTS = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class Sample:
    """Users who have touched an item.

    Attributes:
        users: Their public ids.
        population: How many such users there are in all: counted if `is_counted`, else estimated from the hits among
            the ids that were drawn.
    """

    users: tuple[str, ...]
    population: int
    is_counted: bool


def sample_users(connection: Connection, wanted: int) -> Sample:
    """At most *wanted* users, or all of them if they are not more."""
    newest = _value(connection)
    order = strides(newest)
    users: list[str] = []
    probed = 0
    while len(users) < wanted and probed < PROBES_MAX and (ids := list(islice(order, PROBES_A_QUERY))):
        probed += len(ids)
        found: dict[int, str] = dict(connection.execute(_STATEMENTS["users"], {"ids": ids}).fetchall())
        users += [found[number] for number in ids if number in found]
    is_counted = probed >= newest
    population = len(users) if is_counted else round(newest * len(users) / max(probed, 1))
    return Sample(tuple(users[:wanted]), population, is_counted)


def strides(newest: int) -> Iterator[int]:
    """Every number from 1 to *newest* once."""
    size = 1 << newest.bit_length()
    step = int(size * GOLDEN_SECTION) | 1  # odd, so that it visits all of a power of two
    numbers = (count * step % size for count in range(1, size))
    return (number for number in numbers if number <= newest)


def _value(connection: Connection) -> int:
    row = connection.execute(_STATEMENTS["newest_user"]).fetchone()
    return int(row[0]) if row else 0
