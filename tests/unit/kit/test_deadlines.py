"""Waits end in time, by one timer for all."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from whence.kit.deadlines import Deadlines

FAR = 3_600.0


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 60))


def in_seconds(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_wait_gives_what_it_waits_for() -> None:
    async def go() -> None:
        deadlines = Deadlines()
        assert await deadlines.wait(asyncio.sleep(0, "result"), in_seconds(FAR)) == "result"
        with pytest.raises(KeyError):
            await deadlines.wait(_raises(), in_seconds(FAR))

    run(go())


async def _raises() -> None:
    raise KeyError


def test_a_wait_ends_at_its_deadline_whatever_the_order() -> None:
    async def go() -> None:
        deadlines = Deadlines()
        ended: list[float] = []

        async def wait(seconds: float) -> None:
            at = in_seconds(seconds)
            with pytest.raises(TimeoutError):
                await deadlines.wait(forever(), at)
            assert asyncio.get_running_loop().time() >= at
            ended.append(seconds)

        await asyncio.gather(*(wait(seconds) for seconds in (0.3, 0.01, 0.15, 0.0)))
        assert ended == [0.0, 0.01, 0.15, 0.3]

    run(go())


def test_a_task_can_wait_again_after_it_timed_out() -> None:
    async def go() -> None:
        deadlines = Deadlines()
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await deadlines.wait(forever(), in_seconds(0.01))
        assert await deadlines.wait(asyncio.sleep(0.01, "well"), in_seconds(FAR)) == "well"

    run(go())


def test_a_task_that_others_cancel_is_cancelled() -> None:
    async def go() -> None:
        deadlines = Deadlines()
        task = asyncio.create_task(deadlines.wait(forever(), in_seconds(FAR)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(go())
