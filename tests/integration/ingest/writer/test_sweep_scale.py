"""The sweep looks at what is new: with a hundred times the rows it reads no more (spec.md X-1)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import redis
from psycopg.rows import dict_row

from ingest.stream import calls
from ingest.stream.protocol import library
from ingest.writer.sweeps import Sweeper
from kernel.settings import load
from tests.kits.ingest.world import World

SHARDS = 1
BESIDE = 3  # rows that a plan may read for its own sake: an index's root, a row that was just written

IDLE = "UPDATE proctor_sessions SET silent_since = started_at + interval '1 min' WHERE id = ANY(%s)"
PROGRESS = """
INSERT INTO session_progress
    (session_id, through_seq, total_events, total_violations, first_event_at, last_event_at,
     last_heartbeat_at)
SELECT id, 20, 20, 0, started_at, silent_since, silent_since
FROM proctor_sessions WHERE silent_since IS NOT NULL
ON CONFLICT DO NOTHING
"""
EVENTS = """
INSERT INTO events (session_id, seq, occurred_at, event_type, severity, is_violation, is_late)
SELECT p.session_id, n, p.first_event_at + n * interval '1 second', 1, 0, false, false
FROM session_progress p, generate_series(1, 20) n
WHERE NOT EXISTS (SELECT FROM events e WHERE e.session_id = p.session_id)
"""
GAPS = """
INSERT INTO heartbeat_gaps (session_id, started_at, revision, state)
SELECT id, silent_since, 0, 'open' FROM proctor_sessions WHERE silent_since IS NOT NULL ON CONFLICT DO NOTHING
"""
PARKED = """
INSERT INTO gap_marks (session_id, kind, started_at, ended_at, from_seq, through_seq, due_at)
SELECT id, 'filled', silent_since, silent_since, 1, 20, 'infinity' FROM proctor_sessions s
WHERE silent_since IS NOT NULL AND NOT EXISTS (SELECT FROM gap_marks m WHERE m.session_id = s.id)
"""
READ = "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) AS read FROM pg_stat_user_tables"


class Idle:
    """A school of candidates who went away, and nothing else; and a sweeper over them."""

    def __init__(self, database: str, sweeper: psycopg.Connection[Any], redis_url: str) -> None:
        self.world = World(database)
        self.redis = redis.Redis.from_url(redis_url)
        self._conn = sweeper
        self.redis.flushall()
        if not self.redis.function_list(f"veritas_ingest_{library()[0]}"):
            self.redis.function_load(library()[1])
        self.redis.fcall(*calls.open_epoch(0, 1))
        self.redis.fcall(*calls.take(0, 1, outage_s=10.0, said_s=0.0, waiting_max=1))
        settings = load({}, database_url=database, redis_url=redis_url, shards=SHARDS)
        self.sweeper = Sweeper(sweeper, self.redis, settings)

    def add(self, count: int) -> None:
        self.world.run(IDLE, self.world.sessions(count, started_s_ago=600))
        for statement in (PROGRESS, EVENTS, GAPS, PARKED):
            self.world.owner.execute(statement.encode())
        self.world.owner.execute("VACUUM ANALYZE")

    def read_by(self, act: Callable[[], None]) -> int:
        """Return how many rows all tables together gave while it ran, as PostgreSQL counts them."""
        before = self._read()
        act()
        return self._read() - before

    def _read(self) -> int:
        self._conn.execute("SELECT pg_stat_force_next_flush()")
        self._conn.execute("SELECT 1")
        with psycopg.connect(self.world.address, autocommit=True, row_factory=dict_row) as conn:
            row = conn.execute(READ).fetchone()
            assert row is not None, "a sum has a row"
            return int(row["read"])

    def close(self) -> None:
        self.redis.close()
        self.world.close()


@pytest.mark.parametrize("beating", [0, 5])
def test_a_sweep_over_a_hundred_times_as_many_idle_gaps_reads_no_more_rows(
    database: str, database_as: Callable[[str], str], redis_url: str, beating: int
) -> None:
    """
    Open gaps, their events and fills that wait are not read again; watched are those that beat.

    Planned with tables of 20, 200 and 2,000 such sessions of twenty events each.
    """
    read = []
    with psycopg.connect(database_as("veritas_ingest"), autocommit=True) as conn:
        at = Idle(database, conn, redis_url)
        try:
            for _ in range(beating):
                at.world.seat()
            for more in (20, 180, 1800):
                at.add(more)
                sessions = at.world.one(
                    "SELECT count(*) FROM proctor_sessions WHERE silent_since IS NOT NULL"
                )
                read.append(at.read_by(lambda: at.sweeper.note_silence({0: 1}, datetime.now(UTC))))
            assert sessions == 2000, "the sweep opened no gap, and closed none"
        finally:
            at.close()

    assert read[-1] <= read[0] + BESIDE, read
    assert read[-1] <= 4 * beating + BESIDE, read
