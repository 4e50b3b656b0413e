"""
The core's benchmark in small: its report, and that pgbench leaves what the product leaves (spec.md S-1, L-1).
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from kernel.ledger.checkpoints import read_keys
from kernel.settings import load
from kernel.storage.opening import open_tiers
from loadtests.bench import evidence
from loadtests.bench.core import CoreReport, Sizes, check_ledger, measure
from loadtests.bench.core_loads import (
    NONE,
    attempts_of,
    check_left,
    count_left,
    finalise_http,
    finalise_pgbench,
    head,
    once_each,
    run_minutes,
    send,
    values_of,
)
from loadtests.bench.core_world import (
    Author,
    Core,
    Questions,
    authoring,
    id_of,
    make_running,
    running_core,
)
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import BenchError, make_sessions, open_servers, private_folder
from pipeline.ledger.verify import verify
from sql import named
from sql.running import run

SCREEN = Screen(Console(quiet=True))
CANDIDATES = 8
CONNECTIONS = 2
# What differs from one finalisation to the next, by table; every other column has to be equal.
OWN = {
    "exam_attempts": "id exam_id started_at expires_at completed_at duration_seconds submission_data",
    "proctor_sessions": "id attempt_id exam_id started_at ended_at",
    "submissions": "id exam_id attempt_id idempotency_key content content_sha256 event_id finalised_at",
    "submission_items": "submission_id saved_at",
    "submission_scores": "submission_id scored_at",
    "submission_subjects": "submission_id",
    "ledger_events": "id occurred_at aggregate_id body",
    "ledger_salts": "event_id salt value",
    "told": "id event_id resource_id payload occurred_at",
}
EVENTS = (
    "SELECT id FROM ledger_events WHERE id IN (SELECT event_id FROM submissions WHERE exam_id = $1)"
    " OR kind = 'session.ended'"
    " AND aggregate_id IN (SELECT id::text FROM proctor_sessions WHERE exam_id = $1)"
)
OF_EXAM = {
    "exam_attempts": "t.exam_id = $1",
    "proctor_sessions": "t.exam_id = $1",
    "submissions": "t.exam_id = $1",
    "ledger_events": f"t.id IN ({EVENTS})",
    "ledger_salts": f"t.event_id IN ({EVENTS})",
    "told": f"t.event_id IN ({EVENTS})",
}
OF_SUBMISSION = "t.submission_id IN (SELECT id FROM submissions WHERE exam_id = $1)"
# The sealer moves rows between these on its own.
SEALERS = {"ledger_pending", "ledger_leaves", "ledger_tiles", "ledger_heads"}
# And its reader empties the outbox: what was put there is kept beside it.
READ = {"outbox", "dirty_sessions"}
KEEP = """
CREATE TABLE told (LIKE outbox);
CREATE FUNCTION keep_told() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO told SELECT NEW.*;
    RETURN NULL;
END
$$;
"""
TOLD = "CREATE TRIGGER told AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION keep_told()"


class World(msgspec.Struct, frozen=True):
    """A running core with its teacher, questions, and a counter of exams."""

    core: Core
    author: Author
    questions: Questions

    async def exam(self, number: int) -> str:
        """Return an exam with a running attempt of each candidate."""
        exam_id = await self.author.give_exam(f"Exam {number}", self.questions)
        make_running(self.core, exam_id, self.questions, before=number * 1000, count=CANDIDATES)
        return exam_id

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return run(self.core.servers.owner, statement, *values).fetchall()


@pytest.fixture(scope="module")
def core() -> Iterator[Core]:
    with (
        private_folder() as folder,
        open_servers(folder) as servers,
        running_core(servers, folder, folder / "log", CANDIDATES) as running,
    ):
        servers.owner.execute(KEEP.encode())
        servers.owner.execute(TOLD.encode())
        yield running


@pytest.fixture
async def world(core: Core) -> AsyncIterator[World]:
    async with authoring(core) as author:
        yield World(core, author, await author.write_questions())


@contextmanager
def as_migrated(world: World) -> Iterator[None]:
    """Take the trigger that is none of the migrations' away: the verifier names it."""
    owner = world.core.servers.owner
    owner.execute(b"DROP TRIGGER told ON outbox")
    try:
        yield
    finally:
        owner.execute(TOLD.encode())


def sizes_of_tables(world: World) -> dict[str, int]:
    tables = world.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {name: world.rows(f"SELECT count(*) FROM {name}")[0][0] for (name,) in tables}


