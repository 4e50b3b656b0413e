"""Policies and legal holds, as admins set them (spec.md G-1)."""

from uuid import uuid4

import asyncpg
import pytest

from core_api.retention.holds import TRANSITIONS, HoldStatus
from tests.kits.core import Core, put

HOLDS = "/api/admin/legal-holds"


async def test_a_policy_is_bounded_ledgered_and_the_default_until_it_is_set(core: Core) -> None:
    """spec.md, decision 12: events 30 to 90 days, evidence 90 unless the organisation says otherwise."""
    async with core.school() as api:
        default = {"events_days": 90, "evidence_days": 90, "inactive_days": None,
                   "submissions_days": None, "runtime_days": 90, "set_at": None}  # fmt: skip
        assert (await api.get("/api/admin/retention", "admin")).body == default
        for name, wrong in (
            ("events_days", (29, 91, 0, -1)), ("evidence_days", (0, 3651, -1)),
            ("inactive_days", (364, 36_501, 0)), ("submissions_days", (364, 36_501, 0)),
            ("runtime_days", (29, 3651, 0)),
        ):  # fmt: skip
            for days in wrong:
                assert (await put(api, "/api/admin/retention", "admin", **{name: days})).status == 422
        set_ = await put(api, "/api/admin/retention", "admin", events_days=30)
        assert (set_.status, set_.body["events_days"], set_.body["evidence_days"]) == (200, 30, 90)
        assert (await put(api, "/api/admin/retention", "admin", events_days=30)).body == set_.body
        longer = await put(api, "/api/admin/retention", "admin", evidence_days=400)
        assert (longer.body["events_days"], longer.body["evidence_days"]) == (30, 400)
        for name in ("inactive_days", "submissions_days"):
            for number in (730, None):
                put_ = await put(api, "/api/admin/retention", "admin", **{name: number})
                assert (put_.body["events_days"], put_.body[name]) == (30, number)
        shorter = await put(api, "/api/admin/retention", "admin", runtime_days=60)
        assert (shorter.body["events_days"], shorter.body["runtime_days"]) == (30, 60)
        assert (await api.get("/api/admin/retention", "boss")).body["events_days"] == 90
        told = await api.owner.fetchval(
            "SELECT count(*) FROM ledger_events WHERE kind = 'retention_policy.set'"
        )
        assert told == 7
        assert (await api.get("/api/admin/retention/forecast", "admin")).body["foreseen"] == []


async def test_a_hold_is_placed_and_lifted_once(core: Core) -> None:
    """spec.md G-1: with a reason each, on the ledger."""
    async with core.school() as api:
        student = str(api.people["student"].id)
        for kind, target in (("person", str(uuid4())), ("exam", student), ("person", str(api.exam_id))):
            body = {"kind": kind, "target_id": target, "reason": "A lawsuit."}
            assert (await api.post(HOLDS, "admin", json=body)).status == 404
        exam = {"kind": "exam", "target_id": str(api.exam_id), "reason": "A complaint."}
        person = {"kind": "person", "target_id": student, "reason": "A lawsuit."}
        held = [(await api.post(HOLDS, "admin", json=body)).body for body in (exam, person)]
        assert [each["id"] for each in (await api.get(HOLDS, "admin")).body["holds"]] == [
            each["id"] for each in reversed(held)
        ]
        lift = f"{HOLDS}/{held[1]['id']}/lift"
        assert (await api.post(lift, "boss", json={"reason": "Mine."})).status == 404
        lifted = await api.post(lift, "admin", json={"reason": "Settled."})
        assert (lifted.status, lifted.body["status"], lifted.body["lift_reason"]) == (
            200,
            "lifted",
            "Settled.",
        )
        assert (await api.post(lift, "admin", json={"reason": "Again."})).status == 409
        placed = (await api.get(f"{HOLDS}?status=placed", "admin")).body["holds"]
        assert [each["id"] for each in placed] == [held[0]["id"]]


async def test_the_database_allows_what_the_table_of_transitions_does(core: Core) -> None:
    """house.md: a state machine is said twice."""
    async with core.school() as api:
        body = {"kind": "person", "target_id": str(api.people["student"].id), "reason": "A lawsuit."}
        for before in HoldStatus:
            for after in HoldStatus:
                hold = (await api.post(HOLDS, "admin", json=body)).body["id"]
                if before is HoldStatus.lifted:
                    await api.post(f"{HOLDS}/{hold}/lift", "admin", json={"reason": "Over."})
                change = (
                    "UPDATE public.legal_holds SET status = $2,"
                    " lifted_by = CASE $2 WHEN 'lifted' THEN placed_by END,"
                    " lifted_at = CASE $2 WHEN 'lifted' THEN now() END,"
                    " lift_reason = CASE $2 WHEN 'lifted' THEN 'Over.' END WHERE id = $1"
                )
                if after in TRANSITIONS[before]:
                    await api.owner.execute(change, hold, after.value)
                else:
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await api.owner.execute(change, hold, after.value)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.owner.execute("DELETE FROM public.legal_holds")
