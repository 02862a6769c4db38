"""An exhaustive model of how a partition's position is fenced: every interleaving of two consumers, checked.

One partition with four records. A consumer is assigned the partition, reads where to start, fetches one or two records,
and applies them in one transaction with the position. The log's group may move the partition at any time, and the old
owner does not notice until it tries (a zombie); a process may crash; the answer to a commit may get lost, so that the
consumer believes it failed. Safe means: no record counts twice, and none that the position has passed is missing.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

RECORDS = 4
BATCH_SIZES = (1, 2)


class Budget(NamedTuple):
    """How often each kind of trouble may still happen: it bounds the model."""

    rebalances: int = 3
    crashes: int = 1
    lost_answers: int = 1


FULL_BUDGET = Budget()


class Worker(NamedTuple):
    """What one consumer believes.

    Attributes:
        position: Where it reads next; None while it has no partition.
        epoch: The epoch it was given with the partition.
        batch: First and end offset of what it has fetched and not applied.
        unadvertised: An offset that it has applied and not yet told the log, where the rule trusts the log.
    """

    position: int | None = None
    epoch: int = 0
    batch: tuple[int, int] | None = None
    unadvertised: int | None = None


class State(NamedTuple):
    """The database (position, epoch, counts), what the log was told, the consumers, the budget."""

    next_offset: int
    epoch: int
    counts: tuple[int, ...]
    log_offset: int
    workers: tuple[Worker, Worker]
    budget: Budget


@dataclass(frozen=True)
class Rule:
    """What the transaction compares before it writes, and what it then makes of the position.

    Attributes:
        allows: Whether a transaction of this worker may apply its batch in this state.
        moves_to: The position after it.
        trusts_log: Whether an assigned consumer starts from the offset committed to the log.
        bumps_epoch: Whether an assignment takes a new epoch.
    """

    name: str
    allows: Callable[[State, Worker], bool]
    moves_to: Callable[[int, int], int] = lambda old, end: end
    trusts_log: bool = False
    bumps_epoch: bool = False


def same_position(state: State, worker: Worker) -> bool:
    """The position is where the worker's batch begins."""
    return worker.batch is not None and state.next_offset == worker.batch[0]


def same_epoch(state: State, worker: Worker) -> bool:
    """Nobody has taken the partition since the worker did."""
    return state.epoch == worker.epoch


UNSAFE = (
    Rule("the log's offset is committed after the transaction", lambda s, w: True, trusts_log=True),
    Rule("the position is overwritten", lambda s, w: True),
    Rule("the position becomes the greatest of both", lambda s, w: True, moves_to=max),
    Rule("only where the position is below the batch's end", lambda s, w: s.next_offset < (w.batch or (0, 0))[1]),
)
SAFE = (
    Rule("compare and swap", same_position),
    Rule("epoch", same_epoch, bumps_epoch=True),
    Rule("compare and swap with epoch", lambda s, w: same_position(s, w) and same_epoch(s, w), bumps_epoch=True),
)


class Verdict(NamedTuple):
    """What the search found: the steps of the shortest violation, or None; and how many states there are."""

    violation: list[str] | None
    states: int


def check(rule: Rule, budget: Budget = FULL_BUDGET) -> Verdict:
    """Visit every state that *rule* can reach, shortest way first."""
    start = State(0, 0, (0,) * RECORDS, 0, (Worker(), Worker()), budget)
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        if broken(state):
            return Verdict(way_to(state, came_from), len(came_from))
        for step, after in steps(rule, state):
            if after not in came_from:
                came_from[after] = (state, step)
                queue.append(after)
    return Verdict(None, len(came_from))


def broken(state: State) -> bool:
    """Whether a record counts twice, or is behind the position and does not count."""
    missing = any(count == 0 for count in state.counts[: state.next_offset])
    return missing or any(count > 1 for count in state.counts)


def way_to(state: State, came_from: dict[State, tuple[State, str] | None]) -> list[str]:
    """The names of the steps that lead to a state."""
    names: list[str] = []
    while (origin := came_from[state]) is not None:
        state, step = origin
        names.append(step)
    return names[::-1]


def steps(rule: Rule, state: State) -> Iterator[tuple[str, State]]:
    """Everything that can happen next."""
    for who, worker in enumerate(state.workers):
        budget = state.budget
        if budget.rebalances:
            spent = state._replace(budget=budget._replace(rebalances=budget.rebalances - 1))
            yield f"{who} is assigned", assigned(rule, spent, who)
        if budget.crashes and worker != Worker():
            spent = state._replace(budget=budget._replace(crashes=budget.crashes - 1))
            yield f"{who} crashes", with_worker(spent, who, Worker())
        if worker.position is not None and worker.batch is None:
            yield from fetches(state, who, worker)
        if worker.batch is not None:
            yield from commits(rule, state, who, worker)
        if worker.unadvertised is not None:
            told = state._replace(log_offset=worker.unadvertised)
            yield f"{who} tells the log", with_worker(told, who, worker._replace(unadvertised=None))


def assigned(rule: Rule, state: State, who: int) -> State:
    """The worker gets the partition and reads where it stands; the other one does not hear of it."""
    epoch = state.epoch + 1 if rule.bumps_epoch else state.epoch
    position = state.log_offset if rule.trusts_log else state.next_offset
    return with_worker(state._replace(epoch=epoch), who, Worker(position, epoch))


def fetches(state: State, who: int, worker: Worker) -> Iterator[tuple[str, State]]:
    """The worker fetches the next one or two records."""
    first = worker.position or 0
    for end in sorted({min(first + size, RECORDS) for size in BATCH_SIZES}):
        if end > first:
            yield f"{who} fetches {first}..{end - 1}", with_worker(state, who, worker._replace(batch=(first, end)))


def commits(rule: Rule, state: State, who: int, worker: Worker) -> Iterator[tuple[str, State]]:
    """The worker's transaction: refused, applied, or applied with a lost answer."""
    first, end = worker.batch or (0, 0)
    if not rule.allows(state, worker):
        yield f"{who} is refused", with_worker(state, who, Worker())
        return
    counts = tuple(count + (first <= record < end) for record, count in enumerate(state.counts))
    applied = state._replace(counts=counts, next_offset=rule.moves_to(state.next_offset, end))
    unadvertised = end if rule.trusts_log else None
    yield f"{who} applies {first}..{end - 1}", with_worker(applied, who, Worker(end, worker.epoch, None, unadvertised))
    if state.budget.lost_answers:
        spent = applied._replace(budget=state.budget._replace(lost_answers=state.budget.lost_answers - 1))
        # It forgets everything and takes the partition anew, as after any error.
        yield f"{who} applies {first}..{end - 1}, the answer is lost", assigned(rule, spent, who)


def with_worker(state: State, who: int, worker: Worker) -> State:
    """The state with one worker's belief replaced."""
    workers = (worker, state.workers[1]) if who == 0 else (state.workers[0], worker)
    return state._replace(workers=workers)
