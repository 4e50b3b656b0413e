"""Evidence whose file went by policy, as everybody meets it (spec.md G-1, V-2, V-3)."""

import copy
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.verify_export import verify_custody
from kernel.ledger.checkpoints import verifier_keys
from tests.integration.core_api.observations.test_amending import amend, review
from tests.integration.core_api.observations.test_observations import make_form, observe
from tests.kits.core import Api, DatabaseAs, core_api, put
from tests.kits.evidence import PNG, end_session, fetch, sent
from tests.kits.evidence_old import OLD, expire, places
from tests.kits.ledger import Log, make_log

VERIFIED, WRONG = 0, 1
FORECAST = "/api/admin/retention/forecast"


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    return make_log(database, database_as, tmp_path, **places(tmp_path))


def serving(log: Log, database: str, database_as: DatabaseAs) -> Any:
    stores = {name: getattr(log.settings, name) for name in ("evidence_store", "evidence_cold_store")}
    return core_api(database, database_as, **stores)


async def age(api: Api) -> None:
    """Let everything that was sent, observed and reviewed be a hundred days old."""
    async with api.owner.transaction():
        await api.owner.execute("SET LOCAL session_replication_role = replica")
        for table in ("submissions", "observation_reviews"):
            await api.owner.execute(f"ALTER TABLE public.{table} DISABLE TRIGGER append_only")
        await api.owner.execute("UPDATE public.evidence SET requested_at = $1, closed_at = $1", OLD)
        await api.owner.execute("UPDATE public.submissions SET finalised_at = $1", OLD)
        await api.owner.execute("UPDATE public.observation_reviews SET reviewed_at = $1", OLD)
        await api.owner.execute(
            "UPDATE public.exam_attempts SET status = 'abandoned', completed_at = $1", OLD
        )
        for table in ("submissions", "observation_reviews"):
            await api.owner.execute(f"ALTER TABLE public.{table} ENABLE ALWAYS TRIGGER append_only")


async def foreseen(api: Api) -> dict[str | None, int]:
    found = (await api.get(FORECAST, "admin")).body["foreseen"]
    return {each["why"]: each["pieces"] for each in found if each["what"] == "evidence"}


async def test_a_file_that_went_is_a_410_and_its_custody_says_so_and_verifies_g1(
    database: str, database_as: DatabaseAs, log: Log, tmp_path: Path
) -> None:
    async with serving(log, database, database_as) as api:
        session_id = await api.start_session()
        evidence_id = await sent(api, session_id)
        listed = f"/api/proctor/session/{session_id}/evidence"
        await end_session(api, session_id, ago=timedelta(days=100))
        await age(api)
        await put(api, "/api/admin/retention", "admin", evidence_days=400)
        (longer,) = (await api.get(listed, "teacher")).body["data"]
        none = (await foreseen(api), expire(log.settings).pieces)
        await put(api, "/api/admin/retention", "admin", evidence_days=90)
        (before,) = (await api.get(listed, "teacher")).body["data"]
        address = (await api.get(f"/api/proctor/evidence/{evidence_id}/download-url", "teacher")).body["data"]
        there = await fetch(api, evidence_id)
        due, swept = await foreseen(api), expire(log.settings)
        (after,) = (await api.get(listed, "teacher")).body["data"]
        again = await api.get(f"/api/proctor/evidence/{evidence_id}/download-url", "teacher")
        old = await api.get(address["downloadUrl"])
        left = await foreseen(api)
        log.seal()
        custody = (await api.get(f"{listed}/custody", "teacher")).body

    assert (none, due, swept.pieces, left) == (({}, 0), {None: 1}, 1, {})
    assert there.status == 200
    assert [(each.status, each.body["code"]) for each in (again, old)] == [(410, "gone")] * 2
    assert before["goneAt"] is None
    assert before | {"goneAt": after["goneAt"], "expiresAt": after["goneAt"]} == after
    moments = [datetime.fromisoformat(each["expiresAt"]) for each in (before, longer)]
    assert moments[1] - moments[0] == timedelta(days=310)
    assert moments[0] < datetime.now(UTC)

    def check(document: Any) -> tuple[int, str]:
        (path := tmp_path / "custody.json").write_text(json.dumps(document))
        verdict = verify_custody(str(path), [], verifier_keys(log.keys), [str(log.witness)], [])
        return verdict.code(), "\n".join(verdict.lines())

    code, lines = check(custody)
    assert (code, f"evidence {evidence_id}: its file went by policy" in lines) == (VERIFIED, True), lines
    for wrong in (None, "2024-01-15T10:00:00Z"):
        other = copy.deepcopy(custody)
        other["data"]["evidence"][0]["goneAt"] = wrong
        assert check(other)[0] == WRONG
    hidden = copy.deepcopy(custody)
    hidden["data"]["events"] = [each for each in hidden["data"]["events"] if "expired" not in each["body"]]
    assert check(hidden)[0] == WRONG


async def test_evidence_of_a_finding_counts_from_the_observation_and_stays_where_something_is_open_g1(
    database: str, database_as: DatabaseAs, log: Log
) -> None:
    """Nothing goes that a returned observation, a draft or what amends it needs; then all of it goes."""
    async with serving(log, database, database_as) as api:
        form = await make_form(api)
        picture = {"examId": form.exam_id, "type": 3, "contentType": "image/png", "fileName": "bench.png"}
        one, two, three = [await sent(api, None, PNG, "observer", **picture) for _ in range(3)]
        first = await observe(api, form, evidence=[{"evidence_id": one}])
        draft = await api.post(
            f"/api/observer/exams/{form.exam_id}/observation-drafts", "observer",
            json={"content": {"evidence": [{"evidence_id": two}]}},
        )  # fmt: skip
        assert (first.status, draft.status) == (201, 201), draft.body
        submission_id = first.body["submission_id"]
        young = (await foreseen(api), expire(log.settings).pieces)
        await review(api, submission_id, "returned")
        await age(api)
        returned = await foreseen(api)
        unattached = expire(log.settings).pieces
        attached = await observe(api, form, key="another", evidence=[{"evidence_id": three}])
        amended = await amend(api, form, submission_id)
        assert amended.status == 201, amended.body
        kept = expire(log.settings).pieces
        await age(api)
        looked = await review(api, amended.body["submission_id"], "accepted")
        fresh = expire(log.settings).pieces
        await age(api)
        held = {"kind": "person", "target_id": str(api.people["student"].id), "reason": "A complaint."}
        hold = (await api.post("/api/admin/legal-holds", "admin", json=held)).body["id"]
        why = await foreseen(api)
        await api.post(f"/api/admin/legal-holds/{hold}/lift", "admin", json={"reason": "Settled."})
        last = expire(log.settings).pieces
        await api.owner.execute("DELETE FROM public.observation_drafts")
        unnamed = expire(log.settings).pieces
        shown = (await api.get(f"/api/teacher/observations/{submission_id}", "teacher")).body

    assert young == ({}, 0)
    assert returned == {"review_open": 1, "draft_open": 1, None: 1}
    assert (unattached, attached.status, kept, fresh) == (1, 422, 0, 0)
    assert (looked.status, why) == (201, {"legal_hold": 1, "draft_open": 1})
    assert (last, unnamed) == (1, 1)
    assert [each["evidence_id"] for each in shown["evidence"]] == [one]
