"""Delivery: order within a key, patience, and what is told when patience ends."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from whence.cli.bulk import delivery
from whence.cli.bulk.delivery import Delivery, Reply, Tally
from whence.cli.bulk.entries import BadRow, Entry
from whence.domain.errors import DependencyUnavailable, FieldProblem, InvalidInput

Answer = Callable[[Sequence[bytes]], Reply]


class Service:
    """Remembers what each lane sent, and answers as told."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or (lambda bodies: Reply())
        self.taken: list[bytes] = []
        self.batches: list[list[bytes]] = []
        self.closed = 0
        self._lock = threading.Lock()

    def sender(self) -> "Service":
        return self

    def send(self, bodies: Sequence[bytes]) -> Reply:
        with self._lock:
            self.batches.append(list(bodies))
            reply = self.answer(bodies)
            gone = {*reply.again, *reply.refused}
            self.taken += [body for index, body in enumerate(bodies) if index not in gone]
            return reply

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(delivery, "LONGEST_PAUSE_SECONDS", 0.002)
    monkeypatch.setattr(delivery, "BATCH_ENTRIES", 10)


def entries(count: int, keys: int = 7) -> list[Entry]:
    return [Entry(number + 1, b"%d:%d" % (number % keys, number), number % keys) for number in range(count)]


def deliver(service: Service, some: Iterable[Entry], lanes: int = 3, patience_seconds: float = 60.0) -> Tally:
    return deliver_to(service.sender, some, lanes, patience_seconds)


def deliver_to(
    sender: Callable[[], Service], some: Iterable[Entry], lanes: int = 2, patience_seconds: float = 60.0
) -> Tally:
    tally = Tally()
    with Delivery(lanes, sender, tally, patience_seconds) as lanes_open:
        for entry in some:
            lanes_open.put(entry)
    return tally


def test_everything_arrives_once_and_in_order_within_a_key() -> None:
    service = Service()
    tally = deliver(service, entries(1_003))
    assert tally.accepted == len(service.taken) == len(set(service.taken)) == 1_003
    for key in range(7):
        numbers = [int(body.split(b":")[1]) for body in service.taken if body.startswith(b"%d:" % key)]
        assert numbers == sorted(numbers)
    assert max(map(len, service.batches)) <= 10
    assert service.closed == 3


def test_batches_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "BATCH_BYTES", 100)
    service = Service()
    deliver(service, [Entry(number, b"x" * 60, 0) for number in range(5)], lanes=1)
    assert list(map(len, service.batches)) == [1] * 5


def test_a_service_that_is_away_for_a_while_gets_the_same_batch_again() -> None:
    failures = [DependencyUnavailable("ingest", "away")] * 5

    def answer(bodies: Sequence[bytes]) -> Reply:
        if failures:
            raise failures.pop()
        return Reply()

    service = Service(answer)
    tally = deliver(service, entries(25), lanes=1)
    assert tally.accepted == 25
    assert service.batches[:6] == [service.batches[0]] * 6
    assert service.taken == [entry.body for entry in entries(25)]


def test_only_what_was_not_taken_is_sent_again() -> None:
    replies = [Reply(again=[1, 3])]
    service = Service(lambda bodies: replies.pop() if replies else Reply())
    tally = deliver(service, entries(5), lanes=1)
    assert tally.accepted == 5
    bodies = [entry.body for entry in entries(5)]
    assert service.batches == [bodies, [bodies[1], bodies[3]]]


def test_refused_rows_are_reported_by_their_number() -> None:
    problem = FieldProblem("quantity", "must be above 0", 0)
    service = Service(lambda bodies: Reply(refused={2: (problem,)}, token="9f3c2a10.0:9"))
    tally = deliver(service, entries(5), lanes=1)
    assert (tally.accepted, tally.rejected) == (4, 1)
    assert tally.bad_rows == [BadRow(3, (problem,))]


def test_the_token_covers_all_batches() -> None:
    tokens = ["9f3c2a10.0:9,1:4", "9f3c2a10.0:7,2:1"]
    service = Service(lambda bodies: Reply(token=tokens.pop(0)))
    assert deliver(service, entries(20), lanes=1).token() == "9f3c2a10.0:9,1:4,2:1"
    assert Tally().token() is None


def test_patience_ends_with_the_services_own_words() -> None:
    def away(bodies: Sequence[bytes]) -> Reply:
        raise DependencyUnavailable("ingest", "still away")

    with pytest.raises(DependencyUnavailable, match="still away"):
        deliver(Service(away), entries(500), patience_seconds=0.01)


def test_patience_ends_when_nothing_is_taken_ever() -> None:
    with pytest.raises(DependencyUnavailable, match="takes nothing"):
        deliver(Service(lambda bodies: Reply(again=range(len(bodies)))), entries(5), patience_seconds=0.01)


def test_a_refusal_of_the_whole_ends_the_delivery() -> None:
    def refuse(bodies: Sequence[bytes]) -> Reply:
        raise InvalidInput([FieldProblem("", "send an API key")])

    with pytest.raises(InvalidInput, match="API key"):
        deliver(Service(refuse), entries(500))


def test_a_sender_that_cannot_be_made_ends_the_delivery() -> None:
    def broken() -> Service:
        raise DependencyUnavailable("postgresql", "no log")

    with pytest.raises(DependencyUnavailable, match="no log"):
        deliver_to(broken, entries(500))


def failing_reader() -> Iterator[Entry]:
    yield from entries(7)
    raise ZeroDivisionError


def test_an_error_of_the_reader_stops_the_lanes() -> None:
    service = Service()
    with pytest.raises(ZeroDivisionError):
        deliver_to(service.sender, failing_reader())
    assert service.closed == 2
