"""
What changes in the exams that are watched, read once a process, whoever watches (spec.md U-1).

One loop asks PostgreSQL what is new in all watched exams since the positions that they are known at, and puts
one message for each exam to its watchers: the sessions that have changed, as they are now, and what alerts.
Who comes gets the whole first, at the position that the next message follows; who comes back with a position
gets what has changed since, in the same turn as the others get theirs. So nobody misses or repeats anything,
in whichever process they were before. Nothing is asked while nobody watches.
"""

import asyncio
import math
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from time import monotonic
from typing import Final, Literal
from uuid import UUID

import asyncpg
import msgspec
import structlog
from aiohttp import web

from core_api.database import POOL, Connection, Pool, of_row, system_connection
from core_api.proctoring.live import QUERIES, LiveSession, shown
from core_api.proctoring.live_messages import LiveAlert
from core_api.proctoring.live_watching import Message, Position, Watcher
from core_api.proctoring.sockets import Ending
from kernel.errors import NotAuthenticatedError, OverloadedError, RateLimitedError, UnavailableError
from kernel.events import SEQUENCE_BITS, SEQUENCE_MAX, Severity, event_id, type_name
from kernel.http.web import SETTINGS
from kernel.revocation import REVOCATIONS, Revocations
from kernel.running.runtime import LIVE_LAG, LIVE_LAG_RECENT, LIVE_TURN_SECONDS, LIVE_WATCHES
from kernel.running.tasks import WATCH
from kernel.settings import Settings

log = structlog.get_logger(__name__)

CHECK_S: Final = 1.0
UNSURE_CHECKS_MAX: Final = 3  # Redis may be away for a moment: nobody is cut off for that
TRIM_S: Final = 30.0
RECENT_S: Final = 60.0
LAGS_KEPT: Final = 2_000  # more turns than a minute has
COMMIT_S: Final = 300  # longer than a transaction that changes a session can take to commit
ALERTED_WITHIN: Final = timedelta(days=1)  # what alerts happened no longer ago
_encode: Final = msgspec.json.Encoder().encode


class Feed:
    """One watched exam as this process knows it: `rows` are its running sessions, as JSON."""

    def __init__(self, exam_id: UUID) -> None:
        self.exam_id = exam_id
        self.position = Position(0, "")
        self.number = 0
        self.rows: dict[int, bytes] = {}
        self.watchers: set[Watcher] = set()
        self.guests = 0  # who watches, or is about to
        self.reading = asyncio.Lock()
        self._whole: Message | None = None

    @property
    def is_read(self) -> bool:
        """Tell whether the whole was read."""
        return self.position.at > 0

    def begin(self, rows: Sequence[asyncpg.Record], now: datetime) -> None:
        """Take in the whole, as `read_whole` gives it."""
        self.rows = {row["id"]: _encode(shown(row, now)) for row in rows if row["id"] is not None}
        self.position = Position(int(now.timestamp()), rows[0]["position"])

    def whole(self, now: datetime) -> Message:
        """Return the whole as the feed knows it, made once for all who come before the next change."""
        if self._whole is None or self._whole.position != self.position:
            head = b'{"number":%d,"serverTime":%b,"sessions":[' % (self.number, _encode(now))
            data = head + b",".join(self.rows.values()) + b"]}"
            self._whole = Message("snapshot", self.position, data)
        return self._whole

    def move(self, sessions: Iterable[LiveSession], rows: Iterable[bytes], position: Position) -> None:
        """Take in what has changed up to a position."""
        for session, row in zip(sessions, rows, strict=True):
            if session.status == 1:
                self.rows[session.proctor_session_id] = row
            else:
                self.rows.pop(session.proctor_session_id, None)
        self.position = position


class Asking(msgspec.Struct, frozen=True):
    """One who asks what has changed since a position: all of a feed's watchers, or one who comes back."""

    feed: Feed
    position: Position
    returning: Watcher | None = None


