"""A claim that is upheld for everybody: its resolution leads to a remediation (spec.md M-2, M-1)."""

import asyncio

import asyncpg
import pytest

from tests.kits.authoring import Made, make_exam, save_all_right, start, submit
from tests.kits.claims import REASON, handle, open_claim
from tests.kits.core import Api, Core, grant
from tests.kits.remediations import PATH, apply, begin, drafted, sweep

DROP = {"kind": "drop_question", "position": 1}


async def claimed(api: Api, made: Made, by: str) -> str:
    """Let somebody hand in and claim, and the teacher acknowledge that; return the claim."""
    attempt_id = await start(api, made, by)
    await save_all_right(api, made, attempt_id, by)
    await submit(api, attempt_id, by)
    claim_id: str = (await open_claim(api, attempt_id, by)).body["claim_id"]
    assert (await handle(api, claim_id, "acknowledge")).status == 200
    return claim_id


async def test_an_upheld_claim_puts_the_key_right_and_others_name_the_same_remediation_m2(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "single_choice", "numeric")
        first, second = [await claimed(api, made, by) for by in ("student", "other_student")]
        told = {"outcome": "upheld", "text_en": REASON, "remediation_id": await drafted(api, made, DROP)}
        done = await handle(api, first, "resolve", **told)
        await sweep(api)
        mine = (await api.get(f"/api/student/claims/{first}", "student")).body
        result = (await api.get(f"/api/student/attempts/{mine['attempt_id']}", "student")).body
        again = await handle(api, second, "resolve", **told)
        acts = await api.owner.fetch(
            "SELECT kind FROM ledger_events WHERE kind ~ '^(claim.resolved|results)'"
        )

        assert (done.status, again.status) == (200, 200), (done.body, again.body)
        (resolution,) = done.body["resolutions"]
        assert (resolution["led_to"], resolution["remediation_id"]) == ("remediation", told["remediation_id"])
        assert mine["resolutions"][0]["led_to"] == "remediation"
        assert [each["note_en"] for each in result["corrections"]] == ["Question 1 had a wrong key."]
        assert sorted(row["kind"] for row in acts) == [
            "claim.resolved", "claim.resolved", "results.remediated",
        ]  # fmt: skip


async def test_whoever_applied_it_resolves_nothing_that_is_claimed_against_it_m2(core: Core) -> None:
    """A claim from before is another thing: the remediation may be what answers it."""
    async with core.school() as api:
        made = await make_exam(api, "single_choice", "numeric")
        before = await claimed(api, made, "student")
        other = await start(api, made, "other_student")
        await save_all_right(api, made, other, "other_student")
        await submit(api, other, "other_student")
        await apply(api, await drafted(api, made, DROP))
        since = (await open_claim(api, other, "other_student")).body["claim_id"]
        await handle(api, since, "acknowledge")
        shown = [(await api.get(f"/api/teacher/claims/{each}", "teacher")).body for each in (before, since)]
        done = [(await handle(api, each, "resolve")).status for each in (before, since)]

        assert [each["had_hand"] for each in shown] == [False, True]
        assert done == [200, 403]
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="who had a hand"):
            await api.owner.execute(
                "INSERT INTO resolutions VALUES ($1, 1, 'rejected', 'nothing', NULL, NULL, 'No.', NULL,"
                " $2, now())",
                since, api.people["teacher"].id,
            )  # fmt: skip


async def test_a_resolution_applies_only_what_its_resolver_may_and_what_reaches_the_result_m2(
    core: Core,
) -> None:
    async with core.school() as api:
        made, others = [await make_exam(api, "single_choice", "numeric") for _ in range(2)]
        await grant(api, made.exam_id, can_edit=True)  # not the other exam of the same evaluation
        again = {
            "title": "Again",
            "duration_minutes": 30,
            "evaluation_version_id": made.evaluation_version_id,
        }
        assert (await api.post("/api/teacher/exams", "teacher", json=again)).status == 201
        claim_id = await claimed(api, made, "student")
        right, wrong, cancelled = [await drafted(api, each, DROP) for each in (made, others, made)]
        await api.post(f"{PATH}/{cancelled}/cancel", "teacher")
        told = {"outcome": "upheld", "text_en": REASON}
        refused = [
            await handle(api, claim_id, "resolve", by, **(told | more))
            for by, more in (
                ("teacher", {"remediation_id": wrong}),
                ("teacher", {"remediation_id": cancelled}),
                ("teacher", {"remediation_id": right, "grades": [{"position": 1, "points": 1}]}),
                ("teacher", {"remediation_id": right, "outcome": "rejected"}),
                ("colleague", {"remediation_id": right}),
            )
        ]
        statuses = await api.owner.fetch(
            "SELECT DISTINCT status FROM remediations WHERE id = ANY($1::uuid[])", [right, wrong]
        )
        state = await api.owner.fetchval("SELECT state FROM claims")
        version = await api.owner.fetchval("SELECT count(*) FROM resolutions")

        assert [each.status for each in refused] == [422, 409, 422, 422, 403]
        assert ([row["status"] for row in statuses], state, version) == (["draft"], "acknowledged", 0)
        await begin(api, wrong)
        with pytest.raises(asyncpg.ForeignKeyViolationError, match="does not reach"):
            await api.owner.execute(
                "INSERT INTO resolutions VALUES ($1, 1, 'upheld', 'remediation', NULL, NULL, 'Yes.', NULL,"
                " $2, now(), $3)",
                claim_id, api.people["admin"].id, wrong,
            )  # fmt: skip


async def test_two_claims_resolved_at_once_by_one_draft_apply_it_once_m2(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "single_choice", "numeric")
        claims = [await claimed(api, made, by) for by in ("student", "other_student")]
        told = {"outcome": "upheld", "text_en": REASON, "remediation_id": await drafted(api, made, DROP)}
        done = await asyncio.gather(*(handle(api, each, "resolve", **told) for each in claims))
        begun = await api.owner.fetchval(
            "SELECT count(*) FROM ledger_events WHERE kind = 'results.remediated'"
        )

        assert [each.status for each in done] == [200, 200]
        assert begun == 1
