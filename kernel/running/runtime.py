"""
What a running process needs: the one list of metrics, an orderly end.
"""

import asyncio
import ctypes
import gc
import signal
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from kernel.running.process import prepare_process

GC_ALLOCATIONS: Final = 50_000
_M_ARENA_MAX: Final = -8  # <malloc.h>

# -- metrics: the one list, with meaning and unit ------------------------------------------------------------

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

HTTP_REQUESTS = Counter("veritas_http_requests_total", "Requests answered.", ["method", "route", "status"])
CONNECTIONS = Gauge("veritas_http_connections", "Connections open when the last one came.")
CONNECTIONS_REFUSED = Counter(
    "veritas_http_connections_refused_total", "Connections refused for want of open files."
)
HTTP_SECONDS = Histogram(
    "veritas_http_request_seconds", "Time from headers to reply.", ["route"], buckets=_SECONDS
)
EVENTS_ACCEPTED = Counter("veritas_ingest_events_accepted_total", "Events acknowledged as durable.")
EVENTS_DUPLICATE = Counter("veritas_ingest_events_duplicate_total", "Events recognised as stored before.")
LOOP_ENDS = Counter(
    "veritas_loop_ends_total", "Times that a loop of a process ended unasked and was begun again.", ["loop"]
)
EVENTS_REFUSED = Counter("veritas_ingest_refused_total", "Requests refused by ingest, by reason.", ["reason"])
INGEST_LOAD = Gauge("veritas_ingest_load", "X-Ingest-Load: 0 idle to 10 shedding.", ["shard"])
APPEND_SECONDS = Histogram(
    "veritas_ingest_append_seconds", "Durable append, round trip to Redis.", buckets=_SECONDS
)
APPENDS_INFLIGHT = Gauge("veritas_ingest_appends_inflight", "Appends on their way to Redis.")
ROWS_WRITTEN = Counter("veritas_writer_rows_total", "Event rows committed to PostgreSQL.", ["shard"])
BATCH_ROWS = Histogram(
    "veritas_writer_batch_rows",
    "Rows of one COPY.",
    buckets=(1, 10, 100, 500, 1000, 2500, 5000, 10_000, 20_000),
)
BATCH_SECONDS = Histogram("veritas_writer_batch_seconds", "One batch, read to commit.", buckets=_SECONDS)
STREAM_BACKLOG = Gauge("veritas_stream_backlog_entries", "Stream entries not yet stored.", ["shard"])
UNWRITTEN_AGE = Gauge(
    "veritas_stream_oldest_unwritten_seconds", "Age of the oldest entry not yet stored.", ["shard"]
)
DEAD_LETTERS = Counter("veritas_writer_dead_letters_total", "Rows PostgreSQL refused.", ["shard", "sqlstate"])
SESSIONS_QUARANTINED = Counter(
    "veritas_writer_quarantined_total", "Sessions set aside for what PostgreSQL refused of them.", ["shard"]
)
STREAM_LOSSES = Counter(
    "veritas_stream_losses_total", "Losses of acknowledged entries that were seen.", ["shard", "kind"]
)
SHARD_OWNED = Gauge("veritas_writer_shard_owned", "1 where this process owns the shard.", ["shard"])
SHARD_STOPPED = Gauge(
    "veritas_writer_shard_stopped", "1 where a flood of dead letters stopped the shard.", ["shard"]
)
INGEST_OUTAGES = Counter(
    "veritas_ingest_outages_total", "Times in which nothing was taken for a shard, recorded.", ["shard"]
)
HEARTBEATS_MISSED = Counter("veritas_heartbeats_missed_total", "Heartbeat gaps detected.")
CLOCK_STEPS = Counter("veritas_clock_steps_total", "Steps of candidates' clocks that were confirmed.")
SYSTEM_APPENDS_REUSED = Counter(
    "veritas_system_appends_reused_total", "Events of our own that found their name taken: never."
)
FOLDED_SESSIONS = Counter(
    "veritas_pipeline_sessions_folded_total",
    "Sessions that turns of the fold had, with new events or without.",
)
FOLDED_EVENTS = Counter("veritas_pipeline_events_folded_total", "Events that were folded, each once.")
FOLDS_FAILED = Counter("veritas_pipeline_folds_failed_total", "Times that an attempt could not be folded.")
PROJECTED_KEYS = Counter(
    "veritas_pipeline_keys_projected_total",
    "Attempts, exams and students whose numbers were computed.",
    ["layer"],
)
PROJECTIONS_FAILED = Counter(
    "veritas_pipeline_projections_failed_total", "Times that a key's numbers could not be computed."
)
PROJECTION_LAG = Gauge(
    "veritas_pipeline_projection_lag_seconds", "How long the oldest change that is due has waited.", ["layer"]
)
FOLD_LAG = Gauge("veritas_pipeline_fold_lag_seconds", "How long the oldest session that is due has been.")
DETECTOR_LOOKED = Counter(
    "veritas_detector_pieces_total",
    "Pieces of evidence that the face detector had: looked, exempt, broke_off or failed (tried again).",
    ["outcome"],
)
OUTBOX_READ = Counter("veritas_pipeline_outbox_read_total", "Rows of the outbox handed over and deleted.")
OUTBOX_LAG = Gauge("veritas_pipeline_outbox_lag_seconds", "Age of the oldest row of the last batch read.")
LOGINS_FAILED = Counter("veritas_logins_failed_total", "Sign-ins refused for their credentials.")
LOGIN_ALERTS = Counter("veritas_login_alerts_total", "Times that one address failed too often in a minute.")
LOGINS_THROTTLED = Counter(
    "veritas_logins_throttled_total", "Sign-ins refused unheard, by reason.", ["reason"]
)
ACCOUNTS_THROTTLED = Counter(
    "veritas_accounts_throttled_total", "Requests refused because their account had sent too many."
)
FORWARDED_UNBELIEVED = Counter(
    "veritas_forwarded_unbelieved_total",
    "Requests with X-Forwarded-For while no proxy is trusted: all clients count as one address then.",
)
LAUNCHES_REPEATED = Counter(
    "veritas_launches_repeated_total", "Launch links that came again within the grace: a reply got lost."
)
LAUNCHES_REPLAYED = Counter("veritas_launches_replayed_total", "Used launch links that came again, refused.")
REFRESH_REUSED = Counter("veritas_refresh_tokens_reused_total", "Spent refresh tokens that came again.")
REVOCATIONS_FRESH = Gauge("veritas_revocations_fresh", "1 while this process hears of every revocation.")
REVOCATIONS_HELD = Gauge("veritas_revocations_held_users", "Users of whom some token was taken back.")
LEDGER_SEALED = Counter("veritas_ledger_sealed_total", "Ledger events given a position.")
LEDGER_SEAL_LAG = Gauge(
    "veritas_ledger_seal_lag_seconds",
    "Age of the last seal's oldest event when its signed head was published; 0 with none waiting.",
)
LEDGER_WITNESS_LAG = Gauge("veritas_ledger_unwitnessed_events", "Sealed events that no witness has seen.")
LEDGER_VIEWS_WAITING = Gauge("veritas_ledger_views_waiting", "Views not yet written to the ledger.")
LIVE_WATCHES = Gauge("veritas_live_watches", "Watches of exams that are open in this process.")
LIVE_MESSAGES = Counter("veritas_live_messages_total", "Messages put to watchers, each watcher's.")
LIVE_DROPPED = Counter(
    "veritas_live_dropped_total", "Watches ended from here because what changes was taken too slowly."
)
LIVE_LAG = Histogram(
    "veritas_live_lag_seconds",
    "From a change in a watched exam, the oldest of a turn, to its being put to who watches.",
    buckets=_SECONDS,
)
LIVE_LAG_RECENT = Gauge(
    "veritas_live_lag_recent_seconds",
    "The longest of those lags within the last minute; NaN where nothing was told.",
)
CLIENT_SOCKETS = Gauge("veritas_client_sockets", "Sockets of candidates' clients, open in this process.")
LIVE_TURN_SECONDS = Histogram(
    "veritas_live_turn_seconds", "Reading what is new in all watched exams, and telling it.", buckets=_SECONDS
)
DATASET_BUILDS = Counter("veritas_warehouse_builds_total", "Parquet builds published.", ["dataset"])


def share_one_heap() -> None:
    """
    Let all threads of this process allocate from one heap (glibc; elsewhere nothing happens).

    With a heap of its own, each thread keeps the largest batch that it ever held.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """
    Run `main` on uvloop until SIGTERM or SIGINT sets the event it is given; `main` then drains and returns.
    """
    prepare_process()
    import uvloop  # noqa: PLC0415  only processes need the loop, not whoever imports a metric

    async def body() -> None:
        # What was imported lives as long as the process, and requests leave no cycles: look for them seldom.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_ALLOCATIONS, 20, 20)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await main(stop)

    uvloop.run(body())