class Feeds:
    """The exams that are watched from this process."""

    def __init__(self, pool: Pool, revocations: Revocations, settings: Settings) -> None:
        self._pool = pool
        self._revocations = revocations
        self._settings = settings
        self._feeds: dict[UUID, Feed] = {}
        self._returning: list[Asking] = []
        self._of_account: Counter[UUID] = Counter()
        self._some = asyncio.Event()
        self._unsure = 0
        self._stopping = False
        self._lags: deque[tuple[float, float]] = deque(maxlen=LAGS_KEPT)  # when, and how long

    def lag_recent_s(self) -> float:
        """Return the longest lag of the last minute; NaN where nothing was told in it."""
        since = monotonic() - RECENT_S
        return max((lag_s for at, lag_s in tuple(self._lags) if at >= since), default=math.nan)

    @asynccontextmanager
    async def watch(self, watcher: Watcher, after: Position | None) -> AsyncIterator[None]:
        """
        Let somebody watch while the block runs: the whole, or what they missed, is the first message.

        Raises:
            OverloadedError: too many watch, here or this exam, or the process stops.
            RateLimitedError: the account watches too often at once.
            UnavailableError: PostgreSQL is away.
        """
        feed = self._admit(watcher)
        try:
            async with feed.reading:
                if not feed.is_read:
                    await self._begin(feed)
            now = datetime.now(UTC)
            if after is not None and after.at > now.timestamp() - self._settings.live_resume_s:
                self._returning.append(Asking(feed, after, watcher))
            else:
                watcher.put(feed.whole(now))
                feed.watchers.add(watcher)
            self._some.set()
            yield
        finally:
            self._leave(feed, watcher)

    def _admit(self, watcher: Watcher) -> Feed:
        settings, account = self._settings, watcher.actor.user_id
        if self._stopping:
            raise OverloadedError(Ending.stopping.sentence, retry_after_s=1)
        if self._of_account[account] >= settings.live_account_watches_max:
            raise RateLimitedError("You watch as often as you may at once.", retry_after_s=5)
        if self._of_account.total() >= settings.live_watches_max:
            raise OverloadedError("Too many people watch; nothing was done.", retry_after_s=5)
        feed = self._feeds.setdefault(watcher.exam_id, Feed(watcher.exam_id))
        feed.guests += 1
        self._of_account[account] += 1
        LIVE_WATCHES.set(self._of_account.total())
        return feed

    def _leave(self, feed: Feed, watcher: Watcher) -> None:
        watcher.is_here = False
        feed.watchers.discard(watcher)
        feed.guests -= 1
        if not feed.guests:
            self._feeds.pop(feed.exam_id, None)
        self._returning = [each for each in self._returning if each.returning is not watcher]
        self._of_account[watcher.actor.user_id] -= 1
        self._of_account += Counter()  # forgets who watches nothing
        LIVE_WATCHES.set(self._of_account.total())

    async def _begin(self, feed: Feed) -> None:
        async with system_connection(self._pool) as conn:
            rows = await conn.fetch(QUERIES["read_whole"], feed.exam_id, self._settings.live_sessions_max)
        feed.begin(rows, datetime.now(UTC))

    async def work(self) -> None:
        """Tell watchers what changes, for ever."""
        loop = asyncio.get_running_loop()
        checked = trimmed = -TRIM_S
        while True:
            began = loop.time()
            try:
                if began - trimmed >= TRIM_S:
                    trimmed = began
                    await self.trim(datetime.now(UTC))
                if began - checked >= CHECK_S:
                    checked = began
                    await self.check(datetime.now(UTC))
                await self.turn()
            except (UnavailableError, asyncpg.PostgresError) as error:
                log.warning("live_not_read", error=error)
                await asyncio.sleep(CHECK_S)
            took = loop.time() - began
            LIVE_TURN_SECONDS.observe(took)
            if self._feeds:
                # As long as a turn took, the loop rests at least: other requests have their half.
                await asyncio.sleep(max(self._settings.live_turn_ms / 1000 - took, took))
            else:
                self._some.clear()
                try:
                    await asyncio.wait_for(self._some.wait(), TRIM_S)
                except TimeoutError:
                    continue

    async def turn(self) -> None:
        """Read what is new once, and put it to those who watch; raises UnavailableError."""
        asking = [Asking(feed, feed.position) for feed in self._feeds.values() if feed.is_read]
        asking += self._returning
        if not asking:
            return
        async with system_connection(self._pool) as conn:
            rows = await QUERIES.run(
                conn.fetch,
                "read_changes",
                places=list(range(len(asking))),
                exams=[each.feed.exam_id for each in asking],
                positions=[each.position.snapshot for each in asking],
            )
            alerting = await self._alerting(conn, rows)
        now = datetime.now(UTC)
        for place, some in groupby(rows, itemgetter("place")):
            self._tell(asking[place], list(some), alerting, now)
        noted = [row["noted_at"] for row in rows if row["noted_at"] and not asking[row["place"]].returning]
        if noted:
            lag_s = max(0.0, (datetime.now(UTC) - min(noted)).total_seconds())
            LIVE_LAG.observe(lag_s)
            self._lags.append((monotonic(), lag_s))
        told = {each.returning for each in asking}
        self._returning = [each for each in self._returning if each.returning not in told]

    async def _alerting(self, conn: Connection, rows: Iterable[asyncpg.Record]) -> dict[int, asyncpg.Record]:
        """Return the events that alert in the changes, by their global ids."""
        wanted = {each for row in rows for each in _alerting_ids(row)}
        if not wanted:
            return {}
        ids = sorted(wanted)[-self._settings.live_alerts_max * len(self._feeds) :]
        pairs = [(each >> SEQUENCE_BITS, each & SEQUENCE_MAX) for each in ids]
        sessions, sequences = map(list, zip(*pairs, strict=True))
        since = datetime.now(UTC) - ALERTED_WITHIN
        found = await conn.fetch(QUERIES["list_alerting"], sessions, sequences, since)
        return {event_id(row["session_id"], row["seq"]): row for row in found}

    def _tell(
        self, asking: Asking, rows: list[asyncpg.Record], alerting: dict[int, asyncpg.Record], now: datetime
    ) -> None:
        """Put what has changed to those who asked; who comes back follows the feed from then on."""
        feed, watcher = asking.feed, asking.returning
        position = Position(int(now.timestamp()), rows[0]["position"])
        changed = [row for row in rows if row["id"] is not None]
        if watcher is None:
            sessions = [shown(row, now) for row in changed]
            encoded = [_encode(each) for each in sessions]
            feed.move(sessions, encoded, position)
            if changed:
                feed.number += 1
                message = self._message(feed, changed, encoded, alerting, now)
                for each in list(feed.watchers):
                    each.put(message)
            return
        if watcher.ending is None and watcher.is_here:
            if rows[0]["is_ahead"]:
                watcher.put(feed.whole(now))
            else:
                encoded = [_encode(shown(row, now)) for row in changed]
                watcher.put(self._message(feed, changed, encoded, alerting, now))
            feed.watchers.add(watcher)

    def _message(
        self,
        feed: Feed,
        rows: Iterable[asyncpg.Record],
        encoded: Iterable[bytes],
        alerting: dict[int, asyncpg.Record],
        now: datetime,
    ) -> Message:
        alerts = [
            _encode(_alert(alerting[each], row, "severity" if each in (row["event_ids"] or ()) else "band"))
            for row in rows
            for each in _alerting_ids(row)
            if each in alerting
        ]
        most = self._settings.live_alerts_max
        data = b'{"number":%d,"serverTime":%b,"sessions":[%b],"alerts":[%b],"alertsLeftOff":%d}' % (
            feed.number,
            _encode(now),
            b",".join(encoded),
            b",".join(alerts[:most]),
            max(0, len(alerts) - most),
        )
        return Message("delta", feed.position, data, tuple(alerts[:most]))

    async def check(self, now: datetime) -> None:
        """
        End the watches of those who were signed out or may not see the exam any more.

        Raises:
            UnavailableError: PostgreSQL is away.
        """
        watchers = [each for feed in self._feeds.values() for each in feed.watchers]
        self._unsure = 0 if self._revocations.fresh else self._unsure + 1
        for each in watchers:
            try:
                self._revocations.check(each.claims)
            except NotAuthenticatedError:
                each.end(Ending.signed_out)
            except UnavailableError:
                if self._unsure >= UNSURE_CHECKS_MAX:
                    each.end(Ending.unsure)
            if not each.is_signed_in(now):
                each.end(Ending.signed_out)
        granted = {(each.actor.user_id, each.exam_id) for each in watchers if each.is_granted}
        if granted:
            users, exams = map(list, zip(*granted, strict=True))
            async with system_connection(self._pool) as conn:
                lost = {tuple(row) for row in await conn.fetch(QUERIES["list_lost"], users, exams)}
            for each in watchers:
                if each.is_granted and (each.actor.user_id, each.exam_id) in lost:
                    each.end(Ending.lost)

    async def trim(self, now: datetime) -> None:
        """Delete changes that no position follows any more; raises UnavailableError."""
        before = now - timedelta(seconds=self._settings.live_resume_s + COMMIT_S)
        async with system_connection(self._pool) as conn:
            await conn.execute(QUERIES["delete_old_changes"], before)

    async def stop(self) -> None:
        """End all watches, and take no new ones."""
        self._stopping = True
        for feed in self._feeds.values():
            for each in list(feed.watchers):
                each.end(Ending.stopping)
        for asking in self._returning:
            if asking.returning is not None:
                asking.returning.end(Ending.stopping)


