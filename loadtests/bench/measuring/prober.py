"""
Accept to queryable: marked events beside the load, looked for in PostgreSQL by session and sequence.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

import aiohttp
import asyncpg

from loadtests.bench.measuring.stack import BenchError
from loadtests.bench.sending.wire import Target
from loadtests.sample import BULK, wire_events
from sql import named

BENCH: Final = named("bench")
SEND_EVERY_S: Final = 0.1
LOOK_EVERY_S: Final = 0.01  # more often, and the looking itself is load


class Prober:
    """
    Sends an event every 100 ms to its own sessions in turn, and looks every 10 ms for those not found yet.

    Attributes:
        accepted: events acknowledged, by session.
        delays_ms: from the 202 to the first look that found the event.
    """

    def __init__(self, port: int, targets: list[Target], instance: str) -> None:
        """Remember where; `instance` names the client instance, whose clientSequence starts at 1."""
        self._instance = instance
        self._url = f"http://127.0.0.1:{port}/api/proctor/event"
        self._targets = targets
        self._is_sending = True
        self._outstanding: dict[tuple[int, int], float] = {}
        self.accepted: dict[int, int] = {int(target.key): 0 for target in targets}
        self.delays_ms: list[float] = []

    async def run(self, database_url: str, seconds: float) -> None:
        """Probe for so long, then until the last event was found; raises BenchError when one is refused."""
        async with (
            asyncpg.create_pool(database_url, min_size=1, max_size=1) as pool,
            aiohttp.ClientSession() as http,
        ):
            looking = asyncio.create_task(self._look(pool))
            started = time.monotonic()
            for number in range(int(seconds / SEND_EVERY_S)):
                await asyncio.sleep(started + number * SEND_EVERY_S - time.monotonic())
                await self._send(http, number)
            self._is_sending = False
            await looking

    async def _send(self, http: aiohttp.ClientSession, number: int) -> None:
        target = self._targets[number % len(self._targets)]
        session = int(target.key)
        body = wire_events(datetime.now(UTC))[number % BULK] | {
            "proctorSessionId": session,
            "clientInstance": self._instance,
            "clientSequence": self.accepted[session] + 1,
        }
        headers = {"Authorization": f"Bearer {target.token}"}
        async with http.post(self._url, json=body, headers=headers) as response:
            reply = await response.json()
        if response.status != 202:
            raise BenchError(f"a probe was answered {response.status}: {reply}")
        self.accepted[session] += 1
        self._outstanding[session, reply["data"]["sequenceNumber"]] = time.monotonic()

    async def _look(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        while self._is_sending or self._outstanding:
            if self._outstanding:
                sessions, sequences = zip(*self._outstanding, strict=True)
                found = await pool.fetch(BENCH["find_events"], sessions, sequences)
                now = time.monotonic()
                self.delays_ms += [(now - self._outstanding.pop(tuple(key))) * 1000 for key in found]
            await asyncio.sleep(LOOK_EVERY_S)
