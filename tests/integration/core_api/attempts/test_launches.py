"""Launch links: for whom, how often, until when, and what is said of them (spec.md A-7)."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import jwt
import pytest

from kernel.tokens import Audience
from tests.kits.core import PASSWORD, Answer, Api, Core, grant


async def links_for(api: Api, body: dict[str, Any], by: str = "teacher") -> Answer:
    return await api.post(f"/api/teacher/exams/{api.exam_id}/launch-links", by, json=body)


async def link_for(api: Api, name: str = "student", by: str = "teacher") -> str:
    made = await links_for(api, {"emails": [api.people[name].email]}, by)
    assert made.status == 201, made.body
    token: str = made.body["links"][0]["token"]
    return token


async def launch(api: Api, token: str, **headers: str) -> Answer:
    return await api.post("/api/auth/launch", json={"token": token}, headers=headers)


def login_of(answer: Answer) -> str:
    """Return the sign-in that an access token names."""
    claims = jwt.decode(answer.body["access_token"], options={"verify_signature": False})
    login: str = claims["login"]
    return login


async def events(api: Api, kind: str) -> list[dict[str, Any]]:
    """Return what the ledger says of this school, newest first."""
    listed = await api.get(f"/api/ledger/events?kind={kind}", "admin")
    found: list[dict[str, Any]] = listed.body["events"]
    return found


async def test_a_launch_link_opens_the_attempt_without_a_password_a7(core: Core) -> None:
    async with core.school() as api:
        made = await links_for(
            api,
            {"student_ids": [str(api.people["student"].id)], "emails": [api.people["other_student"].email]},
        )
        assert made.status == 201
        assert [link["email"] for link in made.body["links"]] == [
            api.people["student"].email,
            api.people["other_student"].email,
        ]

        launched = await api.post("/api/auth/launch", json={"token": made.body["links"][0]["token"]})
        assert launched.status == 200
        assert launched.body["attempt"]["status"] == "in_progress"
        headers = {"Authorization": f"Bearer {launched.body['access_token']}"}
        attempt = await api.get(f"/api/student/attempts/{launched.body['attempt_id']}", headers=headers)
        assert attempt.body["exam_id"] == str(api.exam_id)


async def test_a_launch_link_used_many_times_at_once_opens_one_sign_in_and_one_attempt_a7(core: Core) -> None:
    """As often as a client may ask again; the rest is refused."""
    async with core.school() as api:
        link = await link_for(api)
        answers = await asyncio.gather(*(launch(api, link) for _ in range(30)))
        opened = [answer for answer in answers if answer.status == 200]

        assert Counter(answer.status for answer in answers) == {200: 20, 409: 10}
        assert len({login_of(answer) for answer in opened}) == 1
        assert len({answer.body["attempt_id"] for answer in opened}) == 1


async def test_a_lost_reply_is_asked_for_again_by_the_same_browser_and_nobody_else_a7(core: Core) -> None:
    async with core.school() as api:
        link = await link_for(api)
        lost = await launch(api, link, **{"User-Agent": "Exam/1"})
        thief = await launch(api, link, **{"User-Agent": "Thief/1"})
        again = await launch(api, link, **{"User-Agent": "Exam/1"})
        attempts = await api.owner.fetchval(
            "SELECT count(*) FROM exam_attempts WHERE exam_id = $1", api.exam_id
        )

        assert (lost.status, thief.status, again.status, attempts) == (200, 409, 200, 1)
        assert login_of(lost) == login_of(again)
        assert lost.body["attempt_id"] == again.body["attempt_id"]


@pytest.mark.parametrize("change", ["used_at = used_at - interval '3 minutes'", "address = '127.9.9.9'"])
async def test_a_used_link_is_refused_later_and_elsewhere_and_the_ledger_says_so_once_a7(
    core: Core, change: str
) -> None:
    async with core.school() as api:
        link = await link_for(api)
        student = api.people["student"].id
        assert (await launch(api, link)).status == 200
        await api.owner.execute(f"UPDATE launch_uses SET {change} WHERE user_id = $1", student)
        answers = [(await launch(api, link)).status for _ in range(3)]
        found = [each["subject_id"] for each in await events(api, "auth.launch_refused")]

        assert answers == [409, 409, 409]
        assert found == [str(student)]


async def test_a_sign_in_that_was_ended_does_not_come_back_with_its_link_a7(core: Core) -> None:
    async with core.school() as api:
        link = await link_for(api)
        headers = {"Authorization": f"Bearer {(await launch(api, link)).body['access_token']}"}
        assert (await api.post("/api/auth/logout", headers=headers)).status == 200

        assert (await launch(api, link)).status == 409


async def test_the_ledger_names_the_candidates_the_issuer_and_that_it_was_by_link_a7(core: Core) -> None:
    async with core.school() as api:
        student, teacher = str(api.people["student"].id), str(api.people["teacher"].id)
        launched = (await launch(api, await link_for(api))).body
        headers = {"Authorization": f"Bearer {launched['access_token']}"}
        path = f"/api/student/attempts/{launched['attempt_id']}"
        opening = {"attemptId": launched["attempt_id"], "mode": 1}
        await api.post("/api/proctor/session", headers=headers, json=opening)
        assert (await api.post(f"{path}/submit", headers=headers)).status == 201
        made, used, begun, proctored, handed_in = [
            (await events(api, kind))[0]
            for kind in (
                "launch_links.created",
                "auth.launched",
                "attempt.started",
                "session.started",
                "submission.finalised",
            )
        ]

        assert (made["actor_id"], made["detail"]["student_ids"]) == (teacher, [student])
        assert (used["actor_id"], used["detail"]["issuer_id"]) == (student, teacher)
        assert used["detail"]["exam_id"] == str(api.exam_id)
        assert [each["detail"]["by_link"] for each in (begun, proctored, handed_in)] == [True, True, True]


async def test_links_reach_only_whom_the_exam_reaches_when_made_and_when_used_a7(core: Core) -> None:
    async with core.school() as api:
        early = await link_for(api, "other_student")
        path = f"/api/teacher/exams/{api.exam_id}/assignments"
        await api.post(path, "teacher", json={"user_ids": [str(api.people["student"].id)]})
        both = [str(api.people[name].id) for name in ("student", "other_student")]
        made = await links_for(api, {"student_ids": both})
        used = await launch(api, early)
        reached = await launch(api, await link_for(api))

        assert (made.status, used.status, reached.status) == (422, 404, 200)
        assert made.body["errors"] == [{"path": "student_ids[1]", "message": "the exam is not theirs"}]


async def barred(api: Api, name: str, how: str) -> None:
    """Lock somebody for a moment, or give them another role for a moment."""
    user = f"/api/admin/users/{api.people[name].id}"
    if how == "lock":
        steps: list[tuple[str, str, Any]] = [("POST", f"{user}/lock", None), ("POST", f"{user}/unlock", None)]
    else:
        role = api.people[name].role.value
        steps = [("PUT", f"{user}/role", {"role": each}) for each in ("reviewer", role)]
    for method, path, body in steps:
        answer = await api.call(method, path, "admin", json=body)
        assert answer.status == 200, answer.body


@pytest.mark.parametrize("how", ["lock", "role"])
@pytest.mark.parametrize("name", ["teacher", "student"])
async def test_barring_issuer_or_student_kills_their_links_and_what_came_from_them_a7(
    core: Core, name: str, how: str
) -> None:
    """For good: also once they are let in again."""
    async with core.school() as api:
        unused, used = await link_for(api), await launch(api, await link_for(api, "student"))
        headers = {"Authorization": f"Bearer {used.body['access_token']}"}
        path = f"/api/student/attempts/{used.body['attempt_id']}"
        before = (await api.get(path, headers=headers)).status
        await barred(api, name, how)

        assert before == 200
        assert (await api.get(path, headers=headers)).status == 401
        assert (await launch(api, unused)).status == 401
        assert (await launch(api, await link_for(api, by="admin"))).status == 200


async def test_links_of_an_issuer_who_may_not_edit_the_exam_any_more_are_void_a7(core: Core) -> None:
    async with core.school() as api:
        grant = {"user_id": str(api.people["colleague"].id), "can_edit": True}
        permissions = f"/api/admin/exams/{api.exam_id}/permissions"
        assert (await api.post(permissions, "admin", json=grant)).status in {200, 201}
        link = await link_for(api, by="colleague")
        await api.call("DELETE", f"{permissions}/{api.people['colleague'].id}", "admin")

        assert (await launch(api, link)).status == 401


async def test_links_for_somebody_do_not_push_out_their_own_sign_ins(core: Core) -> None:
    """Others make links; a sign-in with the password makes room for one's own alone."""
    async with core.school() as api:
        student = api.people["student"]
        body = {"email": student.email, "password": PASSWORD}
        own = (await api.post("/api/auth/login", json=body)).body
        await api.owner.execute(
            "INSERT INTO logins (id, user_id, created_at, expires_at, exam_id, issuer_id)"
            " SELECT gen_random_uuid(), $1, now() + interval '1 s', now() + interval '1 day', $2, $3"
            " FROM generate_series(1, 200)",
            *(student.id, api.exam_id, api.people["teacher"].id),
        )
        assert (await launch(api, await link_for(api))).status == 200
        assert (await api.post("/api/auth/login", json=body)).status == 200

        assert (
            await api.post("/api/auth/refresh", json={"refresh_token": own["refresh_token"]})
        ).status == 200


