"""Group commit: who is written with whom, and what each caller learns."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import pytest

from whence.domain.errors import BrokenInvariant, DependencyUnavailable, OutcomeUnknown
from whence.eventlog import group_commit
from whence.eventlog.group_commit import GroupCommit
from whence.eventlog.port import NewRecord

PATIENCE_SECONDS = 60.0
SOON_SECONDS = 0.05


class Writer:
    """Writes when told to, and remembers what it was given."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.gate = asyncio.Event()
        self.errors: list[Exception] = []
        self._next = 0

    async def __call__(self, records: Sequence[NewRecord]) -> list[int]:
        self.groups.append([record.value for record in records])
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        self._next += len(records)
        return list(range(self._next - len(records), self._next))


def records(*values: str) -> list[NewRecord]:
    return [NewRecord(0, b"k", value.encode()) for value in values]


def with_commits(
    story: Callable[[GroupCommit, Writer], Awaitable[None]], timeout_seconds: float = PATIENCE_SECONDS
) -> None:
    async def run() -> None:
        writer = Writer()
        commits = GroupCommit("log", writer, timeout_seconds)
        try:
            await story(commits, writer)
        finally:
            writer.gate.set()
            await commits.close()

    asyncio.run(run())


async def started(*appends: Coroutine[Any, Any, list[int]]) -> list[asyncio.Task[list[int]]]:
    """The appends as tasks that have reached the queue."""
    tasks = [asyncio.create_task(append) for append in appends]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


def test_what_comes_during_a_write_shares_the_next_one() -> None:
    async def story(commits: GroupCommit, writer: Writer) -> None:
        (first,) = await started(commits.append(records("a")))
        others = await started(commits.append(records("b", "c")), commits.append(records("d")))
        writer.gate.set()
        assert [await task for task in [first, *others]] == [[0], [1, 2], [3]]
        assert writer.groups == [[b"a"], [b"b", b"c", b"d"]]

    with_commits(story)


def test_a_group_is_bounded_and_keeps_calls_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_GROUP_RECORDS", 3)

    async def story(commits: GroupCommit, writer: Writer) -> None:
        tasks = await started(*(commits.append(records(*pair)) for pair in ["ab", "cd", "e", "f"]))
        writer.gate.set()
        await asyncio.gather(*tasks)
        assert writer.groups == [[b"a", b"b"], [b"c", b"d", b"e"], [b"f"]]

    with_commits(story)


def test_a_group_is_bounded_by_bytes_but_never_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_GROUP_BYTES", 4)

    async def story(commits: GroupCommit, writer: Writer) -> None:
        tasks = await started(*(commits.append(records(value)) for value in ["larger than all", "x", "y", "z"]))
        writer.gate.set()
        await asyncio.gather(*tasks)
        assert writer.groups == [[b"larger than all"], [b"x", b"y"], [b"z"]]

    with_commits(story)


@pytest.mark.parametrize(("limit", "bound"), [("MAX_QUEUED_RECORDS", 2), ("MAX_QUEUED_BYTES", 4)])
def test_a_full_queue_refuses_and_takes_again_when_it_has_emptied(
    monkeypatch: pytest.MonkeyPatch, limit: str, bound: int
) -> None:
    monkeypatch.setattr(group_commit, limit, bound)

    async def story(commits: GroupCommit, writer: Writer) -> None:
        under_way = await started(commits.append(records("a")))
        waiting = await started(commits.append(records("b")), commits.append(records("c")))
        with pytest.raises(DependencyUnavailable, match="too many") as full:
            await commits.append(records("d"))
        assert not isinstance(full.value, OutcomeUnknown)
        writer.gate.set()
        await asyncio.gather(*under_way, *waiting)
        assert await commits.append(records("e")) == [3]

    with_commits(story)


def test_time_up_before_its_turn_means_that_nothing_happened() -> None:
    async def story(commits: GroupCommit, writer: Writer) -> None:
        under_way, waiting = await started(commits.append(records("a")), commits.append(records("b")))
        with pytest.raises(OutcomeUnknown):
            await under_way
        with pytest.raises(DependencyUnavailable) as late:
            await waiting
        assert not isinstance(late.value, OutcomeUnknown)
        writer.gate.set()
        assert await commits.append(records("c")) == [1]
        assert writer.groups == [[b"a"], [b"c"]], "who has been told that nothing happened is not written later"

    with_commits(_separate_groups(story), SOON_SECONDS)


def _separate_groups(
    story: Callable[[GroupCommit, Writer], Awaitable[None]],
) -> Callable[[GroupCommit, Writer], Awaitable[None]]:
    async def run(commits: GroupCommit, writer: Writer) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(group_commit, "MAX_GROUP_RECORDS", 1)
            await story(commits, writer)

    return run


def test_a_callers_departure_takes_its_records_along() -> None:
    async def story(commits: GroupCommit, writer: Writer) -> None:
        under_way = await started(commits.append(records("a")))
        leaver, other = await started(commits.append(records("b")), commits.append(records("c")))
        leaver.cancel()
        writer.gate.set()
        await asyncio.gather(*under_way, other)
        assert writer.groups == [[b"a"], [b"c"]]

    with_commits(story)


def test_a_failed_write_is_told_to_its_callers_only() -> None:
    async def story(commits: GroupCommit, writer: Writer) -> None:
        writer.errors = [DependencyUnavailable("log", "down")]
        (failing,) = await started(commits.append(records("a")))
        fine = await started(commits.append(records("b")))
        writer.gate.set()
        with pytest.raises(DependencyUnavailable, match="down"):
            await failing
        assert await asyncio.gather(*fine) == [[0]]

    with_commits(story)


def test_a_surprise_in_the_writer_reaches_the_caller_and_does_not_stop_the_writer() -> None:
    async def story(commits: GroupCommit, writer: Writer) -> None:
        writer.errors = [ZeroDivisionError("surprise")]
        writer.gate.set()
        with pytest.raises(BrokenInvariant, match="surprise"):
            await commits.append(records("a"))
        assert await commits.append(records("b")) == [0]

    with_commits(story)


def test_close_writes_what_waits_and_refuses_what_comes() -> None:
    async def story(commits: GroupCommit, writer: Writer) -> None:
        tasks = await started(commits.append(records("a")), commits.append(records("b")))
        closing = asyncio.ensure_future(commits.close())
        await asyncio.sleep(0)
        with pytest.raises(DependencyUnavailable, match="closing"):
            await commits.append(records("c"))
        writer.gate.set()
        await closing
        assert [task.result() for task in tasks] == [[0], [1]]

    with_commits(story)