def grown(world: World, before: dict[str, int]) -> dict[str, int]:
    after = sizes_of_tables(world)
    return {
        name: after[name] - before[name]
        for name in after
        if name not in SEALERS | READ and after[name] != before[name]
    }


def what_is_common(world: World, exam_id: str) -> dict[str, list[Any]]:
    """Return the rows of each table that the exam's finalisations wrote, without what is each one's own."""
    return {
        table: [
            row[0]
            for row in world.rows(
                f"SELECT to_jsonb(t) - string_to_array($2, ' ') FROM {table} t"
                f" WHERE {OF_EXAM.get(table, OF_SUBMISSION)} ORDER BY 1",
                exam_id,
                own,
            )
        ]
        for table, own in OWN.items()
    }


async def finalise_both(world: World, first: int) -> tuple[str, str, list[dict[str, int]]]:
    """Finalise an exam over HTTP and one by pgbench; return both and by how much each table grew."""
    by_product, by_pgbench = await world.exam(first), await world.exam(first + 1)
    before = sizes_of_tables(world)
    await finalise_http(world.core, CANDIDATES, before=first * 1000, connections=CONNECTIONS, screen=SCREEN)
    grown_by_product, before = grown(world, before), sizes_of_tables(world)
    await finalise_pgbench(
        world.core,
        CANDIDATES,
        values_of(world.core, by_product, by_pgbench),
        before=(first + 1) * 1000,
        connections=CONNECTIONS,
        screen=SCREEN,
    )
    return by_product, by_pgbench, [grown_by_product, grown(world, before)]


async def test_pgbench_leaves_the_rows_that_the_product_leaves_table_by_table(world: World) -> None:
    by_product, by_pgbench, (product, pgbench) = await finalise_both(world, 10)
    items = len(world.questions.question_ids)

    assert product == pgbench
    assert product == {
        **dict.fromkeys(("submissions", "submission_scores", "submission_subjects", "told"), CANDIDATES),
        "pending_reviews": CANDIDATES,
        "hot_sessions": CANDIDATES,  # whose events go by policy some day
        "ended_attempts": CANDIDATES,  # and what only the running attempt needed
        "submission_items": CANDIDATES * items,
        "ledger_events": CANDIDATES * 2,  # the submission, and the end of the session
        "ledger_salts": CANDIDATES * 3,  # of both records, and where the hand-in came from
        "live_changes": CANDIDATES * 2,  # of the attempt and of its session, for who watches the exam
    }
    assert what_is_common(world, by_product) == what_is_common(world, by_pgbench)
    check_left(world.core, by_pgbench, world.questions, CANDIDATES)


async def test_what_pgbench_writes_hangs_together_and_its_ledger_events_are_canonical(world: World) -> None:
    by_product, by_pgbench, _ = await finalise_both(world, 20)
    joined = (
        "SELECT bool_and(a.submission_data ->> 'submission_id' = s.id::text AND o.resource_id = s.id"
        " AND e.aggregate_id = s.id::text AND o.payload ->> 'attempt_id' = a.id::text"
        " AND o.payload ->> 'content_sha256' = encode(s.content_sha256, 'hex')"
        " AND convert_from(e.body, 'UTF8')::jsonb -> 'detail' = o.payload AND a.completed_at = s.finalised_at"
        " AND e.occurred_at = s.finalised_at AND p.ended_at = ended.occurred_at"
        " AND convert_from(ended.body, 'UTF8')::jsonb #>> '{detail,attempt_id}' = a.id::text),"
        " count(*), max(length(s.content)), max(length(e.body)),"
        " array_agg(DISTINCT length(ended.body) - length(p.id::text))"
        " FROM submissions s JOIN exam_attempts a ON a.id = s.attempt_id"
        " JOIN told o ON o.event_id = s.event_id JOIN ledger_events e ON e.id = s.event_id"
        " JOIN proctor_sessions p ON p.attempt_id = a.id"
        " JOIN ledger_events ended ON ended.kind = 'session.ended' AND ended.aggregate_id = p.id::text"
        " WHERE s.exam_id = $1"
    )
    with as_migrated(world):
        assert await check_ledger(world.core, SCREEN), "it verifies the whole log, bodies against columns"

    product, pgbench = world.rows(joined, by_product)[0], world.rows(joined, by_pgbench)[0]
    assert product[:2] == (True, CANDIDATES)
    assert product == pgbench


