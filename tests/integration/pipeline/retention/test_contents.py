"""What was handed in goes by policy; results, receipts and the ledger stay (spec.md G-1, S-2, S-3)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import orjson
import psycopg
import pytest
from msgspec import Struct

from deploy.verify_export import verify_receipt
from kernel.ledger.checkpoints import verifier_keys
from pipeline.ledger.verify import verify
from pipeline.projections.turns import project
from pipeline.publications import publish_marked
from pipeline.rebuild import rebuild
from pipeline.retention.forecast import forecast
from pipeline.retention.submissions import sweep_contents
from sql.running import connect
from tests.kits.authoring import RIGHT, Made, answer, make_exam, save, start, submit
from tests.kits.branded import found_in_database
from tests.kits.core import Api, DatabaseAs
from tests.kits.core import core_api as serving
from tests.kits.ledger import Log, make_log
from tests.kits.pipeline_child import drain_outbox, fold_now, kill_at_statement
from tests.kits.recomputed import contents
from tests.kits.remediations import apply, drafted, standing
from warehouse.publish import no_step

WORD: Final = "Quokkaberry"
RESULTS: Final = """
SELECT submission_id, revision, points, score, percentage, passed, item_points, reason
FROM submission_scores ORDER BY 1, 2
"""
DETAIL: Final = """
SELECT convert_from(body, 'UTF8')::json -> 'detail' FROM ledger_events WHERE kind = 'submission.redacted'
"""
# A day is over at once; nothing else of the policy is another.
AT_ONCE: Final = "ALTER TABLE retention_policies DROP CONSTRAINT retention_policies_submissions_days_check"
POLICY: Final = (
    "INSERT INTO retention_policies (organisation_id, submissions_days, set_by, set_at)"
    " SELECT organisation_id, 0, id, now() FROM users WHERE id = '{}'"
)


class HandedIn(Struct, frozen=True):
    """Who handed in what, in whose words."""

    api: Api
    made: Made
    attempt_id: str
    submission_id: str


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    return make_log(
        database, database_as, tmp_path,
        warehouse=str(tmp_path / "warehouse"), build_grace_s=0, cohort_settled_s=0, cohort_every_s=0,
    )  # fmt: skip


@pytest.fixture
async def world(database: str, database_as: DatabaseAs, log: Log) -> AsyncIterator[HandedIn]:
    """Somebody handed in words and a choice, and their school keeps contents no longer."""
    async with serving(database, database_as) as api:
        made = await make_exam(api, "single_choice", "short_text", "essay")
        attempt_id = await start(api, made)
        for number, essay in enumerate((f"{WORD} begins", f"{WORD} grows and ends"), 1):
            given = [
                answer(made.questions["single_choice"], number, **RIGHT["single_choice"]),
                answer(made.questions["short_text"], number, **RIGHT["short_text"]),
                answer(made.questions["essay"], number, text=essay),
            ]
            assert (await save(api, attempt_id, *given)).status == 200
        handed_in = (await submit(api, attempt_id, key=WORD)).body
        log.run(AT_ONCE)
        log.run(POLICY.format(api.people["admin"].id))
        yield HandedIn(api, made, attempt_id, handed_in["submission_id"])


async def grade(world: HandedIn, points: int = 1) -> None:
    path = f"/api/teacher/submissions/{world.submission_id}/grades"
    graded = {"grades": [{"position": 3, "points": points}], "reason": "Read."}
    assert (await world.api.post(path, "teacher", json=graded)).status == 201


def sweep(log: Log) -> int:
    with connect(log.settings.database_url) as conn:
        return sweep_contents(conn, now=datetime.now(UTC))


def foreseen(log: Log) -> dict[str | None, int]:
    with connect(log.settings.database_url) as conn:
        found = forecast(conn, now=datetime.now(UTC))
        return {each.why: each.pieces for each in found if each.what == "submissions"}


def settle(log: Log) -> None:
    fold_now(log.settings)
    drain_outbox(log.settings, no_step)
    for _ in range(4):
        project(log.settings, seconds_max=60)
    publish_marked(log.settings)


async def test_words_go_and_results_receipts_and_the_ledger_stay_g1(
    world: HandedIn, log: Log, tmp_path: Path
) -> None:
    api = world.api
    await grade(world)
    await asyncio.to_thread(rebuild, log.settings)
    results, student = log.rows(RESULTS), log.rows("SELECT * FROM users ORDER BY id")
    assert (foreseen(log), sweep(log), sweep(log), foreseen(log)) == ({None: 1}, 1, 0, {})
    await asyncio.to_thread(settle, log)

    assert found_in_database(log.owner_url, WORD) == []
    assert log.rows(RESULTS) == results
    assert log.rows("SELECT * FROM users ORDER BY id") == student
    [(told,)] = log.rows(DETAIL)
    assert told == {"rule": "submissions_days", "days": 0}
    before = contents(log.owner_url)
    await asyncio.to_thread(rebuild, log.settings)
    assert contents(log.owner_url) == before
    log.seal()
    assert verify(log.owner_url, log.keys, witness=log.witness).findings == []
    shown = (await api.get(f"/api/student/attempts/{world.attempt_id}/submission", "student")).body
    assert shown["content"] is None
    receipt = (await api.get(f"/api/student/attempts/{world.attempt_id}/receipt", "student")).body
    assert receipt["content"] is None
    assert checked(log, receipt, tmp_path) == (
        0, f"submission {world.submission_id}, without its content, stands",
    )  # fmt: skip
    other = receipt | {"receipt": receipt["receipt"] | {"content_sha256": "00" * 32}}
    assert checked(log, other, tmp_path)[0] == 1


def checked(log: Log, receipt: dict[str, Any], folder: Path) -> tuple[int, str]:
    """Check a receipt elsewhere; return how that ends, and what is said of it, without where."""
    file = folder / "receipt.json"
    file.write_bytes(orjson.dumps(receipt))
    verdict = verify_receipt(str(file), verifier_keys(log.keys), [str(log.witness)], [])
    return verdict.code(), verdict.lines()[0].partition(" at position")[0]


async def test_what_waits_for_a_grader_or_is_held_stays(world: HandedIn, log: Log) -> None:
    """spec.md G-1: the forecast says why."""
    assert (foreseen(log), sweep(log)) == ({"not_graded": 1}, 0)
    await grade(world)
    hold = {"kind": "exam", "target_id": world.made.exam_id, "reason": "A complaint."}
    held = (await world.api.post("/api/admin/legal-holds", "admin", json=hold)).body
    assert (foreseen(log), sweep(log)) == ({"legal_hold": 1}, 0)
    lift = f"/api/admin/legal-holds/{held['id']}/lift"
    assert (await world.api.post(lift, "admin", json={"reason": "Over."})).status == 200
    claim = {"subject": "result", "text": "It was right."}
    opened = await world.api.post(f"/api/student/attempts/{world.attempt_id}/claims", "student", json=claim)
    assert opened.status == 201, opened.body
    assert (foreseen(log), sweep(log)) == ({"claim_open": 1}, 0)
    withdraw = f"/api/student/claims/{opened.body['claim_id']}/withdraw"
    assert (await world.api.post(withdraw, "student")).status == 200
    assert sweep(log) == 1


async def test_a_remediation_leaves_words_that_have_gone_their_share(world: HandedIn, log: Log) -> None:
    """spec.md M-1, S-3: nobody loses points because an answer is kept no longer."""
    await grade(world)
    before = await standing(world.api, world.submission_id)
    assert sweep(log) == 1
    accept = {"kind": "accept_answer", "position": 2, "response": {"text": "Light"}}
    await apply(world.api, await drafted(world.api, world.made, accept))
    assert (await standing(world.api, world.submission_id))["points"] == before["points"]
    reweight = {"kind": "reweight", "position": 2, "points": 3}
    await apply(world.api, await drafted(world.api, world.made, reweight))
    assert (await standing(world.api, world.submission_id))["points"] == before["points"] + 1


async def test_a_step_of_its_own_transaction_alone_changes_what_was_handed_in(
    world: HandedIn, log: Log
) -> None:
    await grade(world)
    assert sweep(log) == 1
    with psycopg.connect(log.owner_url) as conn:
        for statement in (
            "UPDATE submission_items SET response = '{}'",
            "UPDATE submissions SET content = 'other'",
            "DELETE FROM gone_contents",
            f"SELECT erase_contents('{world.submission_id}')",
        ):
            conn.execute(
                "SELECT set_config('veritas.gone_contents', submission_id::text, true) FROM gone_contents"
            )
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement.encode())
            conn.rollback()
    with (
        psycopg.connect(log.settings.database_url) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute("SELECT erase_contents(gen_random_uuid())")


async def test_a_step_of_retention_erases_nobody_g2(world: HandedIn, log: Log) -> None:
    """As of a person on legal hold, whom no step of an erasure reaches."""
    await grade(world)
    other = world.api.people["other_student"].id
    asked = await world.api.post(f"/api/admin/users/{other}/erasure", "admin")
    assert asked.status in {200, 201, 202}, asked.body
    hold = {"kind": "person", "target_id": str(other), "reason": "A complaint."}
    assert (await world.api.post("/api/admin/legal-holds", "admin", json=hold)).status == 201
    with connect(log.settings.database_url) as conn:
        conn.autocommit = False
        assert sweep_contents(conn, now=datetime.now(UTC)) == 1
        conn.execute("SELECT set_config('veritas.erasure', id::text, true) FROM erasures")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT erase_account()")
        conn.rollback()
    assert sweep(log) == 1


@pytest.mark.slow("a process for each statement of a sweep")
async def test_a_sweep_that_is_killed_anywhere_takes_each_once(world: HandedIn, log: Log) -> None:
    """spec.md G-1: kill -9 in front of any statement."""
    await grade(world)
    for at in count(1):
        if not await asyncio.to_thread(kill_at_statement, "contents", log.settings, at):
            break
        ((gone, told, left),) = log.rows(
            "SELECT (SELECT count(*) FROM gone_contents),"
            " (SELECT count(*) FROM ledger_events WHERE kind = 'submission.redacted'),"
            " (SELECT count(*) FROM submissions WHERE content <> '')"
        )
        assert (gone, told, gone + left) == (gone, gone, 1)

    assert log.rows("SELECT count(*) FROM submissions WHERE content <> ''") == [(0,)]
    log.seal()
    assert verify(log.owner_url, log.keys, witness=log.witness).findings == []
