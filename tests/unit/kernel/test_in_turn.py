"""Requests of one kind that come at once do not all begin before one of another kind (spec.md D-3)."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.http.in_turn import Turns


@settings(max_examples=50)
@given(crowd=st.integers(1, 60), leaving=st.sets(st.integers(0, 59)))
def test_a_crowd_begins_one_in_each_round(crowd: int, leaving: set[int]) -> None:
    """Each begins once, in order, one in a round; who left meanwhile holds up nobody."""
    begun: list[tuple[int, int]] = []

    async def day() -> None:
        loop, turns, rounds = asyncio.get_running_loop(), Turns(), 0
        ended = False

        def count() -> None:
            nonlocal rounds
            rounds += 1
            if not ended:
                loop.call_soon(count)

        async def one(number: int) -> None:
            await turns.take()
            begun.append((number, rounds))

        loop.call_soon(count)
        tasks = [asyncio.create_task(one(each)) for each in range(crowd)]
        await asyncio.sleep(0)
        for each in leaving:
            if each < crowd:
                tasks[each].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        ended = True

    asyncio.run(day())
    numbers, rounds = [each for each, _ in begun], [each for _, each in begun]
    assert numbers == [0, *(each for each in range(1, crowd) if each not in leaving)]
    assert len(set(rounds)) == len(rounds)
    assert len(rounds) == 1 or rounds[-1] - rounds[0] <= crowd


def test_somebody_else_waits_for_one_of_a_crowd() -> None:
    """A request that comes last begins after one of the 200 that came before it, not after all."""
    order: list[str] = []

    async def day() -> None:
        crowd, others = Turns(), Turns()

        async def one(turns: Turns, name: str) -> None:
            await turns.take()
            order.append(name)

        async with asyncio.TaskGroup() as group:
            for _ in range(200):
                group.create_task(one(crowd, "crowd"))
            group.create_task(one(others, "other"))

    asyncio.run(day())
    assert order.index("other") <= 1
    assert order.count("crowd") == 200
