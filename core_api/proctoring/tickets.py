"""
Tickets: what opens a stream or a socket where no header can carry a token, because a browser's `EventSource`
and `WebSocket` set none. Good for one address and a minute; what it opened lasts as the sign-in does.
"""

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from core_api.actors import Actor
from core_api.database import Connection
from core_api.exams import exams
from core_api.proctoring import actions
from kernel.http.web import API_PREFIX
from kernel.settings import Settings
from kernel.tokens import Claims, Keyring, ticket_claims


class Ticket(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A ticket, for `?ticket=` of the addresses that it opens; until when it does."""

    ticket: str
    expires_at: datetime


async def create_for_exam(
    conn: Connection,
    actor: Actor,
    exam_id: UUID,
    *,
    claims: Claims,
    keyring: Keyring,
    settings: Settings,
    now: datetime,
) -> Ticket:
    """Return a ticket for watching an exam; raises NotFoundError when the caller may not see it."""
    await exams.require_visible(conn, actor, exam_id)
    return signed(claims, f"{API_PREFIX}/proctor/live/exam/{exam_id}", keyring, settings, now=now)


async def create_for_session(
    conn: Connection,
    actor: Actor,
    session_id: int,
    *,
    claims: Claims,
    keyring: Keyring,
    settings: Settings,
    now: datetime,
) -> Ticket:
    """Return a ticket for the socket of the caller's session; raises NotFoundError when it is not theirs."""
    await actions.require_own(conn, actor, session_id)
    return signed(claims, f"{API_PREFIX}/proctor/session/{session_id}/socket", keyring, settings, now=now)


def signed(claims: Claims, opens: str, keyring: Keyring, settings: Settings, *, now: datetime) -> Ticket:
    """Return a ticket for an address, out of the token that somebody came with."""
    ticket = ticket_claims(claims, opens, now=now, life_s=settings.stream_ticket_s)
    return Ticket(ticket=keyring.sign(ticket), expires_at=datetime.fromtimestamp(ticket.exp, UTC))
