"""
A candidate's client on a socket of its own: the server's time, the attempt's end, and what the client has to
act on (spec.md P-4). Nothing of risk, events or staff comes here.

One loop a process asks what has changed for any client, and reads the state of those that are connected here,
many with one statement; a socket asks nothing. A client is always told the whole state: who missed one, or
takes them slowly, gets the newest.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated, Final

import asyncpg
import msgspec
import structlog
from aiohttp import WSMsgType, web
from msgspec import UNSET, Meta, UnsetType

from core_api.actors import ALLOWANCES, actor_of
from core_api.database import POOL, Connection, Pool, connection, system_connection
from core_api.proctoring import actions
from core_api.proctoring.sockets import FAREWELL_S, End, Ending, EndMessage, socket_for, talk
from core_api.wire import session_id_in_path
from kernel.commands import Command
from kernel.errors import (
    DomainError,
    NotAuthenticatedError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    UnavailableError,
    UpgradeRequiredError,
)
from kernel.events import LANGUAGES, SessionStatus
from kernel.http.fields import language
from kernel.http.origins import CLAIMS
from kernel.http.web import SETTINGS
from kernel.revocation import REVOCATIONS, Revocations
from kernel.running.runtime import CLIENT_SOCKETS
from kernel.running.tasks import WATCH
from kernel.settings import Settings
from kernel.tokens import Claims
from sql import named

log = structlog.get_logger(__name__)

QUERIES: Final = named("live")
TURN_S: Final = 0.5
CHECK_S: Final = 1.0
READ_MAX: Final = 500  # sessions whose state one statement reads
SOCKETS_OF_SESSION_MAX: Final = 5
UNREAD: Final = 'Say {"confirm": 17}, with the id of a command, or {}.'


class ClientState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a client has to know now; `commands` come until each is confirmed."""

    server_time: datetime
    ends_at: datetime
    status: SessionStatus
    is_paused: bool
    commands: list[Command]


class ClientSays(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What a client may say: that it has acted on a command. `{}` asks for the state again."""

    confirm: Annotated[int, Meta(ge=1, le=2**53)] | UnsetType = UNSET


class Refused(msgspec.Struct, frozen=True, rename="camel"):
    """Why something that the client said was not done."""

    code: str
    detail: str


class StateMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="state"):
    """At once, whenever something changes, and when the client asks."""

    data: ClientState


class ConfirmedMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="confirmed"):
    """The client's confirmation of a command counts."""

    data: actions.Confirmed


class RefusedMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="refused"):
    """What the client said was not done."""

    data: Refused


ClientMessage = StateMessage | ConfirmedMessage | RefusedMessage | EndMessage


class Connect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a client connects."""

    ticket: Annotated[str, Meta(description="In place of the Authorization header.")] | None = None


REFUSES: Final[dict[type[DomainError], str]] = {
    NotFoundError: "The session is not the caller's.",
    RateLimitedError: "The session has as many sockets as it may.",
    OverloadedError: "Too many are connected.",
    UpgradeRequiredError: "",
}
_says: Final = msgspec.json.Decoder(ClientSays)


class Seat:
    """One socket: whose session, and the newest state that was not sent yet."""

    def __init__(self, session_id: int, claims: Claims, tongue: str, abort: Callable[[], None]) -> None:
        self.session_id = session_id
        self.claims = claims
        self.tongue = tongue
        self.ending: Ending | None = None
        self.latest: ClientState | None = None
        self.some = asyncio.Event()
        self._abort = abort

    def put(self, state: ClientState) -> None:
        """Let the newest state be sent, in place of an older one."""
        self.latest = state
        self.some.set()

    def end(self, ending: Ending) -> None:
        """End the conversation; who does not take the last word is cut off."""
        if self.ending is None:
            self.ending = ending
            self.some.set()
            asyncio.get_running_loop().call_later(FAREWELL_S, self._abort)


class Clients:
    """The candidates' sockets of this process."""

    def __init__(self, pool: Pool, revocations: Revocations, settings: Settings) -> None:
        self._pool = pool
        self._revocations = revocations
        self._settings = settings
        self._seats: dict[int, set[Seat]] = defaultdict(set)
        self._asking: set[int] = set()  # sessions whose state is read in the next turn, changed or not
        self._count = 0
        self._position: str | None = None
        self._some = asyncio.Event()
        self._stopping = False

    @asynccontextmanager
    async def seat(self, seat: Seat) -> AsyncIterator[None]:
        """
        Keep a socket told while the block runs.

        Raises:
            OverloadedError: as many are connected as may, or the process stops.
            RateLimitedError: the session has as many sockets as it may.
        """
        if self._stopping or self._count >= self._settings.client_sockets_max:
            raise OverloadedError("Too many are connected; nothing was done.", retry_after_s=5)
        if len(self._seats.get(seat.session_id, ())) >= SOCKETS_OF_SESSION_MAX:
            raise RateLimitedError("The session has as many sockets as it may.", retry_after_s=5)
        self._count += 1
        self._seats[seat.session_id].add(seat)
        self.ask(seat.session_id)
        CLIENT_SOCKETS.set(self._count)
        try:
            yield
        finally:
            self._count -= 1
            self._seats[seat.session_id].discard(seat)
            if not self._seats[seat.session_id]:
                del self._seats[seat.session_id]
            CLIENT_SOCKETS.set(self._count)

    def ask(self, session_id: int) -> None:
        """Let a session's state be told in the next turn."""
        self._asking.add(session_id)
        self._some.set()

    async def work(self) -> None:
        """Tell clients what changes, for ever."""
        checked = 0.0
        while True:
            await self._some.wait()
            now = asyncio.get_running_loop().time()
            try:
                if now - checked >= CHECK_S:
                    checked = now
                    self.check(datetime.now(UTC))
                await self.turn()
            except (UnavailableError, asyncpg.PostgresError) as error:
                log.warning("clients_not_told", error=error)
            if not self._count:
                self._position = None
                self._some.clear()
            await asyncio.sleep(TURN_S)

    async def turn(self) -> None:
        """Read what has changed once, and the states of those who are here; raises UnavailableError."""
        asked, self._asking = self._asking, set()
        try:
            async with system_connection(self._pool) as conn:
                row = await conn.fetchrow(QUERIES["read_client_changes"], self._position)
                assert row is not None, "it is one row, whatever has changed"
                wanted = sorted(self._seats.keys() & {*asked, *(row["session_ids"] or ())})
                for start in range(0, len(wanted), READ_MAX):
                    await self._tell(conn, wanted[start : start + READ_MAX])
        except BaseException:
            self._asking |= asked
            raise
        self._position = row["position"]

    async def _tell(self, conn: Connection, session_ids: list[int]) -> None:
        """Read the states of some sessions, and put them to their sockets."""
        states = await conn.fetch(QUERIES["list_client_states"], session_ids)
        commands, now = await actions.open_commands(conn, session_ids), datetime.now(UTC)
        for state in states:
            waiting = commands.get(state["id"], [])
            for seat in self._seats.get(state["id"], ()):
                seat.put(
                    ClientState(
                        server_time=now,
                        ends_at=state["expires_at"],
                        status=state["status"],
                        is_paused=state["is_paused"],
                        commands=[each.shown(seat.tongue) for each in waiting],
                    )
                )

    def check(self, now: datetime) -> None:
        """End the sockets of those who were signed out."""
        for seat in [each for some in self._seats.values() for each in some]:
            try:
                self._revocations.check(seat.claims)
            except NotAuthenticatedError:
                seat.end(Ending.signed_out)
            if (seat.claims.until or seat.claims.exp) <= now.timestamp():
                seat.end(Ending.signed_out)

    def stop(self) -> None:
        """End all sockets, and take no new ones."""
        self._stopping = True
        for seat in [each for some in self._seats.values() for each in some]:
            seat.end(Ending.stopping)


