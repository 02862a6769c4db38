"""The walk over earlier days that a proposal is made from: every query's scores are taken apart."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from types import TracebackType
from typing import Any, Self

import numpy as np
from psycopg import AsyncConnection

from whence.domain.blend_weights import BlendWeights
from whence.domain.errors import FieldProblem, InvalidInput
from whence.domain.events import DISMISS, EventTypes
from whence.evaluation.components import components
from whence.evaluation.prequential import Group, Learner, Progress, Protocol, Walk
from whence.evaluation.tuning import Asked, Queries, asked, propose
from whence.kit.database import conninfo, database_errors
from whence.kit.sqlfiles import load_statements
from whence.recommend.read import usable_weights
from whence.recommend.why import read_state

DAYS = timedelta(days=28)
"""How far back the walk begins: weeks have habits of their own, and older ones say less of tomorrow."""

QUERIES_MAX = 2_000
"""Queries that are taken apart, evenly over the days: two minutes of reading, a hundred megabytes of numbers."""

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class Setting:
    """What the proposal is for.

    Attributes:
        url, namespace: Where the learner's state is.
        types: Event types and weights.
        mixture: The blend in force.
    """

    url: str
    namespace: str
    types: EventTypes
    mixture: BlendWeights


def tuned(
    learner: Learner, groups: Sequence[Group], protocol: Protocol, setting: Setting, progress: Progress
) -> BlendWeights:
    """The blend that would have been best in the days before the window of *protocol*, of which it sees nothing.

    Raises:
        InvalidInput: If these days have no query.
    """
    start = protocol.window[0]
    days = Protocol((start - DAYS, start), protocol.targets)
    count = sum(days.window[0] <= group.at < start for group in groups)
    with Collector(setting, max(-(-count // QUERIES_MAX), 1), repeats=protocol.targets == "all") as collector:
        walk = Walk(learner, {}, (), None, _told_as("tuning: ", progress), collector)
        walk.run(groups, days)
    if not collector.queries:
        raise InvalidInput([FieldProblem("--tune", f"the {DAYS.days} days before --from have no query to learn from")])
    return propose(
        Queries(collector.queries),
        setting.mixture,
        repeats=protocol.targets == "all",
        progress=lambda done, total: progress("tuning: trying weights", done, total),
    )


def _told_as(prefix: str, progress: Progress) -> Progress:
    return lambda stage, done, total: progress(prefix + stage, done, total)


class Collector:
    """Takes every n-th query that it is shown apart."""

    def __init__(self, setting: Setting, stride: int, *, repeats: bool) -> None:
        self.queries: list[Asked] = []
        self._setting = setting
        self._weights: Mapping[str, float] = usable_weights(setting.types.weights)
        self._stride = stride
        self._repeats = repeats
        self._shown = 0
        self._runner = asyncio.Runner()
        self._connection: AsyncConnection[Any] | None = None

    def __enter__(self) -> Self:
        with database_errors():
            place = conninfo(self._setting.url, self._setting.namespace, "evaluate")
            self._connection = self._runner.run(AsyncConnection.connect(place, autocommit=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._runner.run(self._connection.close())
        self._runner.close()

    def __call__(self, group: Group, wanted: set[str]) -> None:
        """Take a query in, if it is its turn."""
        self._shown += 1
        if self._connection is not None and self._shown % self._stride == 0:
            self.queries.append(self._runner.run(self._asked(self._connection, group.user, group.at, wanted)))

    async def _asked(self, connection: AsyncConnection[Any], user: str, as_of: datetime, wanted: set[str]) -> Asked:
        state = await read_state(connection, [user], ())
        hidden: list[int] = []
        if not self._repeats:
            cursor = await connection.execute(_SQL["touched"], {"user": user, "dismiss": DISMISS})
            hidden = list(chain.from_iterable(await cursor.fetchall()))
        cursor = await connection.execute(_SQL["known"], {"items": list(wanted)})
        targets = list(chain.from_iterable(await cursor.fetchall()))
        found = components(state, self._weights, as_of, np.array(hidden, np.int64), repeats=self._repeats)
        return asked(found, targets, len(wanted), self._setting.mixture)
