"""
Read a session through from PostgreSQL when Redis does not have it.

Only what is absent is set, and only for the epoch that was open before PostgreSQL was read: rows are complete
as of that epoch, because it opened after the stream before it had been drained into them.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from time import monotonic
from uuid import UUID

import asyncpg
import msgspec
import structlog

from ingest.admission.contents import Content, content_of_letter, microseconds
from ingest.appending.epochs import Epochs
from ingest.stream import calls
from ingest.stream.link import RedisLink
from ingest.stream.protocol import shard_of
from kernel.errors import NotFoundError, RateLimitedError, UnavailableError
from kernel.meter import Meter
from kernel.postgres import ACQUIRE_S, AWAY, nothing_done
from sql import named

log = structlog.get_logger(__name__)
ATTEMPTS_REMEMBERED_MAX = 200_000
READ_AT_ONCE_MAX = 1_000  # sessions in one statement
SCORE_S = 1.0  # a heartbeat waits no longer for a number


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
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        link: RedisLink,
        epochs: Epochs,
        shards: int,
        unknown: Meter,
    ) -> None:
        """Remember what to ask; `unknown` counts what a sender asked for and there is not."""
        self._pool = pool
        self._link = link
        self._epochs = epochs
        self._shards = shards
        self._unknown = unknown
        self._underway: dict[int, asyncio.Task[None]] = {}
        self._wanted: set[int] = set()
        self._reading: asyncio.Task[dict[int, asyncpg.Record]] | None = None
        self._of_attempt: dict[UUID, int] = {}

    async def restore(self, session_id: int, account: str) -> None:
        """
        Make the session known to Redis; several callers at once share one read.

        Args:
            session_id: which.
            account: whoever asks for it.

        Raises:
            NotFoundError: there is no such session.
            RateLimitedError: the account has asked for too much that there is not.
            UnavailableError: PostgreSQL or the stream is away.
        """
        self._unknown.check(account, monotonic())
        task = self._underway.get(session_id)
        if task is None:
            task = asyncio.create_task(self._restore(session_id))
            self._underway[session_id] = task
            task.add_done_callback(lambda _: self._underway.pop(session_id, None))
        try:
            await asyncio.shield(task)
        except NotFoundError:
            self.miss(account)
            raise

    def miss(self, account: str) -> None:
        """Count a session that is not there for the account; raises RateLimitedError: there were too many."""
        self._unknown.charge(account, 1, monotonic())

    async def _restore(self, session_id: int) -> None:
        shard = shard_of(session_id, self._shards)
        # Before the read: rows are complete as of this epoch, not of a later one.
        epoch = self._epochs.of(shard)
        row = await self.read(session_id)
        if row is None:
            raise NotFoundError("There is no such proctor session.")
        await self._link.call(epoch.incarnation, b"FCALL", *calls.restore(shard, epoch.number, dict(row)))

    async def read(self, session_id: int) -> asyncpg.Record | None:
        """
        Return a session's row; who asks while a connection is waited for is read with the others.

        Raises:
            UnavailableError: PostgreSQL is away.
        """
        if self._reading is None or len(self._wanted) >= READ_AT_ONCE_MAX:
            self._wanted = set()
            self._reading = asyncio.create_task(self._read_wanted(self._wanted))
        self._wanted.add(session_id)
        return (await asyncio.shield(self._reading)).get(session_id)

    async def _read_wanted(self, wanted: set[int]) -> dict[int, asyncpg.Record]:
        """
        Read what is wanted by the time that a connection is free.

        So a crowd waits for one statement, and not each of it for a connection of its own.
        """
        try:
            async with self._borrowed() as conn:
                self._close(wanted)
                rows = await conn.fetch(named("ingest")["read_sessions"], list(wanted))
        finally:
            self._close(wanted)
        return {row["id"]: row for row in rows}

    def _close(self, wanted: set[int]) -> None:
        """Let nobody join these any more."""
        if self._wanted is wanted:
            self._reading = None

    async def of_attempts(
        self,
        attempts: Collection[UUID],
        organisation: str,
        candidate: str,
        *,
        account: str,
        may_open: bool,
        anew: bool = False,
    ) -> dict[UUID, int]:
        """
        Return the proctor sessions of attempts, with one statement for all that are not known yet.

        One is opened, as strict as its attempt's policy, where there is none. What there is not, which is not
        proctored, or has ended without a session, has no place in the answer.

        Args:
            attempts: whose sessions.
            organisation: the sender's; a session is opened within it only.
            candidate: the sender where that is a candidate, empty for a service.
            account: whose share of questions is used up.
            may_open: whether the sender may open one; who is bound to an exam may not, for nothing here says
                which exam the attempt is of.
            anew: look again, for the one that was known has ended.

        Raises:
            RateLimitedError: the sender has asked for too many attempts that there are not.
        """
        known = (
            {} if anew else {each: self._of_attempt[each] for each in attempts if each in self._of_attempt}
        )
        asked = set(attempts).difference(known)
        if not asked:
            return known
        self._unknown.check(account, monotonic())
        sender = UUID(candidate) if candidate else None
        rows = await self._rows(
            "find_sessions_of_attempts", list(asked), UUID(organisation), sender, may_open
        )
        found = {row["attempt_id"]: int(row["id"]) for row in rows if row["id"] is not None}
        with suppress(RateLimitedError):  # the next one is refused; this one was looked up
            self._unknown.charge(account, len(asked) - len(found), monotonic())
        if len(self._of_attempt) + len(found) > ATTEMPTS_REMEMBERED_MAX:
            self._of_attempt.clear()
        self._of_attempt |= found
        return known | found

    async def of_attempt(
        self,
        attempt: UUID,
        organisation: str,
        candidate: str,
        *,
        account: str,
        may_open: bool,
        anew: bool = False,
    ) -> int:
        """Return the session of one attempt as `of_attempts` does; raises NotFoundError where it has none."""
        found = await self.of_attempts(
            [attempt], organisation, candidate, account=account, may_open=may_open, anew=anew
        )
        if attempt not in found:
            raise NotFoundError("There is no such attempt.")
        return found[attempt]

    async def locate(self, session_id: int, client: int, ranges: list[list[int]]) -> dict[int, Placed]:
        """
        Return what is stored of a client in these ranges of clientSequence, by number.

        The work is in proportion to the ranges, not to the session.
        """
        lows, highs = [low for low, _ in ranges], [high for _, high in ranges]
        rows = await self._rows("locate_events", session_id, client, lows, highs)
        return {row["client_seq"]: _placed(row) for row in rows}

    async def confirm(self, session_id: int, commands: list[int]) -> None:
        """
        Note that a client has confirmed commands of its session, whose candidate it was found to be.

        Where PostgreSQL is away nothing is noted: they go on coming, and the client confirms them again.
        """
        with suppress(UnavailableError):
            await self._rows("confirm_commands", session_id, commands)

    async def score(self, session_id: int) -> float | None:
        """
        Return a session's score as it was last computed, for its candidate where they are shown it.

        None while there is none, or where PostgreSQL does not tell it at once.
        """
        with suppress(UnavailableError, TimeoutError):
            async with asyncio.timeout(SCORE_S):
                (row,) = await self._rows("read_score", session_id)
                score: float | None = row["score"]
                return score
        return None

    async def _rows(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        async with self._borrowed() as conn:
            return await conn.fetch(named("ingest")[statement], *arguments)

    @asynccontextmanager
    async def _borrowed(self) -> "AsyncIterator[asyncpg.pool.PoolConnectionProxy[asyncpg.Record]]":
        """Lend a connection to read with; raises UnavailableError: a read may be asked for again."""
        try:
            async with self._pool.acquire(timeout=ACQUIRE_S) as conn:
                yield conn
        except AWAY as error:
            log.warning("session_not_read", error=error)
            raise nothing_done() from error
