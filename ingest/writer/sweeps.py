"""
What the owner of a shard does beside writing: end sessions in the stream, notice missing heartbeats, carry
what staff did into the stream and to the clients.

PostgreSQL's end of a session is the truth; these sweeps carry it into the stream, where it takes its place
among the events. Missed heartbeats become events at their own place in time (spec.md, decision 11). Every
step can be repeated.
"""

from array import array
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import redis
import structlog

from ingest.stream import calls
from ingest.stream.calls import Append
from ingest.stream.outages import carry, proven_at
from ingest.stream.protocol import (
    BATCH_VERSION,
    NO_TIME,
    Batch,
    digest,
    encode_batch,
    own_names,
    shard_of,
)
from kernel.events import (
    HEARTBEAT_INTERVAL_S,
    HEARTBEAT_MISSED_AFTER_S,
    EventType,
    Severity,
    is_violation,
)
from kernel.running.runtime import HEARTBEATS_MISSED, SYSTEM_APPENDS_REUSED
from kernel.settings import Settings
from sql import named
from sql.running import Connection, one, rows, run

log = structlog.get_logger(__name__)
COMMANDS: Final = named("commands")
GAPS: Final = named("gaps")
INGEST: Final = named("ingest")
OUTAGES: Final = named("outages")
WRITER: Final = named("writer")
SWEEP_ROWS_MAX: Final = 500
KEY_WINDOW_S: Final = 86_400
NAMES_MAX: Final = 128  # events of our own that a session remembers
UNBOUNDED_US: Final = 10**15  # what we record ourselves is not held to the client's rate


