"""The loader's alarm: when it rings, and that a moment set anew replaces the one before."""

import asyncio
import time
from pathlib import Path

from loadtests.bench.sending.alarm import GAP_S, Alarm
from tests.kits.ingest.waiting import until

OPEN_FILES = Path("/proc/self/fd")


async def moments_of(count: int, step_s: float) -> list[float]:
    """Set the alarm `count` times in a row, `step_s` apart; return how late it rang each time, in s."""
    late: list[float] = []
    done = asyncio.get_running_loop().create_future()
    due = time.monotonic() + step_s

    def ring() -> None:
        nonlocal due
        late.append(time.monotonic() - due)
        due = time.monotonic() + step_s
        if len(late) < count:
            alarm.set(due)
        elif not done.done():
            done.set_result(None)

    alarm = Alarm(ring)
    alarm.set(due)
    await done
    alarm.close()
    return late


async def test_it_never_rings_early_and_often_within_a_millisecond() -> None:
    late = sorted(await moments_of(200, 0.003))

    assert late[0] >= 0
    assert late[len(late) // 20] < 0.001  # a crowded machine makes the rest of them wait


async def test_a_moment_that_has_passed_rings_after_the_gap() -> None:
    started = time.monotonic()
    rung = asyncio.get_running_loop().create_future()
    alarm = Alarm(lambda: rung.set_result(time.monotonic()))
    alarm.set(started - 5)

    assert await rung - started >= GAP_S
    alarm.close()


async def test_a_moment_set_anew_replaces_the_one_before() -> None:
    rung: list[float] = []
    alarm = Alarm(lambda: rung.append(time.monotonic()))
    started = time.monotonic()
    alarm.set(started + 0.02)
    alarm.set(started + 0.06)
    await until(lambda: bool(rung), "the ring")
    await asyncio.sleep(0.1)
    alarm.close()

    assert len(rung) == 1
    assert rung[0] >= started + 0.06


def open_files() -> int:
    return len(list(OPEN_FILES.iterdir()))


async def test_a_closed_one_is_silent_and_gives_its_file_back() -> None:
    files = open_files()
    rung: list[float] = []
    alarm = Alarm(lambda: rung.append(time.monotonic()))
    alarm.set(time.monotonic() + 0.01)
    alarm.close()
    await asyncio.sleep(0.05)

    assert rung == []
    assert open_files() == files
