"""
A sign-in by launch link is good for its exam and for nothing else (spec.md A-4, A-7).

Both walls are walked whole: every route with somebody's bound token against their rows of another exam, and
every table and view that the core API may read. A new one is among them.
"""

from typing import Any
from uuid import UUID

import msgspec
import orjson
import pytest

from core_api.actors import Actor
from core_api.app import routes
from core_api.database import Connection, connection, narrow
from kernel.access import SITTING, Action, Scope, scope_of
from kernel.errors import ForbiddenError
from kernel.events import Role
from kernel.http.web import API_PREFIX
from kernel.postgres import open_pool
from kernel.settings import load
from tests.integration.core_api.access.test_access import snapshot
from tests.kits.access_matrix import MATRIX
from tests.kits.access_matrix_world import NUMBERS, World, furnish
from tests.kits.authoring import make_exam
from tests.kits.core import Answer, Api, DatabaseAs, core_api
from tests.kits.row_security import wall

GUARDED = {(route.method, route.path): route for route in routes() if route.action is not None}


async def bait(api: Api, *students: str) -> tuple[str, dict[str, Any]]:
    """Let a colleague make an exam and links to it; return the exam, and what the first link opened."""
    made = await api.post("/api/teacher/exams", "colleague", json={"title": "Bait", "duration_minutes": 5})
    exam_id: str = made.body["id"]
    await api.post(f"/api/teacher/exams/{exam_id}/publish", "colleague")
    body = {"emails": [api.people[name].email for name in students]}
    links = await api.post(f"/api/teacher/exams/{exam_id}/launch-links", "colleague", json=body)
    launched = await api.post("/api/auth/launch", json={"token": links.body["links"][0]["token"]})
    assert launched.status == 200, launched.body
    return exam_id, launched.body


async def ask(api: Api, token: str, method: str, path: str, **more: Any) -> Answer:
    headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
    return await api.call(method, path, headers=headers, **more)


def path_of(world: World, key: tuple[str, str]) -> str:
    path = key[1]
    for name, value in world.parameters.items():
        path = path.replace(f"{{{name}}}", value)
    return API_PREFIX + path


async def test_no_route_shows_or_changes_anything_of_another_exam_a7(
    database: str, database_as: DatabaseAs
) -> None:
    """The student's own token would be served by each of these routes that a student may use."""
    async with core_api(database, database_as) as api:
        world = await furnish(api)
        _, launched = await bait(api, "student")
        token, hidden = launched["access_token"], set(world.parameters.values()) - {"TabSwitched"}
        # Small numbers are within many others; and themselves.
        hidden -= {world.parameters[name] for name in (*NUMBERS, "user_id")}
        before = await snapshot(world)
        wrong = {}
        for key in GUARDED:
            if key == ("POST", "/auth/logout"):
                continue  # ends the sign-in that asks; below
            row = MATRIX[key]
            body = row.body(world)
            more = {} if body is None else {"json": body}
            answer = await ask(api, token, key[0], path_of(world, key), headers=row.headers, **more)
            told = answer.body if isinstance(answer.body, bytes) else orjson.dumps(answer.body)
            shown = {each for each in hidden if each.encode() in told}
            if answer.status not in {403, 404} or shown:
                wrong[key] = answer.status, shown

        assert wrong == {}
        assert await snapshot(world) == before


async def test_no_reply_to_the_students_own_sign_in_comes_back_to_a_bound_one_a7(
    database: str, database_as: DatabaseAs
) -> None:
    """Whoever guesses an Idempotency-Key meets their own keys alone: no reply, nor that there is one."""
    async with core_api(database, database_as) as api:
        _, launched = await bait(api, "student")
        key, start = {"Idempotency-Key": "start"}, f"/api/student/exams/{api.exam_id}/start"
        own = await api.post(start, "student", headers=key)
        opening = {"attemptId": own.body["attempt_id"], "mode": 1}
        await api.post("/api/proctor/session", "student", headers={"Idempotency-Key": "open"}, json=opening)
        answers = [
            await ask(api, launched["access_token"], "POST", start, headers=key),
            await ask(
                api, launched["access_token"], "POST", "/api/proctor/session",
                headers={"Idempotency-Key": "open"}, json=opening,
            ),
        ]  # fmt: skip

        bound = f"/api/student/exams/{launched['exam_id']}/start"
        twice = [await ask(api, launched["access_token"], "POST", bound, headers=key) for _ in range(2)]

        assert [answer.status for answer in answers] == [404, 404]
        assert [answer.status for answer in twice] == [200, 200]
        assert twice[0].body == twice[1].body
        assert all(own.body["attempt_id"] not in str(answer.body) for answer in answers)