def _alerting_ids(row: asyncpg.Record) -> list[int]:
    """
    Return the events by which a session alerts; where its band rose, the latest one.

    What rose is no alert where it is not told: the session has ended, and is reviewed blind.
    """
    ids = list(row["event_ids"] or ())
    if row["has_risen"] and row["risk_level"] is not None and row["last_other_seq"] is not None:
        latest = event_id(row["id"], row["last_other_seq"])
        if latest not in ids:
            ids.append(latest)
    return ids


def _alert(event: asyncpg.Record, session: asyncpg.Record, cause: Literal["severity", "band"]) -> LiveAlert:
    return of_row(
        event,
        LiveAlert,
        id=event_id(event["session_id"], event["seq"]),
        proctor_session_id=event["session_id"],
        event_type_name=type_name(event["event_type"], event["event_name"]),
        severity_label=Severity(event["severity"]).name,
        metadata_json=event["payload"],
        sequence_number=event["seq"],
        cause=cause,
        attempt_id=session["attempt_id"],
        candidate_name=session["candidate_name"],
        risk_level=session["risk_level"],
    )


FEEDS: Final = web.AppKey("feeds", Feeds)


async def keep_feeds(app: web.Application) -> AsyncIterator[None]:
    """Tell watchers what changes while the application runs; after the pool and the revocations."""
    app[FEEDS] = feeds = Feeds(app[POOL], app[REVOCATIONS], app[SETTINGS])
    LIVE_LAG_RECENT.set_function(feeds.lag_recent_s)
    async with app[WATCH].kept(("live", feeds.work)):
        yield


async def end_watches(app: web.Application) -> None:
    """End all watches before the server waits for what is under way."""
    await app[FEEDS].stop()
