"""
Proctor sessions: opened with their attempt, taken up by the candidate's client, ended with the attempt
(spec.md P-1, P-2, decision 8). How an attempt is proctored says the policy that it began under (E-3), not the
client.
"""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType

from core_api.actors import Actor
from core_api.attempts import attempts
from core_api.database import Connection, fetch_one, of_row
from core_api.ledger import entries as ledger
from core_api.wire import Text200, Text1000
from kernel.errors import ConflictError
from kernel.events import HEARTBEAT_INTERVAL_S, Mode, Role, SessionStatus, Severity, SystemEvent
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from kernel.tokens import Claims, Keyring, beacon_claims
from sql import named

QUERIES: Final = named("sessions")
ATTEMPTS: Final = named("attempts")


class CreateSession(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    What a candidate's client says about itself when proctoring begins; by `mode` it may ask for more than the
    attempt's policy demands, never for less.
    """

    attempt_id: UUID
    mode: Mode | UnsetType = UNSET
    device_fingerprint: Text200 | None = None
    user_agent: Text1000 | None = None
    browser_name: Text200 | None = None
    browser_version: Text200 | None = None
    operating_system: Text200 | None = None
    screen_resolution: Text200 | None = None


class SessionStarted(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The session, and how often the client must send a heartbeat."""

    proctor_session_id: int
    attempt_id: UUID
    mode: Mode
    started_at: datetime
    heartbeat_interval_seconds: int
    message: str


class SessionReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    The session that was started, and how its client posts.

    Events and heartbeats go to `ingestUrl`, or to this very address where that is null. When a page is left,
    its last events go by `navigator.sendBeacon` with `beaconToken` in the batch, which posts to this session
    and does nothing else. It lives for half an hour at most; every heartbeat's reply has a newer one.
    """

    success: bool
    data: SessionStarted
    ingest_url: str | None
    beacon_token: str


class SessionState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a session stands after it was ended or cancelled."""

    proctor_session_id: int
    attempt_id: UUID
    mode: Mode
    mode_name: str
    status: SessionStatus
    status_name: str
    started_at: datetime
    ended_at: datetime | None


async def create(
    conn: Connection,
    actor: Actor,
    command: CreateSession,
    *,
    address: IPv4Address | IPv6Address | None,
    claims: Claims,
    keyring: Keyring,
    settings: Settings,
    ingest_url: str | None,
    now: datetime,
) -> tuple[SessionReply, bool]:
    """
    Take up the attempt's session as `take_up` does, and say where its events go and how a page that is left
    posts them.

    Raises:
        NotFoundError: the attempt is not the caller's.
        ConflictError: it is over, or its session was ended.
    """
    row, is_first = await take_up(conn, actor, command, address=address, now=now)
    beacon = beacon_claims(claims, row["id"], now=now, life_s=settings.beacon_token_s)
    started = of_row(
        row,
        SessionStarted,
        proctor_session_id=row["id"],
        heartbeat_interval_seconds=HEARTBEAT_INTERVAL_S,
        message="Proctor session started successfully",
    )
    reply = SessionReply(success=True, data=started, ingest_url=ingest_url, beacon_token=keyring.sign(beacon))
    return reply, is_first


async def take_up(
    conn: Connection,
    actor: Actor,
    command: CreateSession,
    *,
    address: IPv4Address | IPv6Address | None,
    now: datetime,
) -> tuple[asyncpg.Record, bool]:
    """
    Take up the attempt's session; return its row, and whether this is the first time.

    What is unknown of the client is filled in, now and whenever it says more; what is known stays, and each
    fill is on the ledger. A client that asks for more than the policy demands makes the session that waits
    for it stricter, or opens another one beside the one that a client has taken up.

    The lock on the attempt keeps it from being finalised meanwhile. Looking before inserting keeps retries
    from using up the bounded identity.

    Raises:
        NotFoundError: the attempt is not the caller's.
        ConflictError: the attempt is over or not proctored, or the session has ended.
    """
    client = Client(
        device_fingerprint=command.device_fingerprint,
        user_agent=command.user_agent,
        browser_name=command.browser_name,
        browser_version=command.browser_version,
        operating_system=command.operating_system,
        screen_resolution=command.screen_resolution,
        ip_address=address,
    )
    async with conn.transaction():
        own = (command.attempt_id, actor.user_id)
        attempt = await fetch_one(conn, "attempt", ATTEMPTS["hold_own_attempt"], *own)
        if not attempts.is_running(attempt["status"], attempt["expires_at"], now):
            raise ConflictError("Proctoring cannot start: the attempt is not in progress.")
        mode = mode_of(command.mode, attempt["monitoring_mode"])
        wanted = (command.attempt_id, mode)
        row = await conn.fetchrow(QUERIES["hold_session_to_take_up"], *wanted)
        if row is None:
            row = await QUERIES.run(
                conn.fetchrow,
                "insert_session",
                attempt_id=command.attempt_id,
                exam_id=attempt["exam_id"],
                candidate_id=actor.user_id,
                organisation=actor.organisation_id,
                mode=mode,
                started_at=now,
                **msgspec.structs.asdict(client),
            )
            if row is not None:
                await _note_client(conn, actor, row, client.known(), Kind.session_started, now=now)
                return row, True
            row = await conn.fetchrow(QUERIES["hold_session_to_take_up"], *wanted)
        assert row is not None, "an insert that met a conflict waited for the other one's commit"
        if row["status"] != SessionStatus.Active:
            raise ConflictError("The proctor session of this attempt has ended.")
        is_first = row["taken_up_at"] is None
        filled = [name for name in client.known() if row[name] is None]
        if mode > row["mode"]:
            await conn.execute(QUERIES["make_session_stricter"], row["id"], mode)
        if is_first or filled:
            row = await QUERIES.run(
                conn.fetchrow, "take_up_session", id=row["id"], at=now, **msgspec.structs.asdict(client)
            )
            assert row is not None, "the lock keeps it there"
            kind = Kind.session_started if is_first else Kind.session_updated
            await _note_client(conn, actor, row, filled, kind, now=now)
    return row, is_first


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """What a client says about itself, by the names of the statements' parameters; None is unknown."""

    device_fingerprint: str | None
    user_agent: str | None
    browser_name: str | None
    browser_version: str | None
    operating_system: str | None
    screen_resolution: str | None
    ip_address: IPv4Address | IPv6Address | None

    def known(self) -> list[str]:
        """Return the names of what it says."""
        return [name for name, value in msgspec.structs.asdict(self).items() if value is not None]


async def _note_client(
    conn: Connection, actor: Actor, row: asyncpg.Record, filled: list[str], kind: str, *, now: datetime
) -> None:
    """Record that a client took the session up, or said more: what is known now, never its values."""
    detail = {"attempt_id": str(row["attempt_id"]), "mode": row["mode"], "filled": filled}
    await ledger.record(
        conn, ledger.by(actor, kind, row["id"], now=now, subject_id=actor.user_id, detail=detail)
    )


def mode_of(asked: Mode | UnsetType, demanded: int | None) -> Mode:
    """
    Return how an attempt is proctored: the stricter of what its policy demands and what the client asks for.

    Args:
        asked: UNSET leaves it to the policy.
        demanded: the policy's `monitoring_mode`; 0 is none, None is an attempt older than policies.

    Raises:
        ConflictError: the policy has no monitoring: nothing may be gathered about this candidate.
    """
    if demanded == 0:
        raise ConflictError("Proctoring cannot start: the attempt is not proctored.")
    return Mode(max(Mode.Soft if asked is UNSET else asked, demanded or Mode.Soft))


async def end(conn: Connection, actor: Actor, session_id: int, *, now: datetime) -> SessionState:
    """
    Complete the session; one that was completed before is returned as it is.

    It belongs to the attempt: while that runs, a candidate's request leaves the session active and becomes an
    event of severity 3. Staff end it at any time: the attempt then goes on unwatched, by their decision.

    Raises:
        NotFoundError: unknown, or not the caller's.
        ConflictError: it was cancelled before.
    """
    async with conn.transaction():
        row = await _hold(conn, actor, session_id)
        runs = attempts.is_running(row["attempt_status"], row["expires_at"], now)
        if actor.role is Role.student and runs and row["status"] == SessionStatus.Active:
            await conn.execute(
                QUERIES["insert_notice"], session_id, SystemEvent.session_end_requested, Severity.High, now
            )
            return _state(row)
    return await _close(conn, actor, session_id, SessionStatus.Completed, now=now)


def said_of_end(state: SessionState) -> str:
    """Return what an end is answered with."""
    if state.status == SessionStatus.Active:
        return "Noted; the session ends with the attempt"
    return "Proctor session ended"


async def cancel(conn: Connection, actor: Actor, session_id: int, *, now: datetime) -> SessionState:
    """
    Cancel the session; one that was cancelled before is returned as it is.

    Raises:
        NotFoundError: unknown, or not the caller's.
        ConflictError: it was completed before.
    """
    return await _close(conn, actor, session_id, SessionStatus.Cancelled, now=now)


async def _close(
    conn: Connection, actor: Actor, session_id: int, status: SessionStatus, *, now: datetime
) -> SessionState:
    """
    Move an active session to its final status.

    Raises:
        NotFoundError: unknown, or not the caller's.
        ConflictError: it ended the other way before.
    """
    async with conn.transaction():
        row = await _hold(conn, actor, session_id)
        if row["status"] == SessionStatus.Active:
            candidate_id = row["candidate_id"]
            closed = await conn.fetchrow(QUERIES["close_session"], session_id, status, now)
            assert closed is not None, "the lock keeps the row as it was found"
            row = closed
            kind = Kind.session_cancelled if status is SessionStatus.Cancelled else Kind.session_ended
            await ledger.record(conn, ledger.by(actor, kind, session_id, now=now, subject_id=candidate_id))
    if row["status"] != status:
        raise ConflictError(f"The proctor session is {SessionStatus(row['status']).name.lower()} already.")
    return _state(row)


async def _hold(conn: Connection, actor: Actor, session_id: int) -> asyncpg.Record:
    """Lock a session and return its row with its attempt's; raises NotFoundError when it is not theirs."""
    return await fetch_one(
        conn, "proctor session", *QUERIES.bind("hold_session", id=session_id, **actor.reach)
    )


def _state(row: asyncpg.Record) -> SessionState:
    return of_row(
        row,
        SessionState,
        proctor_session_id=row["id"],
        mode_name=Mode(row["mode"]).name,
        status_name=SessionStatus(row["status"]).name,
    )