async def test_an_expired_or_foreign_launch_link_is_a_401(core: Core) -> None:
    async with core.school() as api:
        tokens = [
            api.token("student", audience=Audience.launch, exam_id=str(api.exam_id), life_s=-1),
            api.token("student", audience=Audience.launch),
            api.token("student"),
            "not a token",
        ]

        for token in tokens:
            assert (await api.post("/api/auth/launch", json={"token": token})).status == 401


async def test_a_link_to_a_closed_exam_stays_unused_until_the_exam_opens(core: Core) -> None:
    async with core.school() as api:
        made = await links_for(api, {"emails": [api.people["student"].email]})
        body = {"token": made.body["links"][0]["token"]}
        await api.post(f"/api/teacher/exams/{api.exam_id}/unpublish", "teacher")
        closed = await api.post("/api/auth/launch", json=body)
        await api.post(f"/api/teacher/exams/{api.exam_id}/publish", "teacher")
        opened = await api.post("/api/auth/launch", json=body)

        assert (closed.status, opened.status) == (404, 200)


async def test_a_locked_candidate_cannot_launch(core: Core) -> None:
    async with core.school() as api:
        made = await links_for(api, {"emails": [api.people["student"].email]})
        await api.owner.execute("UPDATE users SET is_active = false WHERE id = $1", api.people["student"].id)

        assert (
            await api.post("/api/auth/launch", json={"token": made.body["links"][0]["token"]})
        ).status == 401
        assert (await api.get("/api/me", "student")).status == 404


