"""
What the owner of a shard does beside writing: end sessions in the stream, notice missing heartbeats.

PostgreSQL's end of a session is the truth; these sweeps carry it into the stream, where it takes its place
among the events. Missed heartbeats become events at their own place in time (spec.md, decision 11). Every
step can be repeated.
"""

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import psycopg
import redis
import structlog
from psycopg.rows import dict_row

from ingest.sessions import ENDED_KEPT_S, restore_arguments
from ingest.statements import statement
from ingest.stream import (
    BATCH_VERSION,
    NO_TIME,
    AppendArguments,
    Batch,
    append_keys,
    digest,
    encode_batch,
    function,
    own_names,
    session_key,
    shard_key,
    shard_of,
    stream_key,
)
from kernel.events import HEARTBEAT_INTERVAL_S, HEARTBEAT_MISSED_AFTER_S, EventType, Severity
from kernel.runtime import HEARTBEATS_MISSED, SYSTEM_APPENDS_REUSED
from kernel.settings import Settings
from sql import named

log = structlog.get_logger(__name__)
SWEEP_ROWS_MAX: Final = 500
KEY_WINDOW_S: Final = 86_400
NAMES_MAX: Final = 128  # events of our own that a session remembers
UNBOUNDED_US: Final = 10**15  # what we record ourselves is not held to the client's rate


class Sweeper:
    """The sweeps over the shards that this process owns; `epochs` maps each to its open epoch."""

    def __init__(self, conn: psycopg.Connection[Any], client: "redis.Redis", settings: Settings) -> None:
        """Remember what to sweep with; connections are the caller's to close."""
        self._conn = conn
        self._client = client
        self._settings = settings

    def close_sessions(self, epochs: dict[int, int]) -> int:
        """
        Write the end entry of every session that has ended in PostgreSQL; return how many were looked at.
        """
        rows = self._rows("list_closing", self._settings.shards, list(epochs), SWEEP_ROWS_MAX)
        for row in rows:
            self._finish(row["id"], epochs)
        return len(rows)

    def note_silence(self, epochs: dict[int, int], now: datetime) -> None:
        """Record gaps in the heartbeats of active sessions, at their start and at their end."""
        shards, owned = self._settings.shards, list(epochs)
        for row in self._rows("list_silent", shards, owned, now, HEARTBEAT_MISSED_AFTER_S, SWEEP_ROWS_MAX):
            since: datetime = row["silent_since"]
            missed_at = since + timedelta(seconds=HEARTBEAT_MISSED_AFTER_S)
            if self._append(row, since, EventType.NetworkDisconnected, Severity.High, missed_at, epochs):
                self._execute("open_gap", row["id"], since)
                HEARTBEATS_MISSED.inc()
        settled = now - timedelta(seconds=self._settings.backfill_grace_s)
        for row in self._rows("list_ended_gaps", shards, owned, settled, SWEEP_ROWS_MAX):
            self._close_gap(row, epochs)

    def _close_gap(self, row: dict[str, Any], epochs: dict[int, int]) -> None:
        since, ended = row["started_at"], row["ended_at"]
        if row["back_at"] is not None and not self._append(
            row, since, EventType.NetworkReconnected, Severity.Info, row["back_at"], epochs
        ):
            return
        missed = int((ended - since).total_seconds() // HEARTBEAT_INTERVAL_S)
        kind = "network" if row["is_filled"] else "unexplained"
        self._execute("close_gap", row["session_id"], since, ended, kind, missed)

    def _append(
        self,
        row: dict[str, Any],
        since: datetime,
        event_type: EventType,
        severity: Severity,
        effective_at: datetime,
        epochs: dict[int, int],
    ) -> bool:
        """
        Append one event of our own, once: its name is its type and the gap. False: not now, the next sweep
        will.
        """
        session_id = row.get("session_id") or row["id"]
        shard = shard_of(session_id, self._settings.shards)
        name = f"{event_type.name}:{since.timestamp():.6f}"
        batch = Batch(
            version=BATCH_VERSION,
            client=None,
            sequences=None,
            types=bytes([event_type]),
            severities=bytes([severity]),
            client_us=array("q", [NO_TIME]).tobytes(),
            payloads=[None],
            effective_us=round(effective_at.timestamp() * 1_000_000),
        )
        arguments = AppendArguments(
            epoch=epochs[shard],
            session=session_id,
            events=1,
            client=None,
            ranges="",
            candidate="",
            organisation=str(row["organisation_id"]),
            violations=int(severity >= Severity.High),
            heartbeat_us=None,
            latest_us=None,
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
        keys = append_keys(shard, session_id, own_names(shard, session_id))
        for _ in range(2):
            reply = self._fcall("append", keys, arguments.values())
            if reply[0] != b"absent":
                break
            self._restore(session_id, epochs[shard])
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
        ended_us = round(row["ended_at"].timestamp() * 1_000_000)
        keys = [session_key(shard, session_id), stream_key(shard), shard_key(shard)]
        for _ in range(2):
            reply = self._fcall(
                "finish", keys, [epochs[shard], session_id, row["status"], ended_us, ENDED_KEPT_S]
            )
            if reply[0] != b"absent":
                break
            self._restore(session_id, epochs[shard])

    def _restore(self, session_id: int, epoch: int) -> None:
        row = self._session(session_id)
        if row is not None:
            shard = shard_of(session_id, self._settings.shards)
            self._fcall(
                "restore", [session_key(shard, session_id), shard_key(shard)], restore_arguments(epoch, row)
            )

    def _session(self, session_id: int) -> dict[str, Any] | None:
        with psycopg.RawCursor(self._conn, row_factory=dict_row) as cursor:
            return cursor.execute(named("ingest")["read_session"].encode(), (session_id,)).fetchone()

    def _fcall(self, name: str, keys: Sequence[bytes], arguments: Sequence[Any]) -> list[Any]:
        return cast("list[Any]", self._client.fcall(function(name).decode(), len(keys), *keys, *arguments))

    def _rows(self, name: str, *arguments: object) -> list[dict[str, Any]]:
        with psycopg.RawCursor(self._conn, row_factory=dict_row) as cursor:
            return cursor.execute(statement(name), arguments).fetchall()

    def _execute(self, name: str, *arguments: object) -> None:
        with psycopg.RawCursor(self._conn) as cursor:
            cursor.execute(statement(name), arguments)


def utc_now() -> datetime:
    """Return the shell's clock."""
    return datetime.now(UTC)