CLIENTS: Final = web.AppKey("clients", Clients)


async def keep_clients(app: web.Application) -> AsyncIterator[None]:
    """Tell clients what changes while the application runs; after the pool and the revocations."""
    app[CLIENTS] = clients = Clients(app[POOL], app[REVOCATIONS], app[SETTINGS])
    async with app[WATCH].kept(("clients", clients.work)):
        yield


async def end_clients(app: web.Application) -> None:
    """End all sockets before the server waits for what is under way."""
    app[CLIENTS].stop()


async def socket(request: web.Request) -> web.StreamResponse:
    """
    Tell a candidate's client the time, the attempt's end and what it has to do, as messages of a WebSocket.

    Each is a JSON text `{"event": "state", "data": {…}}`: first at once, then whenever something changes:
    `serverTime`, `endsAt`, `status`, `isPaused`, and the `commands` that wait to be confirmed, as
    `list_commands` has them. The client says `{"confirm": 17}` when it has acted on a command, and gets
    `confirmed` or `refused`; `{}` asks for the state again. With the session's end the socket closes (1000).
    """
    actor, session_id, transport = actor_of(request), session_id_in_path(request), request.transport
    async with connection(request.app[POOL], actor) as conn:
        await actions.require_own(conn, actor, session_id)
    ws = socket_for(request)
    tongue = language(request.headers.get("Accept-Language", ""), LANGUAGES)
    seat = Seat(session_id, request[CLAIMS], tongue, lambda: None if transport is None else transport.abort())
    async with request.app[CLIENTS].seat(seat):
        await ws.prepare(request)
        with suppress(ConnectionResetError):
            await talk(_send(ws, seat), _listen(request, ws, seat))
        ending = seat.ending
        await ws.close(code=1000 if ending is None else ending.close_code)
    return ws


async def _send(ws: web.WebSocketResponse, seat: Seat) -> None:
    while not ws.closed:
        await seat.some.wait()
        seat.some.clear()
        state, seat.latest = seat.latest, None
        if state is not None:
            await _say(ws, "state", state)
            if state.status != SessionStatus.Active:
                return
        if seat.ending is not None:
            await _say(ws, "end", End(code=seat.ending.code, detail=seat.ending.sentence))
            return


async def _listen(request: web.Request, ws: web.WebSocketResponse, seat: Seat) -> None:
    async for message in ws:
        if message.type is not WSMsgType.TEXT:
            return
        try:
            request.app[ALLOWANCES].spend(seat.claims)
            said = _says.decode(message.data)
            if said.confirm is UNSET:
                request.app[CLIENTS].ask(seat.session_id)
                continue
            async with connection(request.app[POOL], actor_of(request)) as conn:
                done = await actions.confirm(
                    conn, actor_of(request), seat.session_id, said.confirm, now=datetime.now(UTC)
                )
            await _say(ws, "confirmed", done)
        except msgspec.MsgspecError:
            await _say(ws, "refused", Refused("malformed", UNREAD))
        except DomainError as error:
            await _say(ws, "refused", Refused(error.code, error.detail))


async def _say(ws: web.WebSocketResponse, event: str, data: msgspec.Struct) -> None:
    await ws.send_str(f'{{"event":"{event}","data":{msgspec.json.encode(data).decode()}}}')