async def test_links_are_for_students_of_the_organisation_and_every_other_is_named(core: Core) -> None:
    async with core.school() as api:
        answer = await links_for(
            api,
            {
                "student_ids": [str(api.people["student"].id), str(uuid4()), str(api.people["teacher"].id)],
                "emails": [api.people["stranger"].email],
            },
        )

        assert answer.status == 422
        assert [fault["path"] for fault in answer.body["errors"]] == [
            "emails[0]",
            "student_ids[1]",
            "student_ids[2]",
        ]
        assert (await links_for(api, {})).status == 422


@pytest.mark.parametrize("own", ["İpek", "νικος", "ΝΙΚΟΣ", "STRASSE"])
async def test_whoever_can_sign_in_by_an_address_is_found_by_it_a7(core: Core, own: str) -> None:
    """Where Unicode and the database's locale disagree about small letters too; so does seeding."""
    async with core.school() as api:
        new = {"email": f"{own}@{uuid4()}.example", "role": "student", "password": PASSWORD}
        stored = (await api.post("/api/admin/users", "admin", json=new)).body["email"]
        for way in ("", "lower", "upper"):
            email = await api.owner.fetchval(f"SELECT {way}($1::text)", stored)
            login = await api.post("/api/auth/login", json={"email": email, "password": PASSWORD})
            made = await links_for(api, {"emails": [email, stored]})
            seeded = api.enrol([email])

            found = login.status == 200
            assert found or way, "as it is stored it signs in"
            assert (made.status == 201) == found
            if found:
                assert [link["email"] for link in made.body["links"]] == [stored]
                assert str(seeded[0]) == login.body["user"]["id"]


async def test_who_may_not_edit_the_exam_makes_no_links_a4(core: Core) -> None:
    async with core.school() as api:
        body = {"emails": [api.people["student"].email]}
        await grant(api, api.exam_id, can_edit=False)

        assert (await links_for(api, body, by="colleague")).status == 403
        assert (await links_for(api, body, by="rival")).status == 404
        assert (await links_for(api, body, by="boss")).status == 404
        assert (await links_for(api, body, by="admin")).status == 201


async def test_ten_thousand_links_come_from_one_call_a7(core: Core) -> None:
    async with core.school() as api:
        emails = [f"s{n}@many.example" for n in range(1, 10_001)]
        api.enrol(emails)
        answer = await links_for(api, {"emails": emails})

        assert answer.status == 201
        assert [link["email"] for link in answer.body["links"]] == emails
        assert len({link["token"] for link in answer.body["links"]}) == 10_000
        assert (await links_for(api, {"emails": [*emails, api.people["student"].email]})).status == 422
