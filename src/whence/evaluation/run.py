"""One evaluation: all variants on one walk, the product in a schema of its own that is dropped when it is done."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from whence.domain.blend_weights import BlendWeights, parse_blend
from whence.domain.errors import FieldProblem, InvalidInput
from whence.domain.events import EventTypes
from whence.evaluation.book import KeptBook, has_note, take
from whence.evaluation.earlier import Setting, tuned
from whence.evaluation.metrics import Scores
from whence.evaluation.prequential import Group, Progress, Protocol, Walk
from whence.evaluation.product import Product
from whence.evaluation.variants import BASELINES, TUNED, Comparison, Variant
from whence.kit.database import connect, database_errors
from whence.kit.migrate import migrate

Figures = dict[str, float | str]


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found.

    Attributes:
        figures: Of each variant.
        daily: NDCG@10 and queries of each variant by day.
    """

    figures: dict[str, Figures]
    daily: dict[str, dict[str, dict[str, float]]]


def evaluate(
    url: str,
    groups: Sequence[Group],
    types: EventTypes,
    protocol: Protocol,
    comparison: Comparison,
    key: str,
    progress: Progress = lambda *_: None,
    *,
    tune: BlendWeights | None = None,
) -> Result:
    """The figures of each variant.

    Args:
        url: A PostgreSQL in which a schema may be made for the run.
        groups: In time order.
        types: Event types and weights.
        protocol: What is asked.
        comparison: The variants.
        key: What the run is of: one with the same key that was killed is gone on with.
        progress: Told what is going on.
        tune: Also propose a blend from the days before the window, beginning with this one, and compare it.

    Raises:
        InvalidInput: If a run with the same key is under way, or there are no days to tune on.
    """
    with _schema(url, key, tune=tune is not None) as (connection, namespace):
        product, book = Product(connection, types), KeptBook(connection)
        if tune is not None:
            text = book.written_down(TUNED)
            if text is None:
                setting = Setting(url, namespace, types, tune)
                text = str(tuned(product, groups, protocol, setting, progress))
                book.write_down(TUNED, text)
            comparison = comparison.with_variant(Variant(TUNED, parse_blend(text), types.weights))
        baselines = {name: BASELINES[name]() for name in comparison.baselines}
        askers = {one.name: product.asker(one.mixture, one.weights) for one in comparison.variants}
        askers |= {name: baseline.ask for name, baseline in baselines.items()}
        walk = Walk(product, askers, list(baselines.values()), book, progress)
        return result(walk.run(groups, protocol), walk.known_items, comparison)


def result(scores: Mapping[str, Scores], known_items: int, comparison: Comparison) -> Result:
    """The figures of what was scored."""
    figures: dict[str, Figures] = {name: {**one.figures(known_items)} for name, one in scores.items()}
    for variant in comparison.variants:
        figures[variant.name]["blend"] = str(variant.mixture)
    return Result(figures, {name: one.daily() for name, one in scores.items()})


@contextmanager
def _schema(url: str, key: str, *, tune: bool) -> Iterator[tuple[psycopg.Connection, str]]:
    """A connection to the run's schema, which is dropped unless the run breaks off and can be gone on with."""
    namespace = f"evaluation_{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    with closing(connect(url, namespace, "evaluate")) as connection:
        with database_errors():
            if not take(connection, namespace):
                problem = "the same evaluation is under way in another process; wait for it"
                raise InvalidInput([FieldProblem("FILE", problem)])
            if tune and not has_note(connection, TUNED):
                # A walk over earlier days keeps no place: it begins anew.
                _drop(connection, namespace)
        migrate(url, namespace, ["scores"])
        try:
            with database_errors():
                yield connection, namespace
        except InvalidInput:
            _drop(connection, namespace)
            raise
        _drop(connection, namespace)


def _drop(connection: psycopg.Connection, namespace: str) -> None:
    with database_errors():
        connection.rollback()
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(namespace)))
