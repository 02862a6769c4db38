"""One evaluation: variants walk the same groups, the product in a schema of its own that is dropped afterwards."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from whence.domain.events import EventTypes
from whence.evaluation.baselines import OwnScores, Popularity
from whence.evaluation.prequential import Group, Targets, walk
from whence.evaluation.product import Product
from whence.kit.database import connect, database_errors
from whence.kit.migrate import migrate

PRODUCT = "whence"
BASELINES: dict[str, type[Popularity | OwnScores]] = {"popularity": Popularity, "own_scores": OwnScores}


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is asked, and when.

    Attributes:
        window: From (inclusive) and to (exclusive): what comes before is only learnt.
        targets: See `prequential.walk`.
        queries_max: Stop after so many queries; None asks all.
    """

    window: tuple[datetime, datetime]
    targets: Targets
    queries_max: int | None = None


def evaluate(
    url: str,
    groups: Sequence[Group],
    types: EventTypes,
    protocol: Protocol,
    variants: Sequence[str] = (PRODUCT, *BASELINES),
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> dict[str, dict[str, float]]:
    """The figures of each variant.

    Args:
        url: A PostgreSQL in which a schema may be made for the run.
        groups: In time order.
        types: Event types and weights.
        protocol: What is asked.
        variants: `whence`, `popularity`, `own_scores`.
        progress: Told variant, groups done, and of how many.
    """
    found = {}
    for variant in variants:
        with _recommender(variant, url, types) as recommender:
            scores = walk(
                recommender,
                groups,
                protocol.window,
                protocol.targets,
                lambda done, total, variant=variant: progress(variant, done, total),  # type: ignore[misc]
                protocol.queries_max,
            )
            found[variant] = scores.figures(recommender.known_items())
    return found


@contextmanager
def _recommender(variant: str, url: str, types: EventTypes) -> Iterator[Product | Popularity | OwnScores]:
    if variant != PRODUCT:
        yield BASELINES[variant]()
        return
    namespace = f"evaluation_{secrets.token_hex(6)}"
    migrate(url, namespace, ["scores"])
    try:
        with closing(connect(url, namespace, "evaluate")) as connection:
            yield Product(connection, types)
    finally:
        with database_errors(), psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(namespace)))