class Sweeper:
    """The sweeps over the shards that this process owns; `epochs` maps each to its open epoch."""

    def __init__(self, conn: Connection, client: "redis.Redis", settings: Settings) -> None:
        """Remember what to sweep with; connections are the caller's to close."""
        self._conn = conn
        self._client = client
        self._settings = settings

    def close_sessions(self, epochs: dict[int, int]) -> int:
        """
        Write the end entry of every session that has ended in PostgreSQL; return how many were looked at.
        """
        shards = self._settings.shards
        closing = run(self._conn, WRITER["list_closing"], shards, list(epochs), SWEEP_ROWS_MAX).fetchall()
        for (session_id,) in closing:
            self._finish(session_id, epochs)
        return len(closing)

    def note_silence(self, epochs: dict[int, int], now: datetime) -> None:
        """
        Record gaps in the heartbeats of active sessions at their start, and judge those that have ended, or
        were filled since.

        Silence is looked for up to the moment at which the shard was last taken for, and nothing counts that
        lies in an outage of ours. So while a shard is not taken for, nothing is said about its sessions.
        """
        taken = carry(self._conn, self._client, epochs)
        if not taken:
            return
        where = {"shards": self._settings.shards, "owned": list(taken), "taken": list(taken.values())}
        silent = GAPS.bind("list_silent", **where, silence_s=HEARTBEAT_MISSED_AFTER_S, limit=SWEEP_ROWS_MAX)
        for row in rows(self._conn, *silent):
            missed_at = row["silent_since"] + timedelta(seconds=HEARTBEAT_MISSED_AFTER_S)
            self._open(row, row["started_at"], missed_at, epochs, lasts=True)
        for row in rows(self._conn, *GAPS.bind("list_due", **where, now=now, limit=SWEEP_ROWS_MAX)):
            self._judge(row, epochs, now, taken)

    def _open(
        self,
        row: dict[str, Any],
        since: datetime,
        missed_at: datetime,
        epochs: dict[int, int],
        *,
        lasts: bool,
    ) -> bool:
        """Record that a gap began, and was one from `missed_at` on; False: not now, the next sweep will."""
        kind = EventType.NetworkDisconnected
        if not self._append(row, _name(kind, since), kind, Severity.High, missed_at, epochs):
            return False
        run(self._conn, GAPS["open_gap"], row["session_id"], since, lasts)
        HEARTBEATS_MISSED.inc()
        return True

    def _judge(
        self, row: dict[str, Any], epochs: dict[int, int], now: datetime, taken: dict[int, datetime]
    ) -> None:
        """
        Judge the gaps of a session that have ended, and once more those that were filled since.

        What was filled before its gap has ended waits for that; a gap waits for what may fill it at once.
        """
        session_id = row["session_id"]
        shard = shard_of(session_id, self._settings.shards)
        marks = rows(self._conn, GAPS["list_marks"], session_id, now, taken[shard])
        over = [mark for mark in marks if mark["kind"] != "filled"]
        fills = [mark for mark in marks if mark["kind"] == "filled"]
        if not all(mark["is_due"] for mark in over):
            return
        gaps = set()
        for mark in over:
            since, ended = mark["started_at"], mark["ended_at"]
            if not one(self._conn, GAPS["has_gap"], session_id, since):
                missed_at = self._missed_at(shard, since, ended)
                if missed_at is None:
                    continue
                if not self._open(row, since, missed_at, epochs, lasts=False):
                    return
            kind = EventType.NetworkReconnected
            if mark["kind"] == "returned" and not self._append(
                row, _name(kind, since), kind, Severity.Info, ended, epochs
            ):
                return
            gaps.add((since, ended))
        if fills:
            first, last = min(m["started_at"] for m in fills), max(m["ended_at"] for m in fills)
            gaps |= {*run(self._conn, GAPS["list_filled"], session_id, first, last)}
        waiting = [mark["id"] for mark in fills if row["lasts"] and mark["ended_at"] > row["heard_at"]]
        with self._conn.transaction():
            for since, ended in sorted(gaps):
                self._judge_gap(session_id, since, ended, fills)
            run(self._conn, GAPS["park_marks"], waiting)
            run(self._conn, GAPS["delete_marks"], [each["id"] for each in marks if each["id"] not in waiting])

    def _missed_at(self, shard: int, since: datetime, ended: datetime) -> datetime | None:
        """Return when a silence that has ended was one of those that are recorded; None: it never was."""
        outages = run(self._conn, OUTAGES["list_outages"], shard, since, ended).fetchall()
        return proven_at(since, ended, outages, HEARTBEAT_MISSED_AFTER_S)

    def _judge_gap(
        self, session_id: int, since: datetime, ended: datetime, fills: list[dict[str, Any]]
    ) -> None:
        judged = GAPS.bind(
            "judge_gap",
            session_id=session_id,
            since=since,
            until=ended,
            lows=[mark["from_seq"] for mark in fills],
            highs=[mark["through_seq"] for mark in fills],
            interval_s=HEARTBEAT_INTERVAL_S,
            share_min=self._settings.gap_covered_share_min,
            shard=shard_of(session_id, self._settings.shards),
        )
        for revision, missed in run(self._conn, *judged).fetchall():
            run(self._conn, GAPS["note_judgement"], session_id, since, missed if revision == 1 else 0)

    def carry_notices(self, epochs: dict[int, int]) -> None:
        """Put into the stream what the core API has noted about sessions."""
        shards = self._settings.shards
        for row in rows(self._conn, GAPS["list_notices"], shards, list(epochs), SWEEP_ROWS_MAX):
            event_name, minute = row["event_name"], row["minute"]
            event_type = EventType(row["event_type"])
            if self._append(
                row,
                f"{event_name}:{minute}",
                event_type,
                Severity(row["severity"]),
                row["noted_at"],
                epochs,
                event_name=event_name if event_type is EventType.Other else None,
                payload=row["payload"],
            ):
                run(self._conn, GAPS["settle_notice"], row["session_id"], event_name, minute)

    def tell_commands(self, epochs: dict[int, int]) -> int:
        """
        Tell ingest what waits for the clients of sessions in which that has changed; return of how many
        commands.

        They count as told once Redis has them. A session that Redis does not know is told of by its restore.
        """
        shards = self._settings.shards
        with self._conn.transaction():
            untold = run(self._conn, COMMANDS["take_untold"], shards, list(epochs), SWEEP_ROWS_MAX).fetchall()
            sessions = sorted({session_id for (session_id,) in untold})
            for session_id, commands in run(self._conn, COMMANDS["read_open"], sessions).fetchall():
                shard = shard_of(session_id, shards)
                tell = calls.tell(shard, epochs[shard], session_id, commands)
                if self._call(tell, session_id, epochs)[0] == b"stale":
                    message = "the shard's epoch is over; the next sweep tells"
                    raise redis.RedisError(message)
        return len(untold)

    def _append(
        self,
        row: dict[str, Any],
        name: str,
        event_type: EventType,
        severity: Severity,
        effective_at: datetime,
        epochs: dict[int, int],
        *,
        event_name: str | None = None,
        payload: str | None = None,
    ) -> bool:
        """Append one event of our own, once by its name. False: not now, the next sweep will."""
        session_id = row["session_id"]
        shard = shard_of(session_id, self._settings.shards)
        batch = Batch(
            version=BATCH_VERSION,
            client=None,
            sequences=None,
            types=bytes([event_type]),
            severities=bytes([severity]),
            client_us=array("q", [NO_TIME]).tobytes(),
            payloads=[payload],
            names=None if event_name is None else [event_name],
            effective_us=round(effective_at.timestamp() * 1_000_000),
        )
        append = Append(
            epoch=epochs[shard],
            session=session_id,
            events=1,
            client=None,
            ranges="",
            candidate="",
            organisation=str(row["organisation_id"]),
            violations=int(is_violation(event_type, severity)),
            heartbeat_us=None,
            latest_us=batch.effective_us,
            event_us=0,
            burst_us=UNBOUNDED_US,
            late_window_us=self._settings.late_window_s * 1_000_000,
            ranges_max=self._settings.client_ranges_max,
            key_window_s=KEY_WINDOW_S,
            body=digest(name.encode(), 16),
            batch=encode_batch(batch),
            clients_max=self._settings.client_instances_max,
            name=digest(name.encode(), 16),
            names_max=NAMES_MAX,
        )
        reply = self._call(append.call(shard, own_names(shard, session_id)), session_id, epochs)
        if reply[0] == b"reused":
            # Nobody else can choose the name: whatever wrote it, our event is not in the stream.
            SYSTEM_APPENDS_REUSED.inc()
            log.error("system_append_reused", session_id=session_id, name=name)
        return reply[0] in {b"ok", b"again", b"ended"}

    def _finish(self, session_id: int, epochs: dict[int, int]) -> None:
        shard = shard_of(session_id, self._settings.shards)
        row = self._session(session_id)
        if row is None:
            return
        finish = calls.finish(shard, epochs[shard], session_id, row["status"], row["ended_at"])
        self._call(finish, session_id, epochs)

    def _call(self, call: calls.Call, session_id: int, epochs: dict[int, int]) -> list[Any]:
        """Call a function, once more with the session restored where it is absent, and return the reply."""
        reply = self._reply(call)
        if reply[0] == b"absent" and (row := self._session(session_id)) is not None:
            shard = shard_of(session_id, self._settings.shards)
            self._reply(calls.restore(shard, epochs[shard], row))
            reply = self._reply(call)
        return reply

    def _reply(self, call: calls.Call) -> list[Any]:
        return cast("list[Any]", self._client.fcall(*call))

    def _session(self, session_id: int) -> dict[str, Any] | None:
        return next(iter(rows(self._conn, INGEST["read_sessions"], [session_id])), None)


def _name(kind: EventType, since: datetime) -> str:
    """Return the name of an event of ours about the gap that began then."""
    return f"{kind.name}:{since.timestamp():.6f}"


def utc_now() -> datetime:
    """Return the shell's clock."""
    return datetime.now(UTC)
