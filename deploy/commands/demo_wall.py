"""
The demo's proctor: watches the exam over a WebSocket while it runs, and says whose score rises into which
band.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final
from uuid import UUID

import aiohttp
import orjson
from rich.console import Console

from kernel.running.tasks import cancel
from loadtests.client.stack import Stack

PATH: Final = "/api/proctor/live/exam/{exam_id}/socket"
MESSAGE_BYTES_MAX: Final = 16 << 20
SHOWN_OF_A_BAND: Final = 3
COLOURS: Final = {"Medium": "yellow", "High": "dark_orange", "Critical": "red"}


class Wall:
    """Every session of the exam as it was last told, by its id; `changes` counts what was told of them."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.sessions: dict[int, dict[str, Any]] = {}
        self.changes = 0
        self._say = say
        self._began = monotonic()
        self._shown: Counter[str] = Counter()
        self._risen = asyncio.Event()

    def take(self, told: dict[str, Any]) -> None:
        """Take in a message, and say which scores have risen into a band that few have been in."""
        for session in told["data"].get("sessions", ()):
            number = session["proctorSessionId"]
            before = self.sessions.get(number)
            self.sessions[number] = session
            if told["event"] == "delta":
                self.changes += 1
                self._tell(before, session)

    def _tell(self, before: dict[str, Any] | None, session: dict[str, Any]) -> None:
        was, level = None if before is None else before["riskLevel"], session["riskLevel"]
        if level == was or level not in COLOURS:
            return
        self._risen.set()
        self._shown[level] += 1
        if self._shown[level] <= SHOWN_OF_A_BAND:
            scored = 0.0 if before is None else before["peakRiskScore"] or 0.0
            self._say(
                f"[dim]{monotonic() - self._began:4.0f} s[/dim]  {session['candidateName']}  "
                f"risk {scored:g} → {session['peakRiskScore']:g}  [{COLOURS[level]}]{level}[/]"
            )

    async def shows(self, number: int, level: str, within_s: float) -> bool:
        """Wait until a session's score has been in a band; False where that does not come in time."""
        deadline = monotonic() + within_s
        while (self.sessions.get(number) or {}).get("riskLevel") != level:
            self._risen.clear()
            try:
                await asyncio.wait_for(self._risen.wait(), deadline - monotonic())
            except TimeoutError:
                return False
        return True

    @property
    def caption(self) -> str:
        """Return how much was told, and of whom the highest score."""
        scored = [each for each in self.sessions.values() if each["peakRiskScore"]]
        if not scored:
            return f"proctor: {self.changes:,} changes told"
        top = max(scored, key=lambda each: each["peakRiskScore"])
        return (
            f"proctor: {self.changes:,} changes told, {len(scored)} candidates scored, highest "
            f"{top['candidateName']} with {top['peakRiskScore']:g}"
        )


@asynccontextmanager
async def proctor(
    http: aiohttp.ClientSession, stack: Stack, token: str, exam_id: UUID, console: Console
) -> AsyncIterator[Wall]:
    """Watch an exam while the block runs."""
    wall = Wall(console.print)

    async def watch() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        url = stack.url + PATH.format(exam_id=exam_id)
        async with http.ws_connect(url, headers=headers, max_msg_size=MESSAGE_BYTES_MAX) as socket:
            async for message in socket:
                wall.take(orjson.loads(message.data))

    watching = asyncio.create_task(watch())
    try:
        yield wall
    finally:
        await cancel([watching])
