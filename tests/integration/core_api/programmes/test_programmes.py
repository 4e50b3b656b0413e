"""Programmes, from their requirements to who completes them (spec.md M-3)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from core_api.programmes.states import ENROLMENT_MOVES, VERSION_MOVES
from kernel.settings import load
from tests.kits.core import Api, Core
from tests.kits.programmes import asks, drafted, enrol, enrolments, follow, published
from tests.kits.reviews import decide, end_attempt, make_reviewed_exam, override
from tests.kits.secrecy import tells


async def kinds(api: Api) -> list[str]:
    rows = await api.owner.fetch(
        "SELECT kind FROM ledger_events WHERE kind LIKE 'programme%' AND kind NOT LIKE '%.viewed' ORDER BY id"
    )
    return [row["kind"] for row in rows]


async def state(api: Api, programme_id: str) -> Any:
    (enrolment,) = await enrolments(api, programme_id)
    return enrolment["state"]


async def test_a_hand_in_completes_a_void_revokes_and_an_override_gives_back_m3(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        programme_id = await published(api, asks(made.exam_id, min_percentage=50, must_pass=True))
        assert await enrol(api, programme_id, "student") == 1
        await follow(core)
        before = await state(api, programme_id)
        ended = await end_attempt(api, made)
        judged = [await follow(core), await follow(core)]
        (completed,) = await enrolments(api, programme_id, state="completed")
        assert (await decide(api, ended.session_id, 4, finalize=True)).status == 200
        decision = await api.owner.fetchval("SELECT max(id) FROM proctor_decisions")
        await follow(core)
        revoked = await state(api, programme_id)
        await override(api, decision, 2)
        await follow(core)

        assert (before, revoked, await state(api, programme_id)) == ("active", "revoked", "completed")
        assert judged == [1, 0]  # what nothing became of is not judged again
        assert completed["progress"] == [
            {"key": "finals", "state": "met", "counted": 1, "needed": 1, "lapses_at": None,
             "submission_ids": [ended.submission_id]}
        ]  # fmt: skip
        assert await kinds(api) == [
            "programme.created", "programme.published", "programme_enrolment.created",
            "programme_enrolment.completed", "programme_enrolment.revoked", "programme_enrolment.completed",
        ]  # fmt: skip


async def test_only_the_persons_enrolments_that_name_the_exam_are_judged_m3(core: Core) -> None:
    async with core.school() as api:
        made, other = await make_reviewed_exam(api), await make_reviewed_exam(api)
        names = await published(api, asks(made.exam_id))
        await enrol(api, names, "student", "other_student")
        await enrol(api, await published(api, asks(other.exam_id)), "student", "other_student")
        first = await follow(core)
        await end_attempt(api, made)

        assert (first, await follow(core)) == (4, 1)


async def test_a_completion_lapses_by_itself_m3(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        programme_id = await published(api, asks(made.exam_id, valid_days=30))
        await end_attempt(api, made)
        await enrol(api, programme_id, "student")
        await follow(core)
        valid = await state(api, programme_id)
        now = datetime.now(UTC)
        early = await follow(core, at=now + timedelta(days=29))
        late = await follow(core, at=now + timedelta(days=31))

        assert (valid, early, late, await state(api, programme_id)) == ("completed", 0, 1, "revoked")


async def test_who_is_enrolled_stays_in_their_version_which_never_changes_m3(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        programme_id = await published(api, asks(made.exam_id))
        path = f"/api/teacher/programmes/{programme_id}"
        again = await api.post(f"{path}/publish", "teacher")
        await enrol(api, programme_id, "student")
        further = {"requirements": [asks(made.exam_id, min_percentage=90)]}
        await api.post(f"{path}/versions", "teacher", json=further)
        shown = await api.post(f"{path}/publish", "teacher")
        twice = await enrol(api, programme_id, "student", "other_student")
        found = await enrolments(api, programme_id)

        assert again.status == 409
        assert [each["state"] for each in shown.body["versions"]] == ["published", "retired"]
        assert twice == 1
        assert sorted(each["version"] for each in found) == [1, 2]


async def test_candidates_see_their_own_in_both_languages_and_nothing_else_decision_6(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        await enrol(api, await published(api, asks(made.exam_id)), "student")
        await follow(core)
        mine = await api.get("/api/student/programmes", "student")
        others = await api.get("/api/student/programmes", "other_student")

        (programme,) = mine.body["programmes"]
        assert programme["state_text_ar"] == "لم تستوفِ بعد جميع متطلبات هذا البرنامج."
        assert [name for name in programme if tells(name)] == []
        assert (programme["progress"][0]["state"], others.body["programmes"]) == ("open", [])


async def test_what_cannot_be_asked_and_who_cannot_be_enrolled_is_named_m3(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        draft = await drafted(api, asks(made.exam_id))
        path = f"/api/teacher/programmes/{draft}"
        twice = [asks(made.exam_id), asks(made.exam_id, after=["other"])]
        wrong = await api.post(f"{path}/versions", "teacher", json={"requirements": twice})
        closed = await api.post(
            "/api/teacher/programmes", "colleague", json={"title": "x", "requirements": [asks(made.exam_id)]}
        )
        unpublished = await api.post(
            f"{path}/enrolments", "teacher", json={"user_ids": [str(api.people["student"].id)]}
        )
        await api.post(f"{path}/publish", "teacher")
        nobody = await api.post(f"{path}/enrolments", "teacher", json={})
        stranger = await api.post(
            f"{path}/enrolments", "teacher", json={"user_ids": [str(api.people["stranger"].id)]}
        )
        foreign = await api.get(path, "boss")

        assert sorted(each["path"] for each in wrong.body["errors"]) == [
            "requirements[1].after[0]", "requirements[1].key"
        ]  # fmt: skip
        assert [each.status for each in (closed, unpublished, nobody, stranger, foreign)] == [
            404, 409, 422, 422, 404
        ]  # fmt: skip


async def test_who_is_withdrawn_is_judged_no_more_and_may_come_again_m3(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        programme_id = await published(api, asks(made.exam_id))
        await enrol(api, programme_id, "student")
        (enrolment,) = await enrolments(api, programme_id)
        path = f"/api/teacher/programmes/{programme_id}/enrolments/{enrolment['enrolment_id']}/withdraw"
        done, again = await api.post(path, "teacher"), await api.post(path, "teacher")
        judged = await follow(core)

        assert (done.status, done.body["state"], again.status, judged) == (200, "withdrawn", 409, 0)
        assert await enrol(api, programme_id, "student") == 1


async def test_the_database_has_the_same_tables_m3(core: Core) -> None:
    async with core.school() as api:
        rows = await api.owner.fetch("SELECT * FROM programme_moves()")
        moves: dict[tuple[str, ...], str] = {("version", *key): party for key, party in VERSION_MOVES.items()}
        moves |= {("enrolment", *key): party for key, party in ENROLMENT_MOVES.items()}

        assert {tuple(row)[:3]: row["party"] for row in rows} == moves
        assert load({}).programme_sweep_s > 0
