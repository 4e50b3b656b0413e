"""What is seeded is what the product would have left, once (spec.md X-1)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from core_api import seeding
from core_api.seeding import NewUser
from kernel.events import Role
from tests.kits.core import PASSWORD, Api, Core, login

NOW = datetime(2026, 9, 1, 9, tzinfo=UTC)
# What is each row's own, by table; every other column has to be equal.
OWN = {
    "exams": "id title created_at published_at",
    "users": "id email username full_name password_hash created_at",
    "exam_attempts": "id student_id started_at expires_at policy",
    "proctor_sessions": "id attempt_id candidate_id started_at",
    "groups": "id name description created_at",
    "group_members": "group_id added_at",
    "teacher_exam_permissions": "exam_id granted_at",
}


async def what_is_common(api: Api, table: str, column: str, *ids: object) -> list[dict[str, Any]]:
    """Return the rows with these ids in the column, in the order of the ids, without what is their own."""
    found = []
    for each in ids:
        statement = f"SELECT to_jsonb(t) - string_to_array($2, ' ') FROM {table} t WHERE {column}::text = $1"
        found += [row[0] for row in await api.owner.fetch(statement, str(each), OWN[table])]
    return found


async def make(api: Api, path: str, by: str, **body: Any) -> Any:
    """Let the product make something; return its id, or None."""
    made = await api.post(f"/api{path}", by, json=body)
    assert made.status in {200, 201}, made.body
    return made.body.get("id")


async def test_seeded_people_groups_exams_and_grants_are_as_the_product_leaves_them(core: Core) -> None:
    async with core.school() as api:
        organisation, colleague = api.people["admin"].organisation_id, api.people["colleague"].id
        email = f"new@{organisation}.example"
        student = str(api.people["student"].id)
        user = await make(api, "/admin/users", "admin", email=email, role="student")
        group = await make(api, "/admin/groups", "admin", name="By the product")
        await make(api, f"/admin/groups/{group}/members", "admin", user_ids=[student])
        exam = await make(api, "/teacher/exams", "teacher", title="By the product", duration_minutes=60)
        await make(api, f"/teacher/exams/{exam}/publish", "teacher")
        grant = {"user_id": str(colleague), "can_view_analytics": True}
        await make(api, f"/admin/exams/{exam}/permissions", "admin", **grant)
        with seeding.connect(api.database) as conn:
            (seeded_user,) = api.enrol([f"seeded@{organisation}.example"])
            seeded_group = seeding.create_group(
                conn, organisation, "Seeded", [api.people["student"].id], now=NOW
            )
            (seeded_exam,) = seeding.create_exams(
                conn, organisation, api.people["teacher"].id, ["Seeded"], now=NOW
            )
            seeding.grant_exam(conn, seeded_exam, colleague)

        for table, column, one, other in (
            ("users", "id", user, seeded_user),
            ("groups", "id", group, seeded_group),
            ("group_members", "group_id", group, seeded_group),
            ("exams", "id", exam, seeded_exam),
            ("teacher_exam_permissions", "exam_id", exam, seeded_exam),
        ):
            products, seeds = await what_is_common(api, table, column, one, other)
            assert seeds == products, table


async def test_seeded_attempts_and_sessions_are_as_the_product_leaves_them(core: Core) -> None:
    async with core.school() as api:
        attempt, (seated,) = await api.start_attempt(), api.seat(1)

        for table, column in (("exam_attempts", "id"), ("proctor_sessions", "attempt_id")):
            products, seeds = await what_is_common(api, table, column, attempt, seated.attempt_id)
            assert seeds == products, table
        terms = await api.owner.fetch(
            "SELECT policy::text, expires_at - started_at FROM exam_attempts WHERE id = ANY ($1::uuid[])",
            [attempt, seated.attempt_id],
        )
        assert len(terms) == 2
        assert terms[0] == terms[1]


async def test_what_is_seeded_twice_is_there_once_and_takes_the_new_password(core: Core) -> None:
    async with core.school() as api:
        name, email = f"Twice {api.exam_id}", f"Twice@{api.exam_id}.example"
        with seeding.connect(api.database) as conn:
            schools = [seeding.create_school(conn, name, now=NOW, exams=3) for _ in range(2)]
            people = [
                seeding.create_users(
                    conn,
                    schools[0].organisation_id,
                    [NewUser(email=each, role=Role.student, password=password)],
                    now=NOW,
                    rounds=4,
                )
                for each, password in ((email, "the first password"), (email.upper(), PASSWORD))
            ]

        assert schools[0] == schools[1]
        assert len(set(schools[0].exam_ids)) == 3
        assert people[0] == people[1]
        assert await login(api, email) == 200
        assert await login(api, email, "the first password") == 401


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([NewUser(email="Stranger@elsewhere{}.example", role=Role.student)], "another organisation"),
        (
            [NewUser(email="teacher@here{}.example", role=Role.admin, password="a new password")],
            "another role",
        ),
        ([NewUser(email=each, role=Role.student) for each in ("a@b{}.example", "A@b{}.example")], "twice"),
    ],
)
async def test_who_cannot_be_seeded_is_refused_and_nobody_is_made_or_changed(
    core: Core, others: list[NewUser], message: str
) -> None:
    async with core.school() as api:
        label = api.people["teacher"].email.partition("@here")[2].removesuffix(".example")
        users = [
            NewUser(email=user.email.format(label), role=user.role, password=user.password) for user in others
        ]
        with seeding.connect(api.database) as conn, pytest.raises(ValueError, match=message):
            seeding.create_users(
                conn,
                api.people["teacher"].organisation_id,
                [NewUser(email=f"new@new{label}.example", role=Role.student), *users],
                now=NOW,
                rounds=4,
            )

        assert await login(api, api.people["teacher"].email) == 200
        assert await api.owner.fetchval("SELECT count(*) FROM users WHERE email LIKE 'new@new%'") == 0
