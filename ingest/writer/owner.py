"""
The owner of a shard: stores what its stream holds, batch after batch; and the sweeps of owned shards.

A writer keeps no state that matters: whatever happens to it, the offset in PostgreSQL says where to go on.
"""

import threading
from contextlib import AbstractContextManager, nullcontext
from time import monotonic, time
from typing import Final

import numpy as np
import psycopg
import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

import sql
from ingest.stream.protocol import HEADER, Incarnation
from ingest.writer.reconcile import skip_gap, take_up
from ingest.writer.refusals import FloodError, Streak
from ingest.writer.shard import GapError, Stream
from ingest.writer.store import Chunk, FencedError, store
from ingest.writer.sweeps import SWEEP_ROWS_MAX, Sweeper, utc_now
from kernel.running.logs import named
from kernel.running.runtime import (
    BATCH_ROWS,
    BATCH_SECONDS,
    ROWS_WRITTEN,
    SHARD_OWNED,
    SHARD_STOPPED,
    STREAM_BACKLOG,
    UNWRITTEN_AGE,
)
from kernel.settings import Settings
from sql import running

log = structlog.get_logger(__name__)
COMMANDS: Final = sql.named("commands")
WRITER: Final = sql.named("writer")
BACK_OFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
CAUGHT_UP_S: Final = 2.0
CHECK_S: Final = 1.0
REDIS_TIMEOUT_S: Final = 10.0


def connect_redis(settings: Settings) -> "redis.Redis":
    """
    Connect once, without the client library's own retries and reconnections.

    An unseen reply is for us to think about, and a broken connection may mean that another Redis answers now.
    """
    return redis.Redis.from_url(
        settings.redis_url,
        single_connection_client=True,  # a pool would replace an idle connection that broke, and say nothing
        protocol=2,
        driver_info=None,  # CLIENT SETINFO is no command of a tier's
        retry=Retry(NoBackoff(), 0),
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
    )


