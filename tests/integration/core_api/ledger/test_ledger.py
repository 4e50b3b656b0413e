"""Heads, proofs, the audit log and views over HTTP (spec.md L-2, S-2, A-4, A-6)."""

import asyncio
import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import thread_time
from typing import Any
from uuid import UUID, uuid4

import pytest

from core_api.actors import Actor
from core_api.database import Pool
from core_api.ledger.entries import Personal, record
from core_api.ledger.viewings import Views
from deploy import verify_export
from kernel.access import Scope
from kernel.errors import OverloadedError
from kernel.events import Role
from kernel.ledger.checkpoints import open_head, verifier_keys
from kernel.ledger.merkle import leaf_hash, verify_consistency, verify_inclusion
from kernel.postgres import open_pool
from kernel.settings import load
from tests.kits.core import Api, DatabaseAs, core_api
from tests.kits.ledger import Log, entry, make_log


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    return make_log(database, database_as, tmp_path)


async def append_for(api: Api, count: int = 1, **more: Any) -> list[UUID]:
    """Append events of the organisation `Here`."""
    organisation = api.people["admin"].organisation_id
    entries = [entry(number, **{"organisation_id": organisation} | more) for number in range(count)]
    return await record(api.owner, *entries)


def decoded(hashes: list[str]) -> list[bytes]:
    return [base64.b64decode(each) for each in hashes]


async def test_before_anything_is_sealed_there_is_no_head(log: Log, database_as: DatabaseAs) -> None:
    async with core_api(log.owner_url, database_as) as api:
        for path in ("/api/ledger/head", "/api/ledger/consistency"):
            answer = await api.get(path, "student")
            assert (answer.status, answer.body["code"]) == (404, "not_found")


def check_receipt(log: Log, receipt: Path) -> "subprocess.CompletedProcess[str]":
    """Run the stand-alone verifier on a saved proof."""
    command = [sys.executable, "-I", verify_export.__file__, "--receipt", str(receipt)]
    command += ["--key", verifier_keys(log.keys)[0]]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


async def test_a_candidates_receipt_is_checked_without_us_s2(
    log: Log, database_as: DatabaseAs, tmp_path: Path
) -> None:
    async with core_api(log.owner_url, database_as) as api:
        student = api.people["student"].id
        await append_for(api, 300)
        (event_id,) = await append_for(api, kind="submission.finalised", subject_id=student)
        path = f"/api/ledger/events/{event_id}/proof"

        waiting = await api.get(path, "student")
        assert (waiting.status, waiting.body["code"]) == (409, "not_sealed")
        assert waiting.headers["Retry-After"] == "2"
        log.seal()
        proof = (await api.get(path, "student")).body

    head = open_head(proof["head"]["note"], log.keys)
    assert (proof["position"], head.size) == (300, 301)
    leaf = leaf_hash(proof["body"].encode())
    assert verify_inclusion(leaf, 300, 301, decoded(proof["hashes"]), head.root)
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps(proof))
    done = check_receipt(log, receipt)
    assert (done.returncode, done.stdout) == (
        4,
        f"event {event_id} stands at position 300 of the 301 signed events, not witnessed\n",
    )
    receipt.write_text(json.dumps(proof | {"body": proof["body"].replace("finalised", "withdrawn")}))
    assert check_receipt(log, receipt).returncode == 1


async def test_every_proof_under_every_head_leads_to_its_root(log: Log, database_as: DatabaseAs) -> None:
    async with core_api(log.owner_url, database_as) as api:
        ids: list[UUID] = []
        for count in (1, 2, 4, 255):
            ids += sorted(await append_for(api, count))
            log.seal()
        for size, position in ((1, 0), (3, 1), (7, 6), (8, 3), (262, 3), (262, 261)):
            proof = (await api.get(f"/api/ledger/events/{ids[position]}/proof?size={size}", "admin")).body
            head = open_head(proof["head"]["note"], log.keys)
            leaf = leaf_hash(proof["body"].encode())

            assert proof["position"] == position
            assert head.size == next(each for each in (1, 3, 7, 262) if each >= max(size, position + 1))
            assert verify_inclusion(leaf, position, head.size, decoded(proof["hashes"]), head.root)
        beyond = await api.get(f"/api/ledger/events/{ids[0]}/proof?size=263", "admin")
        assert beyond.status == 409


