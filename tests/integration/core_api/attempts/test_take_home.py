"""Work that is taken home: thirty days, and as many more where they were agreed (spec.md E-3, D-2, A-7)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from core_api.exams.exams import MINUTES_MAX
from core_api.submissions import expiry
from core_api.submissions.expiry import Swept
from kernel.postgres import open_pool
from kernel.settings import load
from tests.integration.core_api.attempts.test_launches import launch, login_of
from tests.integration.core_api.identity.test_logins import refresh
from tests.kits.authoring import Made, answer, make_exam
from tests.kits.core import Answer, Api, Core, DatabaseAs, core_api

DAY = timedelta(days=1)
DAY_S = 86_400
NOTHING = Swept(finalised=0, abandoned=0, failed=0)


async def assign(api: Api, made: Made, **terms: Any) -> Answer:
    body = {"user_ids": [str(api.people["student"].id)], **terms}
    return await api.post(f"/api/teacher/exams/{made.exam_id}/assignments", "teacher", json=body)


async def link_to(api: Api, made: Made, name: str = "student") -> str:
    body = {"student_ids": [str(api.people[name].id)]}
    links = await api.post(f"/api/teacher/exams/{made.exam_id}/launch-links", "teacher", json=body)
    token: str = links.body["links"][0]["token"]
    return token


async def ask(api: Api, token: str, method: str, path: str, body: Any = None) -> Answer:
    return await api.call(method, path, headers={"Authorization": f"Bearer {token}"}, json=body)


async def pass_days(api: Api, days: float) -> None:
    """Let everything of the attempts and of who sits them have begun so many days earlier."""
    for table, columns in {
        "exam_attempts": ("started_at", "expires_at"),
        "attempt_answers": ("saved_at",),
        "attempt_drafts": ("saved_at",),
        "proctor_sessions": ("started_at",),
        "logins": ("created_at", "expires_at"),
        "refresh_tokens": ("created_at", "expires_at", "used_at"),
    }.items():
        moved = ", ".join(f"{each} = {each} - interval '{days} days'" for each in columns)
        await api.owner.execute(f"UPDATE {table} SET {moved}")


async def test_thirty_days_are_as_long_as_an_exam_and_extra_time_may_be_e3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay", duration_minutes=MINUTES_MAX)
        path = f"/api/teacher/exams/{made.exam_id}"
        too_long = MINUTES_MAX + 1
        assigned = await assign(api, made, duration_minutes=MINUTES_MAX, extra_minutes=MINUTES_MAX)
        override = (
            f"{path}/assignments/{assigned.body['assignments'][0]['id']}/overrides/{api.people['student'].id}"
        )
        longest = {"reason": "Agreed.", "duration_minutes": MINUTES_MAX, "extra_minutes": MINUTES_MAX}
        refused = [
            await api.post(
                "/api/teacher/exams", "teacher", json={"title": "x", "duration_minutes": too_long}
            ),
            await api.call("PATCH", path, "teacher", json={"duration_minutes": too_long}),
            await assign(api, made, duration_minutes=too_long),
            await assign(api, made, extra_minutes=too_long),
            await api.call("PUT", override, "teacher", json=longest | {"extra_minutes": too_long}),
        ]

        assert MINUTES_MAX == 30 * 24 * 60
        assert assigned.status == 201
        assert (await api.call("PUT", override, "teacher", json=longest)).status == 200
        assert [each.status for each in refused] == [422] * 5
        assert [each.body["errors"][0]["path"] for each in refused] == [
            "duration_minutes", "duration_minutes", "duration_minutes", "extra_minutes", "extra_minutes",
        ]  # fmt: skip


async def test_an_attempt_of_sixty_days_is_written_handed_in_and_swept_as_any_other_d2(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, expiry_sweep_s=3600) as api:
        made = await make_exam(api, "essay", duration_minutes=MINUTES_MAX)
        await assign(api, made, extra_minutes=MINUTES_MAX)
        begun = await api.post(f"/api/student/exams/{made.exam_id}/start", "student")
        attempt = f"/api/student/attempts/{begun.body['attempt_id']}"
        await api.start_session(attempt_id=begun.body["attempt_id"])
        question = made.questions["essay"]

        async def save(seq: int) -> Answer:
            body = {"answers": [answer(question, seq, text=f"draft {seq}")]}
            return await api.call("PUT", f"{attempt}/answers", "student", json=body)

        async def sweep(now: datetime) -> Swept:
            settings = load({}, database_url=database_as("veritas_core"))
            async with await open_pool(settings) as pool:
                return await expiry.sweep(pool, now=now)

        assert 60 * DAY_S - 60 < begun.body["remaining_seconds"] <= 60 * DAY_S
        assert (await save(1)).status == 200
        await pass_days(api, 59)
        late = await save(200_000_000)  # as many changes as fifty a second make in 59 days
        assert (late.status, late.body["stored"][0]["accepted"]) == (200, True)
        assert DAY_S - 60 < late.body["remaining_seconds"] <= DAY_S
        assert await sweep(datetime.now(UTC) + DAY / 2) == NOTHING
        assert (await sweep(datetime.now(UTC) + 2 * DAY)).finalised == 1
        shown = (await api.get(attempt, "student")).body
        drafts = (await api.get(f"{attempt}/answers/{question}/drafts", "student")).body["drafts"]

        assert (shown["status"], shown["submitted_by"]) == ("completed", "expiry")
        assert shown["duration_seconds"] >= 59 * DAY_S
        assert [each["client_seq"] for each in drafts] == [200_000_000, 1]
        assert await api.owner.fetchval("SELECT status FROM proctor_sessions") == 2


async def test_who_came_by_link_goes_on_until_the_attempt_ends_and_no_longer_a7(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay", duration_minutes=MINUTES_MAX)
        launched = await launch(api, await link_to(api, made))
        attempt = f"/api/student/attempts/{launched.body['attempt_id']}"
        assert 30 * DAY_S - 60 < launched.body["refresh_expires_in"] <= 30 * DAY_S
        await pass_days(api, 29)
        renewed = await refresh(api, launched.body["refresh_token"])
        token = renewed.body["access_token"]
        bound = jwt.decode(token, options={"verify_signature": False})["exam_id"]

        assert (renewed.status, bound) == (200, made.exam_id)
        assert login_of(renewed) == login_of(launched)
        assert DAY_S - 60 < renewed.body["refresh_expires_in"] <= DAY_S, "of what was there, nothing is added"
        body = {"answers": [answer(made.questions["essay"], 1, text="On day 29.")]}
        assert (await ask(api, token, "PUT", f"{attempt}/answers", body)).status == 200
        assert (await ask(api, token, "GET", "/api/me")).status == 403
        assert (await ask(api, token, "POST", f"/api/student/exams/{api.exam_id}/start")).status == 404
        assert (await ask(api, token, "POST", f"{attempt}/submit")).status == 201
        await pass_days(api, 2)
        assert (await refresh(api, renewed.body["refresh_token"])).status == 401


async def test_an_ordinary_exam_needs_no_renewal_and_gives_none_a7(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay", duration_minutes=24 * 60)
        launched = await launch(api, await link_to(api, made))

        assert launched.status == 200
        assert "refresh_token" not in launched.body
        assert await api.owner.fetchval("SELECT count(*) FROM refresh_tokens") == 0


async def test_a_launch_that_is_asked_for_again_gives_one_renewal_that_holds_a7(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay", duration_minutes=MINUTES_MAX)
        link = await link_to(api, made)
        lost, came = await launch(api, link), await launch(api, link)
        void = await refresh(api, lost.body["refresh_token"])
        good = await refresh(api, came.body["refresh_token"])
        again = await refresh(api, good.body["refresh_token"])

        assert login_of(lost) == login_of(came)
        assert [each.status for each in (void, good, again)] == [401, 200, 200]
        await api.owner.execute("UPDATE refresh_tokens SET used_at = used_at - interval '1 hour'")
        assert (await refresh(api, came.body["refresh_token"])).status == 401, "spent long ago: two hold it"
        assert (await refresh(api, again.body["refresh_token"])).status == 401, "so all of it falls"


@pytest.mark.parametrize("whom", ["student", "teacher"])
async def test_a_lock_of_the_candidate_or_the_issuer_ends_the_renewal_a7(core: Core, whom: str) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay", duration_minutes=MINUTES_MAX)
        launched = (await launch(api, await link_to(api, made))).body
        await pass_days(api, 20)
        assert (await api.post(f"/api/admin/users/{api.people[whom].id}/lock", "admin")).status == 200

        assert (await refresh(api, launched["refresh_token"])).status == 401


async def test_a_lock_of_the_issuer_reaches_tokens_that_outlive_the_attempt_a7(core: Core) -> None:
    """A token of the last minutes lives on, for what comes late and the receipt; so does its sign-in."""
    async with core.school() as api:
        made = await make_exam(api, "essay", duration_minutes=MINUTES_MAX)
        launched = (await launch(api, await link_to(api, made))).body
        await pass_days(api, 29.99)
        token = (await refresh(api, launched["refresh_token"])).body["access_token"]
        await pass_days(api, 0.5)
        path = f"/api/student/attempts/{launched['attempt_id']}"

        assert (await ask(api, token, "GET", path)).status == 200
        assert (await api.post(f"/api/admin/users/{api.people['teacher'].id}/lock", "admin")).status == 200
        assert (await ask(api, token, "GET", path)).status == 401


async def test_a_launch_that_is_asked_for_again_lives_as_long_as_its_newest_token_a7(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay", duration_minutes=60)
        link = await link_to(api, made)
        await launch(api, link)
        await api.owner.execute("UPDATE logins SET expires_at = now() + interval '1 minute'")
        again = await launch(api, link)

        assert again.status == 200
        left = await api.owner.fetchval("SELECT extract(epoch FROM expires_at - now())::int FROM logins")
        assert again.body["expires_in"] - 60 < left <= again.body["expires_in"]