async def test_a_bound_sign_in_does_all_that_sitting_its_exam_needs_a7(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        exam_id, launched = await bait(api, "student")
        token, attempt = launched["access_token"], launched["attempt_id"]
        path = f"/api/student/attempts/{attempt}"
        opening = {"attemptId": attempt, "mode": 1}
        session = await ask(api, token, "POST", "/api/proctor/session", json=opening)
        steps = {
            "start": await ask(api, token, "POST", f"/api/student/exams/{exam_id}/start"),
            "attempt": await ask(api, token, "GET", path),
            "answers": await ask(api, token, "GET", f"{path}/answers"),
            "session": await ask(api, token, "GET", f"/api/proctor/session/attempt/{attempt}"),
            "end": await ask(
                api, token, "POST", f"/api/proctor/session/{session.body['data']['proctorSessionId']}/end"
            ),
            "submit": await ask(api, token, "POST", f"{path}/submit"),
            "receipt": await ask(api, token, "GET", f"{path}/receipt"),
            "everywhere": await ask(api, token, "POST", "/api/auth/logout?everywhere=true"),
            "logout": await ask(api, token, "POST", "/api/auth/logout"),
            "after": await ask(api, token, "GET", path),
        }

        assert {name: answer.status for name, answer in steps.items()} == {
            "start": 200, "attempt": 200, "answers": 200, "session": 200, "end": 200, "submit": 201,
            "receipt": 200, "everywhere": 403, "logout": 200, "after": 401,
        }  # fmt: skip


async def test_no_table_shows_a_bound_sign_in_a_row_of_another_exam_a4(
    database: str, database_as: DatabaseAs
) -> None:
    """What is the person's and no exam's may stay visible: their account, what they are a member of."""
    async with wall(database, database_as) as at:
        world = at.world
        exam_id, launched = await bait(world.api, "student")
        own = {exam_id, launched["attempt_id"]}
        of_exam = {
            "exams", "exam_attempts", "analysed_attempts", "own_attempts", "ledger_events",
            "proctor_sessions", "session_overview", "seen_sessions",
        }  # fmt: skip
        async with at.asking("student", Scope.own, world.api.exam_id) as conn:
            whole = await at.seen(conn)
        async with at.asking("student", Scope.own, UUID(launched["exam_id"])) as conn:
            seen = await at.seen(conn)

        assert {name for name, rows in whole.items() if rows} >= {
            "exam_attempts",
            "submissions",
            "seen_events",
        }
        assert {name for name, rows in seen.items() if rows} == {
            "organisations", "users", "group_members", "logins", *of_exam,
        }  # fmt: skip
        strangers = {
            name: rows
            for name, rows in seen.items()
            if name in {"logins", *of_exam}
            for row in rows
            if not any(each in row for each in own)
        }
        assert strangers == {}


async def test_a_bound_asker_changes_no_row_of_another_exam_and_not_their_account_a4(
    database: str, database_as: DatabaseAs
) -> None:
    async with wall(database, database_as) as at:
        _, launched = await bait(at.world.api, "student")
        async with at.asking("student", Scope.own, UUID(launched["exam_id"])) as conn:
            touched = {
                statement: len(await conn.fetch(statement))
                for statement in (
                    "UPDATE users SET full_name = 'Somebody' RETURNING id",
                    "UPDATE attempt_answers SET response = '{}' RETURNING attempt_id",
                    "UPDATE exam_attempts SET passed = NULL RETURNING id",
                    "UPDATE proctor_sessions SET browser_name = '' RETURNING id",
                    "UPDATE logins SET revoked_at = now(), reason = 'signed_out' RETURNING id",
                    "DELETE FROM attempt_drafts RETURNING attempt_id",
                )
            }

        assert list(touched.values()) == [
            0,
            0,
            1,
            1,
            1,
            0,
        ]  # their attempt at the bait, its session, the sign-in


@pytest.mark.parametrize("action", sorted(set(Action) - SITTING))
def test_what_is_no_part_of_sitting_is_refused_to_every_role_a4(action: Action) -> None:
    for role in Role:
        with pytest.raises(ForbiddenError):
            scope_of(role, action, bound=True)


async def test_whoever_looks_at_one_exam_sees_no_other_meanwhile_and_a_bound_one_no_further_a4(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        first, second = [str((await make_exam(api, "numeric", title=title)).exam_id) for title in "ab"]
        person = api.people["teacher"]
        teacher = Actor(
            user_id=person.id, role=person.role, organisation_id=person.organisation_id, email=person.email,
            scope=Scope.granted,
        )  # fmt: skip
        seen = "SELECT id::text FROM exams ORDER BY id"

        async def exams(conn: Connection) -> set[str]:
            return {row["id"] for row in await conn.fetch(seen)}

        async with await open_pool(load({}, database_url=database_as("veritas_core"))) as pool:
            async with connection(pool, teacher) as conn:
                every = await exams(conn)
                async with conn.transaction():
                    await narrow(conn, UUID(first))
                    narrowed = await exams(conn)
                    reached = await conn.fetch("SELECT reached_exam_ids()::text")
                after = await exams(conn)
            async with (
                connection(pool, msgspec.structs.replace(teacher, exam_id=UUID(second))) as conn,
                conn.transaction(),
            ):
                await narrow(conn, UUID(first))
                bound = await exams(conn)

        assert {first, second} <= every
        assert (narrowed, [tuple(row) for row in reached]) == ({first}, [(first,)])
        assert after == every
        assert bound == {second}
