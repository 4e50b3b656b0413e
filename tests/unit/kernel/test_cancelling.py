import asyncio

import pytest

from kernel.running.tasks import cancel


async def test_whoever_is_cancelled_while_it_waits_for_what_it_cancelled_is_cancelled() -> None:
    slow, asked = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            asked.set()
            await slow.wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(cancel([task]))
    await asked.wait()
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    slow.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_a_task_failed_with_is_raised_and_its_end_is_not() -> None:
    async def fails() -> None:
        raise ValueError("broken")

    broken, fine = asyncio.create_task(fails()), asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)

    with pytest.raises(ValueError, match="broken"):
        await cancel([fine, broken])  # type: ignore[list-item]  # its result is passed over
    assert fine.cancelled()
    await cancel([])
