"""
What staff did in a session, and what of it the client still has to confirm (spec.md P-4).

A command stays open until its candidate's client confirms it. It comes with the replies of ingest, which the
writer's sweep tells of it, and to whoever asks here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, of_row, page_of
from core_api.proctoring.session_views import require_visible
from core_api.wire import LIMIT_DEFAULT, SEQUENCE_63_MAX, Limit, Paging
from kernel.commands import COMMANDS_MAX, TOLD, Command, OpenCommand, SessionAction
from sql import named

QUERIES: Final = named("actions")


class Confirmed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A command that its client has confirmed, and when it first did."""

    id: int
    proctor_session_id: int
    confirmed_at: datetime


class SessionActed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    Something that staff did in a session. `actedBy` is null where the system did: a pause had lasted as long
    as it may.

    `isCommand`: the client had to confirm it. `toldAt` is since when its replies carry it, `confirmedAt`
    when it first confirmed; null: not yet. `text` is what the candidate read, null for a sentence of ours.
    """

    id: int
    action: SessionAction
    reason: str | None
    acted_by: UUID | None
    acted_by_name: str | None
    acted_at: datetime
    is_command: bool
    text_en: str | None
    text_ar: str | None
    expires_at: datetime | None
    paused_until: datetime | None
    told_at: datetime | None
    confirmed_at: datetime | None


class ListActions(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which of a session's actions, and which page of them."""

    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[int, Meta(ge=1, le=SEQUENCE_63_MAX, description="`nextCursor` of the page before.")] | None
    ) = None
    unconfirmed: Annotated[bool, Meta(description="Only what the client has not confirmed.")] = False


async def list_actions(
    conn: Connection, actor: Actor, session_id: int, query: ListActions
) -> tuple[list[SessionActed], Paging]:
    """Return what staff did in a session, newest first; raises NotFoundError when it is not theirs to see."""
    await require_visible(conn, actor, session_id)
    rows = await QUERIES.run(
        conn.fetch,
        "list_actions",
        session_id=session_id,
        cursor=query.cursor,
        unconfirmed=query.unconfirmed,
        limit=query.limit + 1,
    )
    page, last = page_of(rows, query.limit)
    shown = [
        of_row(row, SessionActed, is_command=TOLD[SessionAction(row["action"])].texts is not None)
        for row in page
    ]
    return shown, Paging(limit=query.limit, next_cursor=None if last is None else str(last["id"]))


async def open_commands(conn: Connection, session_ids: Sequence[int]) -> dict[int, list[OpenCommand]]:
    """Return the newest commands that wait for each session's client, oldest first; by session."""
    found: dict[int, list[OpenCommand]] = {}
    for row in await conn.fetch(QUERIES["list_open_commands"], list(session_ids), COMMANDS_MAX):
        found.setdefault(row["session_id"], []).append(of_row(row, OpenCommand))
    return found


async def list_commands(conn: Connection, actor: Actor, session_id: int, *, language: str) -> list[Command]:
    """Return what the caller's client has to act on and to confirm; raises NotFoundError: not theirs."""
    await require_own(conn, actor, session_id)
    waiting = await open_commands(conn, [session_id])
    return [each.shown(language) for each in waiting.get(session_id, [])]


async def confirm(
    conn: Connection, actor: Actor, session_id: int, command_id: int, *, now: datetime
) -> Confirmed:
    """Confirm a command, once; raises NotFoundError: it is no command of a session of the caller's."""
    await require_own(conn, actor, session_id)
    row = await fetch_one(conn, "command", QUERIES["confirm"], session_id, command_id, now)
    return of_row(row, Confirmed)


async def require_own(conn: Connection, actor: Actor, session_id: int) -> None:
    """Check that a session is the caller's; raises NotFoundError when it is not."""
    await fetch_one(conn, "proctor session", QUERIES["find_own_session"], session_id, actor.user_id)
