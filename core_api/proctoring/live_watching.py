"""
Who watches an exam, and what they are sent: one bounded queue a watcher, messages that all of them share.

A position says up to where an exam is known: the time by which it was read, and PostgreSQL's snapshot. It is
the id of a message, and it means the same in every process.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Final
from uuid import UUID

import msgspec

from core_api.actors import Actor
from core_api.proctoring.sockets import FAREWELL_S, Ending
from kernel.access import Scope
from kernel.running.runtime import LIVE_DROPPED, LIVE_MESSAGES
from kernel.tokens import Claims

POSITION_CHARS_MAX: Final = 4000
_NO_XID: Final = 2**32  # a number that is a multiple of this is no transaction's
_POSITION: Final = re.compile(
    r"([0-9]{1,12})-([0-9]{1,19}):([0-9]{1,19}):((?:[0-9]{1,19}(?:,[0-9]{1,19})*)?)"
)


class Position(msgspec.Struct, frozen=True):
    """Up to where something was read: when, in seconds since 1970, and in which snapshot of PostgreSQL."""

    at: int
    snapshot: str

    def __str__(self) -> str:
        return f"{self.at}-{self.snapshot}"


def position_of(text: str | None) -> Position | None:
    """Return the position that a message's id says; None for anything else that somebody may send."""
    found = None if text is None or len(text) > POSITION_CHARS_MAX else _POSITION.fullmatch(text)
    if found is None:
        return None
    at, lowest, highest, between = found.groups()
    running = [int(each) for each in between.split(",")] if between else []
    bounds = [int(lowest), *running, int(highest)]
    rises = all(a < b for a, b in pairwise(running))
    if not (bounds[0] <= bounds[-1] < 2**63 and rises and all(each % _NO_XID for each in bounds)):
        return None
    if running and not (bounds[0] <= running[0] and running[-1] < bounds[-1]):
        return None
    return Position(int(at), f"{lowest}:{highest}:{between}")


class Message(msgspec.Struct, frozen=True, dict=True):
    """One message as every watcher of an exam gets it: `data` is its JSON, `alerts` those in it, apart."""

    event: str
    position: Position
    data: bytes
    alerts: tuple[bytes, ...] = ()

    @property
    def id(self) -> str:
        """Return what a watcher goes on from."""
        return str(self.position)

    @cached_property
    def text(self) -> bytes:
        """Return the message as sockets have it, made once for all of them."""
        return b'{"event":"%b","id":"%b","data":%b}' % (self.event.encode(), self.id.encode(), self.data)


class Watcher:
    """One watch: whose, of which exam, and what waits to be sent."""

    def __init__(
        self, actor: Actor, claims: Claims, exam_id: UUID, *, waiting_max: int, abort: Callable[[], None]
    ) -> None:
        """Watch nothing yet; `abort` breaks the connection off."""
        self.actor = actor
        self.claims = claims
        self.exam_id = exam_id
        self.ending: Ending | None = None
        self.is_here = True  # until it has left
        self._abort = abort
        self._waiting_max = waiting_max
        self._waiting: deque[Message] = deque()
        self._some = asyncio.Event()

    def has_ended(self) -> bool:
        """Tell whether the last word was said, or waits to be."""
        return self.ending is not None

    @property
    def is_granted(self) -> bool:
        """True where the exam is theirs to see by a grant, which may be taken back."""
        return self.actor.scope is not Scope.organisation

    def is_signed_in(self, now: datetime) -> bool:
        """Tell whether the sign-in that the watch began under has not expired."""
        return (self.claims.until or self.claims.exp) > now.timestamp()

    def put(self, message: Message) -> None:
        """Let a message wait; with too many the watch ends."""
        if self.ending is not None:
            return
        if len(self._waiting) >= self._waiting_max:
            LIVE_DROPPED.inc()
            self.end(Ending.slow)
            return
        LIVE_MESSAGES.inc()
        self._waiting.append(message)
        self._some.set()

    def end(self, ending: Ending) -> None:
        """End the watch: what waits is let go, and who does not take the last word is cut off."""
        if self.ending is None:
            self.ending = ending
            self._waiting.clear()
            self._some.set()
            asyncio.get_running_loop().call_later(FAREWELL_S, self._abort)

    async def next(self, within_s: float) -> Message | None:
        """Return the next message; None when none came in time, or the watch has ended."""
        if not self._waiting and self.ending is None:
            self._some.clear()
            try:
                async with asyncio.timeout(within_s):  # `wait_for` would make a task each time
                    await self._some.wait()
            except TimeoutError:
                return None
        return self._waiting.popleft() if self._waiting else None
