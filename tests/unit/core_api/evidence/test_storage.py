"""How many may send evidence at once, and what the others are told (spec.md V-1)."""

import asyncio
from pathlib import Path

import pytest

from core_api.evidence.storage import STORED_AT_ONCE, Storage
from kernel.errors import OverloadedError
from kernel.settings import Settings


async def test_whoever_would_wait_behind_too_many_is_told_to_come_again_v1(tmp_path: Path) -> None:
    storage = Storage(
        Settings(
            evidence_store=str(tmp_path), evidence_cold_store=str(tmp_path / "cold"), evidence_waiting_max=2
        )
    )
    is_over, served = asyncio.Event(), 0

    async def wait_for_it() -> None:
        nonlocal served
        async with storage.storing():
            await is_over.wait()
            served += 1

    waiting = [asyncio.create_task(wait_for_it()) for _ in range(STORED_AT_ONCE + 2)]
    given_up = asyncio.create_task(wait_for_it())
    await asyncio.sleep(0)  # all of them are begun
    with pytest.raises(OverloadedError):
        await given_up
    waiting.pop().cancel()  # who goes away frees their place
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(wait_for_it()))
    is_over.set()
    await asyncio.gather(*waiting)

    assert served == STORED_AT_ONCE + 2
    storage.close()