async def test_every_head_is_shown_to_extend_every_older_one(log: Log, database_as: DatabaseAs) -> None:
    async with core_api(log.owner_url, database_as) as api:
        for count in (3, 4, 300):
            await append_for(api, count)
            log.seal()
        roots = {head.size: head.root for head in log.witnessed()}
        for first, second in ((3, 7), (3, 307), (7, 307), (307, 307)):
            proof = (await api.get(f"/api/ledger/consistency?from={first}&to={second}", "student")).body
            hashes = decoded(proof["hashes"])
            assert verify_consistency(first, second, roots[first], roots[second], hashes)
        newest = (await api.get("/api/ledger/consistency?from=7", "student")).body
        head = (await api.get("/api/ledger/head", "student")).body
        assert (newest["second"], newest["head"]) == (307, head)

        for query, status in (("from=0", 422), ("from=8&to=7", 422), ("from=1&to=4", 422), ("to=308", 404)):
            assert (await api.get(f"/api/ledger/consistency?{query}", "student")).status == status


async def test_who_may_fetch_the_proof_of_which_event_a4(log: Log, database_as: DatabaseAs) -> None:
    async with core_api(log.owner_url, database_as) as api:
        student, teacher = api.people["student"].id, api.people["teacher"].id
        about: dict[str, Any] = {"subject_id": student}
        events = {
            "handed in": (await append_for(api, kind="submission.finalised", **about))[0],
            "looked at": (await append_for(api, kind="submission.viewed", actor_id=teacher, **about))[0],
            "scored": (await append_for(api, kind="submission.scored", **about))[0],
            "judged": (await append_for(api, kind="student_profile.updated", **about))[0],
            "own act": (await append_for(api, kind="auth.signed_in", actor_id=student))[0],
        }
        log.seal()

        seen = {
            by: {
                name
                for name, event_id in events.items()
                if (await api.get(f"/api/ledger/events/{event_id}/proof", by)).status == 200
            }
            for by in ("student", "other_student", "teacher", "colleague", "admin", "boss", "stranger")
        }
        assert seen == {
            "student": {"handed in", "scored"},
            "other_student": set(),
            "teacher": {"looked at"},
            "colleague": set(),
            "admin": set(events),
            "boss": set(),
            "stranger": set(),
        }
        assert (await api.get(f"/api/ledger/events/{uuid4()}/proof", "admin")).status == 404


async def test_the_audit_log_is_filtered_and_paged_without_gaps(log: Log, database_as: DatabaseAs) -> None:
    async with core_api(log.owner_url, database_as) as api:
        teacher = api.people["teacher"].id
        begin = datetime(2026, 5, 1, tzinfo=UTC)
        for minute in range(10):
            await append_for(api, occurred_at=begin + timedelta(minutes=minute), actor_id=teacher)
            await append_for(
                api,
                kind="attempt.started",
                aggregate_id=str(UUID(int=minute)),
                occurred_at=begin + timedelta(minutes=minute, milliseconds=0.4),
            )
        await append_for(api, organisation_id=api.people["boss"].organisation_id)

        async def page(query: str) -> Any:
            answer = await api.get(f"/api/ledger/events?{query}", "admin")
            assert answer.status == 200, answer.body
            return answer.body

        events, cursor = [], ""
        while True:
            body = await page(f"limit=3{cursor}")
            events += body["events"]
            if body["next_cursor"] is None:
                break
            cursor = f"&cursor={body['next_cursor']}"
        assert len({event["event_id"] for event in events}) == len(events) == 20
        times = [datetime.fromisoformat(event["occurred_at"]) for event in events]
        assert times == sorted(times, reverse=True)
        assert len((await page("kind=attempt.started"))["events"]) == 10
        assert len((await page(f"actor_id={teacher}"))["events"]) == 10
        assert len((await page(f"aggregate_type=attempt&aggregate_id={UUID(int=3)}"))["events"]) == 1
        since, before = "2026-05-01T00:02:00Z", "2026-05-01T00:04:00.0003Z"
        assert len((await page(f"from={since}&to={before}"))["events"]) == 5
        assert (await api.get("/api/ledger/events", "teacher")).status == 403
        assert (await api.get("/api/ledger/events?limit=201", "admin")).status == 422
        assert (await api.get("/api/ledger/events?kind=%00", "admin")).status == 422


