"""
Whose request begins next, where many come at once.

An event loop takes what is ready in the order in which it came: two hundred requests of one kind that
arrive together are all verified and decoded before a single one that came after them is looked at. In turn,
a crowd's requests begin one in each round of the loop, so that a request of another kind waits for one of
them, and not for all. Whoever is alone begins at once.
"""

import asyncio
from collections import deque
from functools import wraps

import msgspec
from aiohttp import web

from kernel.http.web import Route


class Turns:
    """Lets one caller begin in each round of the event loop; the others wait, first come first served."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False  # in this round of the loop

    async def take(self) -> None:
        """Wait until it is the caller's turn; one that is cancelled meanwhile takes nobody's."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            loop.call_soon(self._next)
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                asyncio.get_running_loop().call_soon(self._next)
                return
        self._taken = False


def in_turn(route: Route) -> Route:
    """Return the route with its requests beginning in turn: before tokens are verified and bodies decoded."""
    turns, handler = Turns(), route.handler

    @wraps(handler)
    async def begun(request: web.Request) -> web.StreamResponse:
        await turns.take()
        return await handler(request)

    return msgspec.structs.replace(route, handler=begun)
