"""Where bulk entries go: ingest, recommend, or straight to the log with ingest's own checks."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from whence.cli.bulk.delivery import Reply
from whence.cli.client import ServiceClient
from whence.domain.errors import FieldProblem, InvalidInput
from whence.domain.event_checks import check_event
from whence.domain.event_fields import EventRules
from whence.domain.events import EventTypes
from whence.domain.partition import partition_of
from whence.domain.tokens import FreshnessToken
from whence.eventlog.adapters import open_appender
from whence.eventlog.places import LogPlace
from whence.eventlog.port import NewRecord
from whence.kit.clock import SystemClock

_UNAVAILABLE = 503


class EventsToIngest:
    """Events as a named backfill through `POST /v1/events/batch`."""

    def __init__(self, client: ServiceClient, name: str) -> None:
        self._client = client
        self._path = f"/v1/events/batch?{urlencode({'backfill': name})}"

    def send(self, bodies: Sequence[bytes]) -> Reply:
        """Send one batch; see `delivery.Sender`."""
        return _reply(self._client.send("POST", self._path, b"\n".join(bodies), "application/x-ndjson"))

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


class ItemsToRecommend:
    """Items through `POST /v1/items/batch`."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def send(self, bodies: Sequence[bytes]) -> Reply:
        """Send one batch; see `delivery.Sender`."""
        body = b'{"items":[' + b",".join(bodies) + b"]}"
        return _reply(self._client.send("POST", "/v1/items/batch", body, "application/json"))

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


class EventsToLog:
    """Events as a named backfill straight into the log. For the thread that makes it."""

    def __init__(self, place: LogPlace, types: EventTypes, name: str) -> None:
        """Connect.

        Raises:
            DependencyUnavailable: If the log cannot be reached or has not been made.
        """
        self._types = types
        self._name = name
        self._clock = SystemClock()
        self._runner = asyncio.Runner()
        try:
            self._appender = self._runner.run(open_appender(place))
        except BaseException:
            self._runner.close()
            raise

    def send(self, bodies: Sequence[bytes]) -> Reply:
        """Append one batch; see `delivery.Sender`."""
        rules = EventRules(self._types, self._clock.now(), self._name)
        records: list[NewRecord] = []
        refused: dict[int, tuple[FieldProblem, ...]] = {}
        for index, body in enumerate(bodies):
            try:
                event = check_event(body, rules)
            except InvalidInput as error:
                refused[index] = tuple(error.problems)
            else:
                key = event.subject.encode()
                partition = partition_of(key, self._appender.partitions)
                records.append(NewRecord(partition, key, msgspec.json.encode(event)))
        offsets = self._runner.run(self._appender.append(records))
        return Reply(refused=refused, token=self._token(records, offsets))

    def close(self) -> None:
        """Let go of the log."""
        self._runner.run(self._appender.close())
        self._runner.close()

    def _token(self, records: Sequence[NewRecord], offsets: Sequence[int]) -> str | None:
        reached: dict[int, int] = {}
        for record, offset in zip(records, offsets, strict=True):
            reached[record.partition] = max(offset + 1, reached.get(record.partition, 0))
        return str(FreshnessToken(self._appender.log_id, reached)) if reached else None


def _reply(answer: Mapping[str, Any]) -> Reply:
    """What the answer to a batch says, entry by entry."""
    again = [result["index"] for result in answer["results"] if result["status"] == _UNAVAILABLE]
    refused = {
        result["index"]: _problems(result.get("problem") or {})
        for result in answer["results"]
        if result["status"] >= 400 and result["status"] != _UNAVAILABLE  # HTTP's errors begin there
    }
    return Reply(again, refused, answer.get("token"))


def _problems(problem: Mapping[str, Any]) -> tuple[FieldProblem, ...]:
    errors = [FieldProblem(entry["field"], entry["problem"], entry.get("limit")) for entry in problem.get("errors", [])]
    return tuple(errors) or (FieldProblem("", str(problem.get("detail") or problem.get("title") or "is refused")),)
