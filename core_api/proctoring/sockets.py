"""
What the sockets of watchers and of candidates' clients share: how one begins, how both ends run, why it ends.
"""

import asyncio
from collections.abc import Coroutine
from enum import Enum
from typing import Any, Final

import msgspec
from aiohttp import web

from kernel.errors import UpgradeRequiredError
from kernel.http.web import REQUEST_ID, dress

MESSAGE_BYTES_MAX: Final = 4 << 10  # of what somebody says here, which is little
HEARTBEAT_S: Final = 20.0
FAREWELL_S: Final = 2.0  # for so long one who is dropped may take the last message


class Ending(Enum):
    """Why a conversation ends from here: its code and close code on sockets, and a sentence."""

    slow = ("slow", 1013, "You take what changes too slowly; connect again with the last id.")
    signed_out = ("not_authenticated", 4401, "You were signed out, or your sign-in has expired.")
    lost = ("not_found", 4404, "You may not see this exam any more.")
    unsure = ("unavailable", 1013, "Your sign-in cannot be checked now; connect again soon.")
    stopping = ("stopping", 1012, "The service is stopping here; connect again.")

    @property
    def code(self) -> str:
        """Return the stable tag."""
        return self.value[0]

    @property
    def close_code(self) -> int:
        """Return the close code of a WebSocket."""
        return self.value[1]

    @property
    def sentence(self) -> str:
        """Return what people read."""
        return self.value[2]


class End(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """It ends from here, and why."""

    code: str
    detail: str


class EndMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="end"):
    """The last one, before the connection is closed from here."""

    data: End


def socket_for(request: web.Request) -> web.WebSocketResponse:
    """Return a request's WebSocket, not prepared yet; raises UpgradeRequiredError where it asks for none."""
    ws = web.WebSocketResponse(heartbeat=HEARTBEAT_S, compress=False, max_msg_size=MESSAGE_BYTES_MAX)
    if not ws.can_prepare(request).ok:
        raise UpgradeRequiredError("This address speaks WebSocket.", headers={"Upgrade": "websocket"})
    dress(ws, request[REQUEST_ID])
    return ws


async def talk(*sides: Coroutine[Any, Any, None]) -> None:
    """Run both sides of a conversation until one of them ends, and then end the other."""
    tasks = [asyncio.ensure_future(side) for side in sides]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    for each in found:
        if isinstance(each, Exception) and not isinstance(each, ConnectionResetError):
            raise each