async def test_pgbench_s_values_hold_a_null_as_a_word(world: World) -> None:
    exam_id = await world.exam(30)
    await finalise_http(world.core, CANDIDATES, before=30_000, connections=CONNECTIONS, screen=SCREEN)

    values = values_of(world.core, exam_id, "another")
    assert (values["score"], values["passed"]) == (NONE, NONE), "the essay awaits its grader"
    assert values["exam"] == "another"
    assert all(values.values()), "pgbench takes no empty variable"


async def test_every_candidate_starts_saves_and_submits_and_all_of_it_is_counted_back(world: World) -> None:
    exam_id = await world.author.give_exam("Everybody's", world.questions)
    done = await run_minutes(world.core, exam_id, world.questions, minute_s=1.0, connections=4, screen=SCREEN)

    assert [each.statuses for each in done] == [{201: CANDIDATES}, {200: CANDIDATES}, {201: CANDIDATES}]
    assert all(0 < each.latency_ms["p50"] <= each.latency_ms["p99"] for each in done)
    assert count_left(world.core, exam_id)["answers"] == CANDIDATES * len(world.questions.question_ids)
    assert len(attempts_of(world.core, exam_id)) == CANDIDATES


async def test_recordings_are_read_back_and_one_that_is_not_as_it_was_sent_fails_the_run(core: Core) -> None:
    folder, sizes = core.key_file.parent, evidence.Sizes(candidates=2, chunks=6, chunk_bytes=1000)
    targets = make_sessions(core.servers.owner, core.keyring, 2, datetime.now(UTC))
    async with evidence.senders_of(core, targets, sizes) as senders:
        _, refused = await evidence.record_all(senders)
    evidence.check_stored(core, folder, 6)

    with pytest.raises(BenchError, match="6 of 7 chunks"):
        evidence.check_stored(core, folder, 7)
    hot = open_tiers(evidence.stores_in(folder))["hot"]
    key = hot.found("evidence/")[0].key
    hot.put(key, [b"something else"])
    with pytest.raises(BenchError, match=key):
        evidence.check_stored(core, folder, 6)
    assert refused == 0


async def test_a_refused_request_fails_the_run_and_is_shown(world: World) -> None:
    (token,) = world.core.tokens(1)
    heads = [head("POST", f"/student/attempts/{id_of(99)}/submit", token, b"{}")]
    plan = once_each(world.core, heads, b"{}", 201, connections=1)

    with pytest.raises(BenchError, match=r"(?s)submit: .*\{404: 1\}.*There is no such attempt"):
        await send("submit", plan, SCREEN)


async def test_a_missing_row_fails_the_run(world: World) -> None:
    exam_id = await world.exam(40)

    with pytest.raises(BenchError, match="8 attempts were finalised"):
        check_left(world.core, exam_id, world.questions, CANDIDATES)


async def test_the_benchmark_s_counts_of_unsealed_events_and_its_verifier_agree(world: World) -> None:
    await world.exam(50)
    await finalise_http(world.core, CANDIDATES, before=50_000, connections=CONNECTIONS, screen=SCREEN)
    keys = read_keys(load({}).ledger_origin, str(world.core.key_file))
    with as_migrated(world):
        lags = await check_ledger(world.core, SCREEN)
        report = verify(world.core.servers.postgres.url, keys, witness=world.core.witness)

    assert report.findings == []
    assert report.size == world.rows("SELECT count(*) FROM ledger_events")[0][0]
    assert world.rows(named("bench_core")["count_unsealed"]) == [(0,)]
    assert 0 < lags["p50"] <= lags["p99"]


@pytest.mark.slow("a whole benchmark, a small one")
async def test_the_report_has_exactly_these_keys(tmp_path: Path) -> None:
    sizes = Sizes(
        candidates=8, minute_s=0.5, minute_connections=4, finalises=8, passes=1, connections=2, logins=3,
        probe_s=0.5, append_s=0.3,
    )  # fmt: skip
    report = msgspec.to_builtins(await measure(sizes, SCREEN, tmp_path / "log"))

    assert list(report) == [
        *("finalises_per_s", "pgbench_finalises_per_s", "ratio_to_pgbench", "ledger_appends_per_s"),
        *("seal_lag_s", "start_ms", "save_ms", "submit_ms", "login_storm", "machine"),
    ]
    assert list(report["ledger_appends_per_s"]) == ["without_views", "with_views"]
    for name in ("seal_lag_s", "start_ms", "save_ms", "submit_ms"):
        assert list(report[name]) == ["p50", "p99"], name
    assert report["login_storm"]["logins"] == 3
    assert report["ratio_to_pgbench"] == pytest.approx(
        report["finalises_per_s"] / report["pgbench_finalises_per_s"]
    )
    msgspec.convert(report, CoreReport)
