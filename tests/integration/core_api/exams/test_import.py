"""Exams in bulk: a file in, exams that are assigned and open out (spec.md A-8)."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.kits.authoring import make_evaluation, make_question
from tests.kits.core import PASSWORD, Answer, Api, Core

HEADER = "title,durationMinutes,groups,opensAt,closesAt,evaluation,teachers\n"


async def send(api: Api, text: str, by: str = "admin", **options: Any) -> Answer:
    return await api.post("/api/teacher/exams/import", by, json={"exams": text} | options)


async def people(api: Api) -> dict[str, Any]:
    """Import two classes; return the invitations by the part of the address before the @."""
    mail = api.people["admin"].email.partition("@")[2]
    users = f"name,email,groups\nAmina,amina@{mail},9a\nBen,ben@{mail},9b\n"
    made = await api.post("/api/admin/users/import", "admin", json={"users": users, "invite": True})
    return {each["email"].partition("@")[0]: each for each in made.body["invitations"]}


async def events(api: Api) -> int:
    return int(await api.owner.fetchval("SELECT count(*) FROM ledger_events WHERE kind NOT LIKE '%.viewed'"))


async def test_a_candidate_of_a_group_accepts_an_invitation_and_starts_the_exam_a8(core: Core) -> None:
    async with core.school() as api:
        invited = await people(api)
        question = await make_question(api, "essay")
        version = await make_evaluation(api, [question.body["question_id"]])
        soon = (datetime.now(UTC) + timedelta(hours=8)).isoformat(timespec="minutes")
        title, teacher = version["title"], api.people["colleague"].email
        text = HEADER + f"Latin,90,9b,,{soon},{title},{teacher}\nGreek,45,9a,,,,\n"
        dry = await send(api, text, dry_run=True)
        before = await events(api)
        made = await send(api, text)
        after = await events(api)
        again = await send(api, text)

        assert (dry.status, dry.body["created"], before < after) == (200, 2, True)
        assert (made.status, made.body["created"], made.body["faulty"]) == (200, 2, 0), made.body
        assert (again.body["unchanged"], await events(api)) == (2, after)
        accepted = await api.post(
            "/api/auth/invitation", json={"token": invited["ben"]["token"], "password": PASSWORD}
        )
        headers = {"Authorization": f"Bearer {accepted.body['access_token']}"}
        offered = (await api.get("/api/student/exams/available", headers=headers)).body["exams"]
        latin = next(each for each in offered if each["title"] == "Latin")
        assert [each["title"] for each in offered if each["title"] in {"Latin", "Greek"}] == ["Latin"]
        started = await api.post(f"/api/student/exams/{latin['id']}/start", headers=headers)
        assert started.status == 201, started.body
        paper = await api.get(f"/api/student/attempts/{started.body['attempt_id']}/paper", headers=headers)
        assert len(paper.body["paper"]["items"]) == 1
        assert (await api.get(f"/api/teacher/exams/{latin['id']}/analytics", "colleague")).status == 200


async def test_a_faulty_row_is_named_and_refuses_the_file_a8(core: Core) -> None:
    async with core.school() as api:
        await people(api)
        text = (
            HEADER
            + "Good,60,9a,,,,\n"
            + "Long,many,9a,,,,\n"
            + "Nobody,60,,,,,\n"
            + "Unknown,60,9z,,,,\n"
            + "Naive,60,9a,2026-12-01T09:00,,,\n"
            + "Backwards,60,9a,2026-12-01T09:00Z,2026-12-01T08:00Z,,\n"
            + "No paper,60,9a,,,Nothing,\n"
            + "No teacher,60,9a,,,,nobody@x.example\n"
            + "Good,60,9b,,,,\n"
        )
        before = await events(api)
        refused = await send(api, text)
        foreign = await send(api, HEADER + "Theirs,60,9a,,,,\n", by="boss")
        others = await send(api, HEADER + f"Mine,60,9a,,,,{api.people['colleague'].email}\n", by="teacher")

        assert [each["path"] for each in refused.body["errors"]] == [
            "exams.csv line 3, durationMinutes",
            "exams.csv line 4, groups",
            "exams.csv line 5, groups",
            "exams.csv line 6, opensAt",
            "exams.csv line 7, closesAt",
            "exams.csv line 8, evaluation",
            "exams.csv line 9, teachers",
            "exams.csv line 10, title",
        ]
        assert (refused.status, foreign.status, others.status) == (422, 422, 422)
        told = [each["message"] for each in refused.body["errors"]]
        assert told[0] == "Expected a whole number from 1 to 43,200"
        assert await events(api) == before
        assert (await send(api, text, partial=True)).body["created"] == 1
        changed = await send(api, HEADER + "Good,75,9a,2026-12-01T09:00Z,,,\n")
        assert (changed.body["updated"], changed.body["created"]) == (1, 0)


async def test_no_fault_of_a_file_speaks_of_types_a8(core: Core) -> None:
    """Whoever fills in a sheet knows cells, and no `int`, `str` or `$`."""
    async with core.school() as api:
        await people(api)
        long = "x" * 1999
        rows = [
            f"{long},60,9a,,,,,,,,", "Zero,0,9a,,,,,,,,", "Half,0.5,9a,,,,,,,,", "Year,525600,9a,,,,,,,,",
            "Some,60,9a,,,,,some,,,", "None,60,9a,,,,,0,,,", f"Subject,60,9a,,,,,,{long},,",
            f"Topic,60,9a,,,,,,,{long},", "Backwards,60,9a,2026-12-01T09:00Z,2026-12-01T08:00Z,,,,,,",
            "Never,60,9a,0001-01-01T00:00Z,,,,,,,", "Void,,9a,,,,,,,,",
        ]  # fmt: skip
        header = HEADER.rstrip() + ",attemptsAllowed,subject,topic,description\n"
        refused = await send(api, header + "\n".join(rows))
        faults = refused.body["errors"]

        assert {each["path"].partition(",")[0] for each in faults} == {
            f"exams.csv line {n}" for n in range(2, len(rows) + 2)
        }
        assert [each for each in faults if re.search(r"[`$<>]|length|regex", each["message"])] == []


async def test_of_imports_at_once_each_exam_is_made_once_a8(core: Core) -> None:
    async with core.school() as api:
        await people(api)
        text = HEADER + "".join(f"At once {n},60,9a,,,,\n" for n in range(8))
        made = await asyncio.gather(*(send(api, text) for _ in range(3)))
        after = await events(api)
        again = await send(api, text)

        assert [each.status for each in made] == [200] * 3
        assert sorted(each.body["created"] for each in made) == [0, 0, 8]
        assert (again.body["unchanged"], await events(api)) == (8, after)


async def test_a_file_changes_no_exam_that_somebody_else_made_a8(core: Core) -> None:
    async with core.school() as api:
        await people(api)
        text = HEADER + "Theirs,60,9a,,,,\n"
        made = await send(api, text, by="teacher")
        unseen = await send(api, text, by="colleague")
        both = [(await send(api, text, by=by)).body["unchanged"] for by in ("teacher", "colleague")]
        only = await send(api, HEADER + "Lent,60,9a,,,,\n", by="teacher")

        assert (made.body["created"], unseen.body["created"], both) == (1, 1, [1, 1])
        path = f"/api/admin/exams/{only.body['exams'][0]['id']}/permissions"
        grant = {"user_id": str(api.people["colleague"].id), "can_edit": True}
        granted = await api.post(path, "admin", json=grant)
        assert granted.status < 300, granted.body
        before = await events(api)
        refused = [await send(api, HEADER + "Lent,75,9b,,,,\n", by=by) for by in ("admin", "colleague")]
        assert [each.status for each in refused] == [422, 422]
        assert {each.body["errors"][0]["path"] for each in refused} == {"exams.csv line 2, title"}
        assert await events(api) == before
