"""
P's SignalR hub over the same feed: `JoinExamMonitoring`, `LeaveExamMonitoring`, and `EventAlert` to who has
joined (proctor-module.txt, "Real-Time WebSocket Updates").

It speaks the JSON protocol over a WebSocket, and no more of it than that takes
(github.com/dotnet/aspnetcore, src/SignalR/docs/specs). A client negotiates with its access token, and is sent
on with a ticket: an address never holds a token that is good for anything else.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import uuid_utils
from aiohttp import WSMsgType, web
from msgspec import UNSET, UnsetType

from core_api.actors import ALLOWANCES, KEYRING, actor_of
from core_api.ledger.viewings import VIEWS
from core_api.proctoring.live_streams import LIVE, watching
from core_api.proctoring.live_watching import Watcher
from core_api.proctoring.sockets import Ending, socket_for, talk
from core_api.proctoring.tickets import signed
from kernel.errors import DomainError, InvalidInputError
from kernel.http.origins import CLAIMS
from kernel.http.web import SETTINGS, send_json
from kernel.tokens import Audience

SEPARATOR: Final = "\x1e"  # ends each message
HANDSHAKE_S: Final = 15.0
PING_S: Final = 10.0  # a client takes half a minute of silence for the end
EXAMS_MAX: Final = 20  # that one connection watches
INVOCATION, COMPLETION, PING, CLOSE = 1, 3, 6, 7


class Handshake(msgspec.Struct, frozen=True):
    """What a client begins with."""

    protocol: str
    version: int


class Incoming(msgspec.Struct, frozen=True, rename="camel"):
    """Any message of a client; other kinds than these two need no answer."""

    type: int
    target: str = ""
    arguments: list[Any] = []
    invocation_id: str | UnsetType = UNSET


class Transport(msgspec.Struct, frozen=True, rename="camel"):
    """How one may connect."""

    transport: Literal["WebSockets"]
    transfer_formats: list[Literal["Text"]]


class Negotiated(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where and how to connect: with an access token somewhere else, by a ticket; with that, here."""

    negotiate_version: Literal[1] | UnsetType = UNSET
    connection_id: str | UnsetType = UNSET
    connection_token: str | UnsetType = UNSET
    available_transports: list[Transport] | UnsetType = UNSET
    url: str | UnsetType = UNSET
    access_token: str | UnsetType = UNSET


_incoming: Final = msgspec.json.Decoder(Incoming)
_handshake: Final = msgspec.json.Decoder(Handshake)


async def negotiate(request: web.Request) -> web.Response:
    """
    Say how a SignalR client connects to the hub: by WebSocket, with a ticket that the first reply gives.

    The hub's methods are `JoinExamMonitoring(examId)` and `LeaveExamMonitoring(examId)`. Whoever has joined
    gets `EventAlert(event)`: an event of severity 4 or 5, or the latest one of a session whose peak score
    rose into a higher band.
    """
    claims, hub = request[CLAIMS], request.path.removesuffix("/negotiate")
    if claims.aud is not Audience.ticket:
        now = datetime.now(UTC)
        ticket = signed(claims, hub, request.app[KEYRING], request.app[SETTINGS], now=now)
        return send_json(
            Negotiated(url=f"{_scheme(request)}://{request.host}{hub}", access_token=ticket.ticket)
        )
    ident = str(uuid_utils.uuid4())
    return send_json(
        Negotiated(
            negotiate_version=1,
            connection_id=ident,
            connection_token=ident,
            available_transports=[Transport(transport="WebSockets", transfer_formats=["Text"])],
        )
    )


def _scheme(request: web.Request) -> str:
    """Return the scheme by which the asker reaches us, which a page of ours knows better than we."""
    origin = urlsplit(request.headers.get("Origin", ""))
    return origin.scheme if origin.netloc == request.host and origin.scheme else request.scheme


async def connect(request: web.Request) -> web.StreamResponse:
    """
    Speak SignalR's JSON protocol over a WebSocket: see `negotiate_proctor_hub`, which clients call first.

    Each message is JSON, and ends with the character U+001E. The client begins with
    `{"protocol": "json", "version": 1}`, and is answered `{}`, or `{"error": "…"}` and the end. Then it sends

    - `{"type": 1, "target": "JoinExamMonitoring", "arguments": ["<examId>"], "invocationId": "1"}`, and
      `LeaveExamMonitoring` alike; without an `invocationId` nothing is answered;
    - `{"type": 6}`, a ping, or `{"type": 7}`, that it leaves; what else there is of the protocol is passed
      over;

    and is sent

    - `{"type": 3, "invocationId": "1", "result": null}` once that is done, or with `"error": "…"` in place of
      the result;
    - `{"type": 1, "target": "EventAlert", "arguments": [{…}]}`, with a `LiveAlert`, as in the messages of
      `open_live_socket`;
    - `{"type": 6}` every ten seconds;
    - `{"type": 7, "error": "…", "allowReconnect": true}` before the end: it came too slowly, or the service
      stops; with false, it was signed out, or may not see an exam any more, or was not understood.
    """
    ws = socket_for(request)
    await ws.prepare(request)
    hub = _Connection(request, ws)
    with suppress(ConnectionResetError, TimeoutError):
        if await hub.agree():
            await talk(hub.listen(), hub.ping())
    await hub.leave_all()
    await ws.close()
    return ws