class Owner:
    """The loop that owns one shard, or waits to."""

    def __init__(
        self,
        shard: int,
        settings: Settings,
        stop: threading.Event,
        turns: AbstractContextManager[object] | None = None,
    ) -> None:
        """Remember which shard; `run` is the thread's body. `turns` bounds how many store at a time."""
        self.shard = shard
        self.epoch: int | None = None  # None while the shard is not owned and open
        self.wrong: str | None = "starting"
        self.caught_up_at = 0.0
        self._settings = settings
        self._stop = stop
        self._turns = turns or nullcontext()
        self._streak = Streak()

    def run(self) -> None:
        """Own the shard until told to stop; whatever breaks is tried again, more and more patiently."""
        failures = 0
        while not self._stop.is_set():
            try:
                self._own()
                failures = 0
            except (psycopg.Error, redis.RedisError, OSError, FencedError) as error:
                self._leave(named(error))
                self._stop.wait(BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)])
                failures += 1
            except FloodError as error:
                SHARD_STOPPED.labels(self.shard).set(1)
                self._leave(f"stopped by a flood of dead letters: {error}")
                self._stop.wait(self._settings.flood_pause_s)

    def _leave(self, why: str) -> None:
        self.epoch = None
        self.wrong = why
        SHARD_OWNED.labels(self.shard).set(0)
        log.warning("shard_left", shard=self.shard, why=why[:300])

    def _own(self) -> None:
        with (
            running.connect(self._settings.database_url) as conn,
            connect_redis(self._settings) as client,
        ):
            # The promise rests on this: an acknowledged event may leave the stream only when it is on disk
            # here.
            running.run(conn, WRITER["make_commits_durable"])
            running.run(conn, WRITER["limit_silence"], f"{self._settings.writer_silence_s}s")
            while not self._stop.is_set():
                if running.one(conn, WRITER["try_own_shard"], self.shard):
                    break
                self.wrong = None  # another process owns it: that is a healthy place to be
                self._stop.wait(self._settings.writer_lock_s)
            else:
                return
            stream = Stream(client, self.shard, self._settings)
            if wrong := stream.wrong():
                self._leave("; ".join(wrong))
                self._stop.wait(BACK_OFF_S[-1])
                return
            stream.load_functions()
            life = stream.incarnation()  # before take_up: a restart in between shows as a difference later
            try:
                epoch, counter = take_up(conn, stream, self._settings, self._streak)
                self.epoch = epoch
                SHARD_OWNED.labels(self.shard).set(1)
                self._write(conn, stream, life, epoch, counter)
            except FloodError as error:
                running.run(conn, WRITER["stop_shard"], self.shard, str(error))
                raise

    def _write(
        self, conn: running.Connection, stream: Stream, life: Incarnation, epoch: int, counter: int
    ) -> None:
        """
        Write what comes until told to stop, or until the stream is no longer the one that was taken up.

        A Redis that has restarted and read its file names the same epoch: only the incarnation tells its two
        lives apart.
        """
        checked_at = monotonic()
        while not self._stop.is_set():
            started = monotonic()
            try:
                chunk = stream.read(epoch, counter)
            except GapError as gap:
                counter = skip_gap(conn, stream, epoch, counter, gap)
                continue
            if chunk is not None:
                with self._turns:
                    rows = store(conn, self.shard, epoch, counter, chunk, self._settings, self._streak)
                self.wrong = None  # not before: a shard that fails at its first batch has not come back
                counter = chunk.last
                stream.forget_through(epoch, counter)
                self._note(chunk, rows, monotonic() - started)
                if rows >= self._settings.writer_batch_rows:
                    continue
            else:
                self.wrong = None
                self.caught_up_at = monotonic()
            if not stream.wait(epoch, counter) or monotonic() - checked_at > CHECK_S:
                checked_at = monotonic()
                backlog, age_s = stream.lag()
                STREAM_BACKLOG.labels(self.shard).set(backlog)
                UNWRITTEN_AGE.labels(self.shard).set(age_s)
                if stream.epoch() != epoch or stream.incarnation() != life:
                    log.error("epoch_gone", shard=self.shard, epoch=epoch)
                    return
                if running.run(conn, WRITER["read_offset"], self.shard).fetchone() != (epoch, counter):
                    message = f"shard {self.shard}: the offset is no longer {epoch}-{counter}"
                    raise FencedError(message)

    def _note(self, chunk: Chunk, rows: int, seconds: float) -> None:
        ROWS_WRITTEN.labels(self.shard).inc(rows)
        BATCH_ROWS.observe(rows)
        BATCH_SECONDS.observe(seconds)
        SHARD_STOPPED.labels(self.shard).set(0)
        if chunk.requests:
            newest = np.frombuffer(chunk.requests[-1].header, dtype=HEADER)[0]
            if time() - int(newest["at_us"]) / 1e6 < CAUGHT_UP_S:
                self.caught_up_at = monotonic()


def sweep(owners: list[Owner], settings: Settings, stop: threading.Event) -> None:
    """Run the sweeps for ever: ends at once when PostgreSQL says so, silences every few seconds."""
    failures = 0
    while not stop.is_set():
        try:
            with (
                running.connect(settings.database_url) as conn,
                running.connect(settings.database_url) as ears,
                connect_redis(settings) as client,
            ):
                running.run(ears, WRITER["hear_session_ends"])
                running.run(ears, COMMANDS["hear_session_commands"])
                _sweep_on(Sweeper(conn, client, settings), ears, owners, settings, stop)
            failures = 0
        except (psycopg.Error, redis.RedisError, OSError) as error:
            log.warning("sweep_failed", error=error)
            stop.wait(BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)])
            failures += 1


def _sweep_on(
    sweeper: Sweeper,
    ears: running.Connection,
    owners: list[Owner],
    settings: Settings,
    stop: threading.Event,
) -> None:
    silence_due = monotonic()
    while not stop.is_set():
        epochs = {owner.shard: owner.epoch for owner in owners if owner.epoch is not None}
        if epochs:
            sweeper.carry_notices(epochs)  # before the ends that may follow them
            sweeper.close_sessions(epochs)
            while sweeper.tell_commands(epochs) == SWEEP_ROWS_MAX and not stop.is_set():
                pass
        if monotonic() >= silence_due:
            # A writer that lags would take its own lag for silence.
            fresh = {
                owner.shard: owner.epoch
                for owner in owners
                if owner.epoch is not None and monotonic() - owner.caught_up_at < CAUGHT_UP_S
            }
            sweeper.note_silence(fresh, utc_now())
            silence_due = monotonic() + settings.heartbeat_sweep_s
        for _ in ears.notifies(timeout=CHECK_S, stop_after=1):
            pass
