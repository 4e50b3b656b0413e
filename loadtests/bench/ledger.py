"""
How fast the ledger takes events and seals them, on a PostgreSQL of its own.

Appends are transactions of one event each, as a use case makes them; the sealer works beside them in a
thread, with a head a second as in production. Views go through the core API's own queue.
"""

import asyncio
import statistics
import threading
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Final
from uuid import uuid4

import asyncpg
import msgspec

from core_api.actors import Actor
from core_api.database import ask_as_system
from core_api.ledger.entries import by, record
from core_api.ledger.viewings import Views
from deploy.local.postgres import start_postgres
from kernel.access import Scope
from kernel.events import Role
from kernel.ledger.checkpoints import Keys, new_key_pem, open_head
from kernel.ledger.kinds import Kind
from kernel.postgres import open_pool
from kernel.settings import Settings, load
from pipeline.ledger.report import QUERIES, open_snapshot
from pipeline.ledger.sealer import Sealer, new_sealer, take_up, turn
from pipeline.ledger.verify import verify
from sql.migrate import migrate
from sql.running import connect, stream

SECONDS: Final = 6.0
CONNECTIONS: Final = 8
VIEWS: Final = 20_000
BACKLOG: Final = 50_000
BULK: Final = 500


class LedgerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """
    Rates a second, the load generator and the sealer on the same cores as PostgreSQL.

    `ledger_appends_per_s` transactions of one event, with and without a view noted for each; `seal_lag_s`
    from an event's time to its signed head, under that load; `sealed_per_s` out of a backlog, positions,
    tiles and head; `verified_per_s` by `veritas ledger verify`; `note_view_us` what a view costs its request.
    """

    ledger_appends_per_s: float
    ledger_appends_with_views_per_s: float
    views_per_s: float
    note_view_us: float
    seal_lag_s: dict[str, float]
    sealed_per_s: float
    verified_per_s: float


def _actor() -> Actor:
    return Actor(
        user_id=uuid4(),
        organisation_id=uuid4(),
        email="bench@example.org",
        role=Role.teacher,
        scope=Scope.organisation,
    )


@contextmanager
def _sealing(settings: Settings) -> Iterator[None]:
    stop = threading.Event()

    def work() -> None:
        sealer = new_sealer(settings)
        with connect(settings.database_url) as conn:
            take_up(sealer, conn)
            while not stop.wait(settings.ledger_seal_ms / 1000):
                turn(sealer, conn)
            turn(sealer, conn)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def append_for(url: str, seconds: float, views: Views | None) -> float:
    """Append one event a transaction on every connection; return events a second."""
    actor, end = _actor(), perf_counter() + seconds

    async def work() -> int:
        conn, count = await asyncpg.connect(url), 0
        await ask_as_system(conn)
        while perf_counter() < end:
            now = datetime.now(UTC)
            async with conn.transaction():
                await record(conn, by(actor, Kind.attempt_started, uuid4(), now=now, detail={"n": count}))
            if views is not None:
                views.note(actor, "submission", count, now=now)
            count += 1
        await conn.close()
        return count

    started = perf_counter()
    counts = await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return sum(counts) / (perf_counter() - started)


async def append_with_views(settings: Settings, seconds: float) -> float:
    """Return appends a second with a view noted for each; all views are written in the end."""
    async with await open_pool(settings) as pool:
        views = Views(pool, waiting_max=1_000_000)
        writing = asyncio.create_task(views.work())
        rate = await append_for(settings.database_url, seconds, views)
        views.stop()
        await writing
        await views.flush()
        return rate


async def _only_views(settings: Settings) -> tuple[float, float]:
    """Return views written a second out of a backlog, and microseconds to note one."""
    async with await open_pool(settings) as pool:
        views = Views(pool, waiting_max=VIEWS)
        actor, now, started = _actor(), datetime.now(UTC), perf_counter()
        for number in range(VIEWS):
            views.note(actor, "submission", number, now=now)
        note_us = (perf_counter() - started) / VIEWS * 1e6
        started = perf_counter()
        await views.flush()
        return VIEWS / (perf_counter() - started), note_us


async def _fill(url: str) -> None:
    conn, actor = await asyncpg.connect(url), _actor()
    for _ in range(BACKLOG // BULK):
        now = datetime.now(UTC)
        await record(conn, *(by(actor, Kind.attempt_started, n, now=now) for n in range(BULK)))
    await conn.close()


def _seal_backlog(settings: Settings, sealer: Sealer) -> float:
    with connect(settings.database_url) as conn:
        take_up(sealer, conn)
        started = perf_counter()
        return turn(sealer, conn) / (perf_counter() - started)


def seal_lags(url: str, keys: Keys) -> dict[str, float]:
    """Return p50 and p99, in seconds, from an event's time to the head that covers it."""
    with open_snapshot(url) as conn:
        heads = [open_head(note, keys) for _, note in stream(conn, QUERIES["stream_heads"])]
        sizes = [head.size for head in heads]
        lags = []
        for position, _, _, _, _, occurred_at, *_ in stream(conn, QUERIES["stream_leaves"]):
            signed_at = heads[bisect_right(sizes, position)].signed_at
            assert signed_at is not None, "our heads carry their time"
            lags.append((signed_at - occurred_at).total_seconds())
    cuts = statistics.quantiles(lags, n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


def measure(folder: Path) -> LedgerFigures:
    """Measure on a private PostgreSQL below `folder`."""
    key = folder / "key.pem"
    key.write_bytes(new_key_pem())
    server = start_postgres(folder / "postgres")
    try:
        migrate(server.url)
        settings = load(
            {},
            database_url=server.url,
            ledger_key_files=str(key),
            ledger_witness_file=str(folder / "witness.jsonl"),
        )
        with _sealing(settings):
            alone = asyncio.run(append_for(server.url, SECONDS, None))
        lags = seal_lags(server.url, new_sealer(settings).keys)
        with _sealing(settings):
            with_views = asyncio.run(append_with_views(settings, SECONDS))
            views_rate, note_us = asyncio.run(_only_views(settings))
        asyncio.run(_fill(server.url))
        sealer = new_sealer(settings)
        sealed = _seal_backlog(settings, sealer)
        started = perf_counter()
        report = verify(server.url, sealer.keys, witness=folder / "witness.jsonl")
        assert not report.findings, report.findings[:3]
        verified = report.size / (perf_counter() - started)
    finally:
        server.close()
    return LedgerFigures(
        ledger_appends_per_s=alone,
        ledger_appends_with_views_per_s=with_views,
        views_per_s=views_rate,
        note_view_us=note_us,
        seal_lag_s=lags,
        sealed_per_s=sealed,
        verified_per_s=verified,
    )
