"""Teachers find whom to assign an exam to, by name, address and group, and no more (spec.md A-8)."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from core_api import seeding
from core_api.seeding import NewUser
from kernel.events import Role
from tests.kits.core import Answer, Api, Core

STUDENTS = "/api/teacher/students"


def enrol(api: Api, *people: tuple[str, str]) -> list[UUID]:
    """Make students of the school by name and address."""
    users = [NewUser(email=email, role=Role.student, full_name=name) for name, email in people]
    with seeding.connect(api.database) as conn:
        return seeding.create_users(conn, api.people["teacher"].organisation_id, users, now=datetime.now(UTC))


async def make_group(api: Api, name: str, *members: UUID) -> str:
    group: str = (await api.post("/api/admin/groups", "admin", json={"name": name})).body["id"]
    if members:
        body = {"user_ids": [str(each) for each in members]}
        added = await api.post(f"/api/admin/groups/{group}/members", "admin", json=body)
        assert added.status == 200, added.body
    return group


async def names(api: Api, path: str = STUDENTS, by: str = "teacher", **query: Any) -> list[str]:
    """Return the names on the pages of a list, read three at a time."""
    found, cursor, given = [], "", "".join(f"&{name}={quote(str(each))}" for name, each in query.items())
    while True:
        page = await api.get(f"{path}?limit=3{given}{cursor}", by)
        assert page.status == 200, page.body
        found += [each["full_name"] for each in page.body["students"]]
        if page.body["next_cursor"] is None:
            return found
        cursor = f"&cursor={page.body['next_cursor']}"


async def test_a_search_meets_the_beginnings_of_names_and_addresses_in_any_case_and_without_marks_a8(
    core: Core,
) -> None:
    async with core.school() as api:
        domain = f"{uuid4().hex}.example"
        enrol(
            api,
            ("Anna Müller", f"am@{domain}"),
            ("Jean-Luc O'Neill", f"captain@{domain}"),
            ("أحمد علي", f"ahmad@{domain}"),
            ("annabel Smith", f"bell@{domain}"),
        )
        found = {
            q: await names(api, q=q)
            for q in (
                "ann", "MULL", "mü", "anna  m", "luc", "jean-l", "o'n", "neill", "capt", f"am@{domain}",
                "احمد", "nna", domain, "%", "'", "\\", "a:*", "& |", "!ann", " ",
            )
        }  # fmt: skip
        everybody = await names(api)

        assert everybody == sorted(everybody, key=str.lower)
        assert found == {
            "ann": ["Anna Müller", "annabel Smith"],
            "MULL": ["Anna Müller"],
            "mü": ["Anna Müller"],
            "anna  m": ["Anna Müller"],
            "luc": ["Jean-Luc O'Neill"],
            "jean-l": ["Jean-Luc O'Neill"],
            "o'n": ["Jean-Luc O'Neill"],
            "neill": ["Jean-Luc O'Neill"],
            "capt": ["Jean-Luc O'Neill"],
            f"am@{domain}": ["Anna Müller"],
            "احمد": ["أحمد علي"],
            " ": everybody,  # no word: no filter
        } | {q: [] for q in ("nna", domain, "%", "'", "\\", "a:*", "& |", "!ann")}


async def test_a_student_is_shown_with_what_assigning_needs_and_nothing_else_a8(core: Core) -> None:
    async with core.school() as api:
        student = api.people["student"]
        group = await make_group(api, "4b", student.id)
        shown = (await api.get(f"{STUDENTS}?q=student&group={group}", "teacher")).body

        assert shown == {
            "students": [
                {
                    "id": str(student.id),
                    "full_name": "The student",
                    "email": student.email,
                    "groups": [{"id": group, "name": "4b"}],
                }
            ],
            "next_cursor": None,
        }


async def test_only_active_students_of_ones_own_organisation_are_found_a8(core: Core) -> None:
    async with core.school() as api:
        assert await names(api) == ["The other_student", "The student"]
        assert await names(api, q="the") == ["The other_student", "The student"]
        assert await names(api, by="rival") == ["The stranger"]
        assert await names(api, by="admin") == ["The other_student", "The student"]
        await api.post(f"/api/admin/users/{api.people['student'].id}/lock", "admin")
        await api.call(
            "PUT", f"/api/admin/users/{api.people['colleague'].id}/role", "admin", json={"role": "student"}
        )

        assert await names(api) == ["The colleague", "The other_student"]
        assert await names(api, q="the") == ["The colleague", "The other_student"]
        for by in ("other_student", "reviewer", "observer"):
            assert (await api.get(STUDENTS, by)).status == 403


async def test_a_page_goes_on_behind_somebody_who_was_locked_meanwhile_a8(core: Core) -> None:
    async with core.school() as api:
        enrol(api, *((f"Pupil {letter}", f"{letter}-{uuid4().hex}@x.example") for letter in "abcd"))
        page = (await api.get(f"{STUDENTS}?limit=2", "teacher")).body
        last = page["next_cursor"]
        assert last == page["students"][-1]["id"]
        await api.post(f"/api/admin/users/{last}/lock", "admin")
        rest = (await api.get(f"{STUDENTS}?cursor={last}", "teacher")).body["students"]

        assert [each["full_name"] for each in page["students"]] == ["Pupil a", "Pupil b"]
        assert [each["full_name"] for each in rest] == [
            "Pupil c",
            "Pupil d",
            "The other_student",
            "The student",
        ]


async def test_groups_are_found_by_name_with_how_many_an_assignment_reaches_a8(core: Core) -> None:
    async with core.school() as api:
        student, other, reviewer = (api.people[name].id for name in ("student", "other_student", "reviewer"))
        first = await make_group(api, "Chemistry 5", student, other, reviewer)
        await make_group(api, "chemistry 4", student)
        await make_group(api, "Empty")
        await api.post(f"/api/admin/users/{other}/lock", "admin")

        async def listed(query: str = "", by: str = "teacher") -> list[tuple[str, int]]:
            body = (await api.get(f"/api/teacher/groups?{query}", by)).body
            return [(each["name"], each["students"]) for each in body["groups"]]

        assert await listed() == [("chemistry 4", 1), ("Chemistry 5", 1), ("Empty", 0)]
        assert await listed("q=CHEM&limit=1") == [("chemistry 4", 1)]
        page = (await api.get("/api/teacher/groups?limit=1", "teacher")).body
        assert await listed(f"cursor={page['next_cursor']}") == [("Chemistry 5", 1), ("Empty", 0)]
        assert await listed(by="rival") == []
        assert await names(api, f"/api/teacher/groups/{first}/students") == ["The student"]
        assert await names(api, f"/api/teacher/groups/{first}/students", q="other") == []
        assert await names(api, group=first) == ["The student"]
        assert await names(api, group=uuid4()) == []
        for by, group in (("rival", first), ("teacher", str(uuid4())), ("teacher", "no-id")):
            assert (await api.get(f"/api/teacher/groups/{group}/students", by)).status == 404
        assert (await api.get(f"/api/teacher/groups/{first}/students", "reviewer")).status == 403


async def test_whatever_a_name_holds_is_stored_and_found_a8(core: Core) -> None:
    """One letter may unfold into eighteen, and a lexeme has a bound."""
    async with core.school() as api:
        long, ligature = "x" * 200, "\ufdfa" * 200
        for name in (long, ligature, "\\ ' : & | ! <-> *", "\u200b", ""):
            body = {"email": f"{uuid4().hex}@x.example", "role": "student", "full_name": name}
            made = await api.post("/api/admin/users", "admin", json=body)
            assert made.status in {201, 422}, made.body

        assert await names(api, q="x" * 100) == [long]
        assert await names(api, q="\ufdfa") == [ligature]
        assert await names(api, q="\\ ' :") == ["\\ ' : & | ! <-> *"]
        for query in ("q=", f"q={'y' * 101}", "q=%00", "limit=0", "cursor=x", "name=x"):
            refused: Answer = await api.get(f"{STUDENTS}?{query}", "teacher")
            assert (refused.status, query) == (422, query)
