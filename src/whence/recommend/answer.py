"""One answer: from a question to a list with reasons."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from whence.domain.blend_weights import DEFAULT_BLEND, BlendWeights
from whence.domain.identity import new_event_id
from whence.domain.partition import partition_of
from whence.kit.clock import Clock
from whence.kit.metrics import Metrics
from whence.recommend.database import Database
from whence.recommend.freshness import Marker, Progress
from whence.recommend.metrics import DEGRADED_ANSWERS, SERVED, STAGE_DURATION
from whence.recommend.question import Question
from whence.recommend.read import CANDIDATES_MAX, EVIDENCE_ALL, EVIDENCE_SHORT, Ask, Reading, read_candidates
from whence.recommend.render import Rendered, render
from whence.recommend.served import ServedList, ServedLists, recommendation_id, served_at
from whence.recommend.why import why


@dataclass(frozen=True, slots=True)
class ListSettings:
    """The settings that shape every list.

    Attributes:
        initial_weights: Of the event types, where no recipe was published that names them.
        unknown_items: Whether items without a catalogue entry may be shown.
        mixture: What the parts of a score weigh against each other.
    """

    initial_weights: Mapping[str, float]
    unknown_items: bool
    mixture: BlendWeights = DEFAULT_BLEND


class Answers:
    """Makes answers from the scores."""

    def __init__(
        self,
        database: Database,
        progress: Progress,
        served: ServedLists,
        settings: ListSettings,
        clock: Clock,
        metrics: Metrics,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Read from *database*, keep what was answered in *served*."""
        self._database = database
        self._progress = progress
        self._served = served
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._random = random
        self._log_partitions: int | None = None

    async def recommend(self, question: Question) -> bytes:
        """The story of one answer, as JSON.

        Raises:
            DependencyUnavailable: If PostgreSQL cannot serve us now.
        """
        with self._timed("wait"):
            degraded = await self._wait(question)
        now = self._clock.now()
        with self._timed("read"):
            reading = await self.read(question, now)
        with self._timed("render"):
            list_id = self._new_id(now)
            rendered = render(question, reading, list_id, now, degraded)
            answer = msgspec.json.encode(rendered.document)
        self._keep(list_id, answer)
        self._count(rendered, degraded)
        return answer

    async def read(self, question: Question, now: datetime) -> Reading:
        """The candidates for a question, as one statement found them."""
        known = self._log_partitions
        reading = await self._read(question, now)
        if reading.version.partitions != known:
            self._log_partitions = reading.version.partitions
            reading = await self._read(question, now)
        return reading

    async def why(self, question: Question, item_id: str) -> dict[str, Any]:
        """Everything behind one item's score, and why it is in the longest list or not.

        Raises:
            DependencyUnavailable: If PostgreSQL cannot serve us now.
        """
        now = self._clock.now()
        await self.read(replace(question, limit=1), now)  # learns how many partitions the log has
        ask = self._ask(replace(question, limit=CANDIDATES_MAX), now)
        async with self._database.connection() as connection:
            return await why(connection, ask, question.user_id, item_id)

    async def _wait(self, question: Question) -> Marker | None:
        """Wait for the events that the client knows of."""
        if question.after is None:
            return None
        return await self._progress.reach(question.after, question.subjects)

    async def _read(self, question: Question, now: datetime) -> Reading:
        async with self._database.connection() as connection:
            return await read_candidates(connection, self._ask(question, now))

    def _ask(self, question: Question, now: datetime) -> Ask:
        return Ask(
            subjects=question.subjects,
            partitions=self._partitions(question),
            weights=self._settings.initial_weights,
            as_of=now,
            size=question.limit,
            exclude=question.exclude,
            categories=question.categories,
            excluded_items=question.excluded_items,
            unknown_items=self._settings.unknown_items,
            evidence_max=EVIDENCE_ALL if question.explain == "full" else EVIDENCE_SHORT,
            mixture=self._settings.mixture,
        )

    def _partitions(self, question: Question) -> list[int]:
        """The partitions of the subjects; none while it is unknown how many the log has."""
        count = self._log_partitions
        return sorted({partition_of(one.encode(), count) for one in question.subjects}) if count else []

    def _new_id(self, now: datetime) -> str:
        return recommendation_id(new_event_id(int(now.timestamp() * 1_000), self._random(10)))

    def _keep(self, list_id: str, answer: bytes) -> None:
        if at := served_at(list_id):
            self._served.keep(ServedList(list_id, at, answer))

    def _count(self, rendered: Rendered, degraded: Marker | None) -> None:
        self._metrics.inc(SERVED, rendered.strategy, rendered.outcome)
        if degraded:
            self._metrics.inc(DEGRADED_ANSWERS, degraded)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._metrics.observe(STAGE_DURATION, time.perf_counter() - started, stage)
