"""
Read a session through from PostgreSQL when Redis does not have it.

Only what is absent is set, and only for the epoch that was open before PostgreSQL was read: rows are complete
as of that epoch, because it opened after the stream before it had been drained into them.
"""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog

from ingest.contents import Content, content_of_letter, microseconds
from ingest.epochs import Epochs
from ingest.link import RedisLink
from ingest.stream import function, session_key, shard_key, shard_of
from kernel.errors import NotFoundError
from kernel.postgres import ACQUIRE_S, AWAY, nothing_done
from sql import named

log = structlog.get_logger(__name__)
# Longer than any late window: an ended session's state in Redis goes by itself after that.
ENDED_KEPT_S = 86_400
ATTEMPTS_REMEMBERED_MAX = 200_000


def _us(when: datetime | None) -> str:
    return "" if when is None else str(round(when.timestamp() * 1_000_000))


def restore_arguments(epoch: int, row: asyncpg.Record | dict[str, Any]) -> list[str | int]:
    """Return the arguments of the `restore` function for a row of `read_session`."""
    arguments: list[str | int] = [
        epoch,
        row["status"],
        str(row["candidate_id"]),
        str(row["organisation_id"]),
        row["through_seq"],
        _us(row["last_event_at"] or row["started_at"]),
        row["total_violations"],
        "" if row["clock_offset_us"] is None else row["clock_offset_us"],
        _us(row["ended_at"]),
        "1" if row["is_final"] else "",
        ENDED_KEPT_S,
        _us(row["last_heartbeat_at"] or row["started_at"]),
        str(row["exam_id"]),
    ]
    for client, received in zip(row["clients"], row["received"], strict=True):
        arguments += [client, ranges_of_multirange(received)]
    return arguments


def ranges_of_multirange(text: str) -> str:
    """Return `1-50,71-90` from PostgreSQL's `{[1,51),[71,91)}`."""
    pairs = (part.strip("[()]").split(",") for part in text.strip("{}").split("),") if part)
    return ",".join(f"{low}-{int(high) - 1}" for low, high in pairs)


class Placed(msgspec.Struct, frozen=True):
    """
    Where a received event is, and what it says; `content` is None of what was refused and settled.

    `at_us` is negative where the event was late, as the append function has it.
    """

    seq: int
    at_us: int
    content: Content | None


def _placed(row: asyncpg.Record) -> Placed:
    if row["seq"] is None:
        content = None
    elif row["letter"] is not None:
        content = content_of_letter(row["letter"])
    else:
        content = Content(
            row["event_type"],
            row["event_name"],
            row["severity"],
            microseconds(row["client_at"]),
            row["payload"],
        )
    at_us = microseconds(row["occurred_at"])
    return Placed(row["seq"] or 0, -at_us if row["is_late"] else at_us, content)


class Sessions:
    """The way from a session or an attempt to Redis, through PostgreSQL where needed."""

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", link: RedisLink, epochs: Epochs, shards: int
    ) -> None:
        """Remember what to ask."""
        self._pool = pool
        self._link = link
        self._epochs = epochs
        self._shards = shards
        self._underway: dict[int, asyncio.Task[None]] = {}
        self._of_attempt: dict[UUID, int] = {}

    async def restore(self, session_id: int) -> None:
        """
        Make the session known to Redis; several callers at once share one read.

        Raises:
            NotFoundError: there is no such session.
            UnavailableError: PostgreSQL or the stream is away.
        """
        task = self._underway.get(session_id)
        if task is None:
            task = asyncio.create_task(self._restore(session_id))
            self._underway[session_id] = task
            task.add_done_callback(lambda _: self._underway.pop(session_id, None))
        await asyncio.shield(task)

    async def _restore(self, session_id: int) -> None:
        shard = shard_of(session_id, self._shards)
        epoch = self._epochs.of(
            shard
        )  # before the read: rows are complete as of this epoch, not of a later one
        row = await self._read("read_session", session_id)
        if row is None:
            raise NotFoundError("There is no such proctor session.")
        await self._link.call(
            epoch.incarnation,
            b"FCALL",
            function("restore"),
            2,
            session_key(shard, session_id),
            shard_key(shard),
            *restore_arguments(epoch.number, row),
        )

    async def of_attempt(
        self, attempt_id: UUID, organisation: str, candidate: str, *, may_open: bool, anew: bool = False
    ) -> int:
        """
        Return the proctor session of an attempt; one is opened, as strict as its policy, where it has none.

        Args:
            attempt_id: whose session.
            organisation: the sender's; a session is opened within it only.
            candidate: the sender where that is a candidate, empty for a service.
            may_open: whether the sender may open one; who is bound to an exam may not, for nothing here says
                which exam the attempt is of.
            anew: look again, for the one that was known has ended.

        Raises:
            NotFoundError: there is no such attempt, it is not proctored, or it has ended without a session.
        """
        known = self._of_attempt.get(attempt_id)
        if known is not None and not anew:
            return known
        row = await self._read("find_session_of_attempt", attempt_id)
        if row is None and may_open:
            sender = UUID(candidate) if candidate else None
            row = await self._read("open_session_of_attempt", attempt_id, UUID(organisation), sender)
        if row is None or row["id"] is None:
            raise NotFoundError("There is no such attempt.")
        if len(self._of_attempt) >= ATTEMPTS_REMEMBERED_MAX:
            self._of_attempt.clear()
        self._of_attempt[attempt_id] = row["id"]
        return int(row["id"])

    async def locate(self, session_id: int, client: int, ranges: list[list[int]]) -> dict[int, Placed]:
        """
        Return what is stored of a client in these ranges of clientSequence, by number.

        The work is in proportion to the ranges, not to the session.
        """
        lows, highs = [low for low, _ in ranges], [high for _, high in ranges]
        rows = await self._rows("locate_events", session_id, client, lows, highs)
        return {row["client_seq"]: _placed(row) for row in rows}

    async def _read(self, statement: str, *arguments: object) -> asyncpg.Record | None:
        rows = await self._rows(statement, *arguments)
        return rows[0] if rows else None

    async def _rows(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Return a statement's rows; raises UnavailableError: each of them may be run again at any time."""
        try:
            async with self._pool.acquire(timeout=ACQUIRE_S) as conn:
                return await conn.fetch(named("ingest")[statement], *arguments)
        except AWAY as error:
            log.warning("session_not_read", error=error)
            raise nothing_done() from error