class _Connection:
    """One client of the hub, and the exams that it has joined."""

    def __init__(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        self._request = request
        self._ws = ws
        self._exams: dict[UUID, asyncio.Task[None]] = {}

    async def agree(self) -> bool:
        """Take the handshake; False where the client speaks another protocol, which it is told."""
        async with asyncio.timeout(HANDSHAKE_S):
            message = await self._ws.receive()
        text = message.data if message.type is WSMsgType.TEXT else ""
        try:
            asked = _handshake.decode(text.partition(SEPARATOR)[0])
        except msgspec.MsgspecError:
            asked = Handshake(protocol="", version=0)
        if (asked.protocol, asked.version) != ("json", 1):
            await self._say({"error": "This hub speaks version 1 of the protocol json."})
            return False
        await self._say({})
        return True

    async def listen(self) -> None:
        """Do what the client asks for, until it closes or says what nobody understands."""
        async for message in self._messages():
            if message.type == CLOSE:
                return
            if message.type == INVOCATION:
                await self._invoke(message)

    async def _messages(self) -> AsyncIterator[Incoming]:
        async for frame in self._ws:
            if frame.type is not WSMsgType.TEXT:
                return
            for text in frame.data.split(SEPARATOR)[:-1]:
                try:
                    yield _incoming.decode(text)
                except msgspec.MsgspecError:
                    await self.close("A message cannot be read.")
                    return

    async def _invoke(self, message: Incoming) -> None:
        answer: dict[str, Any] = {"type": COMPLETION, "invocationId": message.invocation_id}
        try:
            self._request.app[ALLOWANCES].spend(self._request[CLAIMS])
            await self._call(message.target, message.arguments)
            answer["result"] = None
        except DomainError as error:
            answer["error"] = error.detail
        if message.invocation_id is not UNSET:
            await self._say(answer)

    async def _call(self, target: str, arguments: list[Any]) -> None:
        try:
            exam_id = UUID(*arguments)
        except (TypeError, ValueError, AttributeError) as error:
            raise InvalidInputError("Expected the id of an exam.") from error
        match target:
            case "JoinExamMonitoring":
                await self._join(exam_id)
            case "LeaveExamMonitoring":
                await self._leave(exam_id)
            case _:
                raise InvalidInputError("The hub has JoinExamMonitoring and LeaveExamMonitoring.")

    async def _join(self, exam_id: UUID) -> None:
        if exam_id in self._exams:
            return
        if len(self._exams) >= EXAMS_MAX:
            raise InvalidInputError(f"One connection watches at most {EXAMS_MAX} exams.")
        joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._exams[exam_id] = asyncio.ensure_future(self._watch(exam_id, joined))
        try:
            await joined
        except DomainError:
            del self._exams[exam_id]
            raise

    async def _leave(self, exam_id: UUID) -> None:
        if (task := self._exams.pop(exam_id, None)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def leave_all(self) -> None:
        """Watch nothing any more."""
        for exam_id in list(self._exams):
            await self._leave(exam_id)

    async def _watch(self, exam_id: UUID, joined: "asyncio.Future[None]") -> None:
        actor, views = actor_of(self._request), self._request.app[VIEWS]
        try:
            async with watching(self._request, exam_id, None) as watcher:
                views.note(actor, LIVE.noun, str(exam_id), now=datetime.now(UTC))
                joined.set_result(None)
                await self._alert(watcher)
        except Exception as error:
            if joined.done():
                raise
            joined.set_exception(error)

    async def _alert(self, watcher: Watcher) -> None:
        """Tell what alerts, until the watch ends; with it ends the connection."""
        while watcher.ending is None:
            message = await watcher.next(PING_S)
            for alert in () if message is None else message.alerts:
                told = {"type": INVOCATION, "target": "EventAlert", "arguments": [msgspec.Raw(alert)]}
                await self._say(told)
        comes_back = watcher.ending in {Ending.slow, Ending.stopping, Ending.unsure}
        await self.close(watcher.ending.sentence, comes_back=comes_back)

    async def ping(self) -> None:
        """Say now and then that the connection is alive."""
        while not self._ws.closed:
            await asyncio.sleep(PING_S)
            await self._say({"type": PING})

    async def close(self, why: str, *, comes_back: bool = False) -> None:
        """Close, and say why, and whether the client shall connect again."""
        await self._say({"type": CLOSE, "error": why, "allowReconnect": comes_back})
        await self._ws.close()

    async def _say(self, message: dict[str, Any]) -> None:
        await self._ws.send_str(msgspec.json.encode(message).decode() + SEPARATOR)