async def test_the_audit_log_shows_personal_values_until_they_are_erased(
    log: Log, database_as: DatabaseAs
) -> None:
    async with core_api(log.owner_url, database_as) as api:
        person = api.people["student"].id
        await append_for(api, personal={"address": Personal("192.0.2.7", person)}, detail={"n": 1})
        log.seal()

        (event,) = (await api.get("/api/ledger/events", "admin")).body["events"]
        assert (event["personal"], event["detail"], event["position"]) == (
            {"address": "192.0.2.7"},
            {"n": 1},
            0,
        )
        await api.owner.execute("DELETE FROM ledger_salts WHERE person_id = $1", person)
        (event,) = (await api.get("/api/ledger/events", "admin")).body["events"]
        assert event["personal"] == {"address": None}


def actor(role: Role = Role.teacher) -> Actor:
    return Actor(
        user_id=uuid4(), organisation_id=uuid4(), email="t@example.org", role=role, scope=Scope.granted
    )


async def pool_of(url: str) -> Pool:
    return await open_pool(load({}, database_url=url))


async def test_views_are_written_beside_the_request_and_cost_it_microseconds_a6(log: Log) -> None:
    async with await pool_of(log.core_url) as pool:
        views = Views(pool, waiting_max=10_000)
        work = asyncio.create_task(views.work())
        viewer, now = actor(), datetime.now(UTC)
        started = thread_time()  # whoever else has the core meanwhile costs no request anything
        for number in range(5000):
            views.note(viewer, "submission", number, now=now)
        spent_s = thread_time() - started
        async with asyncio.timeout(20):
            while log.rows("SELECT count(*) FROM ledger_events") != [(5000,)]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        views.stop()
        await work

    assert spent_s / 5000 < 50e-6
    assert log.rows("SELECT DISTINCT kind, actor_id FROM ledger_events") == [
        ("submission.viewed", viewer.user_id)
    ]
    assert log.seal() == 5000


async def test_at_the_bound_a_view_that_cannot_be_recorded_is_refused(log: Log) -> None:
    async with await pool_of(log.core_url) as pool:
        views = Views(pool, waiting_max=2)
        for number in range(2):
            views.note(actor(), "submission", number, now=datetime.now(UTC))
        with pytest.raises(OverloadedError):
            views.note(actor(), "submission", 3, now=datetime.now(UTC))
        await views.flush()
        views.note(actor(), "submission", 3, now=datetime.now(UTC))
        await views.flush()

    assert log.rows("SELECT count(*) FROM ledger_events") == [(3,)]


async def test_views_wait_while_the_database_refuses_them_and_are_written_once(log: Log) -> None:
    async with await pool_of(log.core_url) as pool:
        views = Views(pool, waiting_max=100)
        views.note(actor(), "submission", 1, now=datetime.now(UTC))
        log.run("ALTER TABLE ledger_events RENAME TO ledger_away")
        with pytest.raises(Exception, match="ledger_events"):
            await views.flush()
        log.run("ALTER TABLE ledger_away RENAME TO ledger_events")
        await views.flush()
        await views.flush()

    assert log.rows("SELECT kind FROM ledger_events") == [("submission.viewed",)]


async def test_staff_who_look_at_an_attempts_monitoring_are_on_the_ledger_a6(
    log: Log, database_as: DatabaseAs
) -> None:
    async with core_api(log.owner_url, database_as) as api:
        attempt_id = await api.start_attempt()
        await api.start_session(attempt_id=attempt_id)
        path = f"/api/teacher/attempts/{attempt_id}/monitoring"
        assert (await api.get(path, "reviewer")).status == 200
        assert (await api.get(path, "colleague")).status == 404
    # The application has stopped, and has written what waited.

    ((kind, kind_of, number, who, whom),) = log.rows(
        "SELECT kind, aggregate_type, aggregate_id, actor_id, subject_id FROM ledger_events"
        " WHERE kind LIKE '%.viewed'"
    )
    assert (kind, kind_of, number) == ("attempt.viewed", "attempt", attempt_id)
    assert (who, whom) == (api.people["reviewer"].id, api.people["student"].id)
