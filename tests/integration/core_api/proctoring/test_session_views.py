"""Proctor sessions as they are read, one and many (spec.md P-1, A-4, decision 6; proctor-module.txt, 1)."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from kernel.events import EventType
from tests.kits.core import Api, Core, DatabaseAs, core_api, store_events


async def test_staff_read_a_session_as_the_document_shows_p1(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        session_id = await api.start_session(attempt_id=attempt_id)
        await store_events(
            api, session_id, [(EventType.Heartbeat, 0)] * 10 + [(EventType.TabSwitched, 2)] * 2
        )
        answer = await api.get(f"/api/proctor/session/{session_id}", "teacher")

        assert answer.status == 200
        session = answer.body["data"]
        assert list(session) == [
            "id", "attemptId", "examId", "examTitleEn", "candidateId", "candidateName", "mode", "modeName",
            "status", "statusName", "startedAt", "endedAt", "ipAddress", "browserName", "totalEvents",
            "totalViolations", "riskScore", "peakRiskScore", "riskLevel", "lastHeartbeatAt", "decision",
            "quarantinedUntil", "recentEvents",
        ]  # fmt: skip
        assert (session["examTitleEn"], session["candidateName"]) == ("Algebra", "The student")
        assert (session["modeName"], session["statusName"]) == ("Soft", "Active")
        assert (session["totalEvents"], session["totalViolations"]) == (12, 2)
        assert (session["riskScore"], session["riskLevel"], session["decision"]) == (None, None, None)
        assert len(session["recentEvents"]) == 10
        assert session["recentEvents"][0] == {
            "id": session_id * 2**22 + 12,
            "eventType": 2,
            "eventTypeName": "TabSwitched",
            "severity": 2,
            "isViolation": True,
            "occurredAt": session["recentEvents"][0]["occurredAt"],
        }


async def test_a_session_is_visible_to_the_exams_staff_only_a4(core: Core) -> None:
    async with core.school() as api:
        path = f"/api/proctor/session/{await api.start_session()}"
        statuses = {
            name: (await api.get(path, name)).status
            for name in (
                "teacher",
                "reviewer",
                "admin",
                "colleague",
                "rival",
                "boss",
                "student",
                "observer",
                "service",
            )
        }

        assert statuses == {
            "teacher": 200, "reviewer": 200, "admin": 200, "colleague": 404, "rival": 404, "boss": 404,
            "student": 403, "observer": 403, "service": 403,
        }  # fmt: skip


async def test_an_unknown_or_malformed_session_number_is_a_404(core: Core) -> None:
    async with core.school() as api:
        for session_id in ("0", "-1", "1.5", "x", "99", "9" * 12, "9" * 300, "%00", "%D9%A1"):
            answer = await api.get(f"/api/proctor/session/{session_id}", "teacher")

            assert (answer.status, session_id) == (404, session_id)


@pytest.mark.parametrize("show", [False, True])
async def test_a_candidate_sees_their_session_without_events_or_numbers_decision_6(
    database: str, database_as: DatabaseAs, *, show: bool
) -> None:
    async with core_api(database, database_as, show_numbers_to_candidates=show) as api:
        attempt_id = await api.start_attempt()
        session_id = await api.start_session(attempt_id=attempt_id)
        await store_events(api, session_id, [(EventType.TabSwitched, 2)])
        path = f"/api/proctor/session/attempt/{attempt_id}"
        own = (await api.get(path, "student")).body["data"]
        staffs = (await api.get(path, "reviewer")).body["data"]

        assert (own["id"], own["totalViolations"]) == (session_id, 1 if show else None)
        assert set(staffs) - set(own) == {
            "totalEvents", "riskScore", "peakRiskScore", "riskLevel", "decision", "quarantinedUntil",
            "recentEvents",
        }  # fmt: skip
        assert set(own) <= set(staffs)
        assert (staffs["totalViolations"], len(staffs["recentEvents"])) == (1, 1)
        assert (await api.get(path, "other_student")).status == 404
        assert (await api.get(path, "colleague")).status == 404


async def test_of_two_sessions_of_an_attempt_the_asked_or_the_later_one_comes(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        soft, advanced = [await api.start_session(attempt_id=attempt_id, mode=mode) for mode in (1, 2)]
        path = f"/api/proctor/session/attempt/{attempt_id}"

        assert (await api.get(path, "student")).body["data"]["id"] == advanced
        assert (await api.get(f"{path}?mode=1", "student")).body["data"]["id"] == soft
        assert (await api.get(f"{path}?mode=3", "student")).status == 422


async def add_sessions(api: Api, count: int) -> list[int]:
    """Make `count` more candidates with a session each, from oldest to newest; every third one ended."""
    ids = [each.session_id for each in api.seat(count)]
    await api.owner.execute(
        "UPDATE public.proctor_sessions SET mode = 1 + n % 2, started_at = now() - n * interval '1 minute',"
        " status = CASE WHEN n % 3 = 0 THEN 2 ELSE 1 END, ended_at = CASE WHEN n % 3 = 0 THEN now() END"
        " FROM unnest($1::bigint[]) WITH ORDINALITY AS given (session_id, n) WHERE id = session_id",
        ids,
    )
    return ids


async def test_sessions_follow_a_cursor_without_overlap_while_more_begin_p1(core: Core) -> None:
    async with core.school() as api:
        ids = await add_sessions(api, 25)
        seen: list[int] = []
        cursor = None
        while True:
            query = "?limit=10" + (f"&cursor={cursor}" if cursor else "")
            page = await api.get(f"/api/proctor/sessions/exam/{api.exam_id}{query}", "reviewer")
            seen += [session["id"] for session in page.body["data"]]
            cursor = page.body["paging"]["nextCursor"]
            if len(seen) == 10:
                await api.start_session()
            if cursor is None:
                break

        assert seen == ids[::-1]


async def test_sessions_are_sorted_and_numbered_with_their_total_p1(core: Core) -> None:
    cases: list[tuple[str, Callable[[int], Any]]] = [
        ("id", lambda n: n),
        ("-id", lambda n: -n),
        ("startedAt", lambda n: -n),
        ("endedAt", lambda n: (n % 3 != 0, n)),
        ("-totalEvents", lambda n: n),
    ]
    async with core.school() as api:
        ids = await add_sessions(api, 7)
        for sort, expected in cases:
            pages = [
                await api.get(f"/api/proctor/sessions?size=3&sort={sort}&page={n}", "teacher")
                for n in (1, 2, 3, 4)
            ]
            seen = [session["id"] for page in pages for session in page.body["data"]]

            assert [page.body["paging"]["total"] for page in pages] == [7, 7, 7, 7]
            assert seen == [ids[n - 1] for n in sorted(range(1, 8), key=expected)]
            assert await followed(api, f"/api/proctor/sessions?limit=3&sort={sort}") == seen


async def followed(api: Api, path: str) -> list[int]:
    """Return the ids of a list whose cursor is followed to its end."""
    seen: list[int] = []
    tail = ""
    while True:
        page = (await api.get(path + tail, "teacher")).body
        seen += [session["id"] for session in page["data"]]
        assert page["paging"]["total"] == 7
        if page["paging"]["nextCursor"] is None:
            return seen
        tail = f"&cursor={page['paging']['nextCursor']}"


async def test_sessions_are_filtered_by_status_mode_exam_and_candidate_p1(core: Core) -> None:
    async with core.school() as api:
        ids = await add_sessions(api, 6)
        mine = await api.start_session()

        async def listed(query: str, by: str = "teacher") -> list[int]:
            answer = await api.get(f"/api/proctor/sessions?{query}", by)
            return [session["id"] for session in answer.body["data"]]

        assert await listed("status=2") == [ids[5], ids[2]]
        assert await listed("mode=1&status=1") == [mine, ids[3], ids[1]]
        assert await listed(f"candidateId={api.people['student'].id}") == [mine]
        assert len(await listed(f"examId={api.exam_id}")) == 7
        assert await listed("", "colleague") == []
        assert await listed("", "boss") == []
        assert len(await listed("", "admin")) == 7


async def test_a_list_of_sessions_refuses_what_is_not_on_its_list(core: Core) -> None:
    queries = (
        "sort=risk sort=id;drop page=0 size=201 page=9999&size=200 cursor=1&page=1 cursor=10001&sort=id"
        " status=9 limit=1000"
    )
    async with core.school() as api:
        for query in queries.split():
            answer = await api.get(f"/api/proctor/sessions?{query}", "teacher")

            assert (answer.status, query) == (422, query)
            assert answer.body["errors"]


async def test_the_sessions_of_an_exam_that_is_not_visible_are_not_there(core: Core) -> None:
    async with core.school() as api:
        assert (await api.get(f"/api/proctor/sessions/exam/{api.exam_id}", "colleague")).status == 404
        assert (await api.get(f"/api/proctor/sessions/exam/{uuid4()}", "admin")).status == 404
        assert (await api.get("/api/proctor/sessions/exam/7", "admin")).status == 404


async def test_staff_are_told_of_a_session_whose_events_are_set_aside(
    database: str, database_as: DatabaseAs
) -> None:
    """I-5: in every view of it, while it lasts and ever after; the candidate is not."""
    async with core_api(database, database_as) as api:
        attempt_id = await api.start_attempt()
        session_id = await api.start_session(attempt_id=attempt_id)
        one, own, many = (
            f"/api/proctor/session/{session_id}",
            f"/api/proctor/session/attempt/{attempt_id}",
            "/api/proctor/sessions",
        )
        never = (await api.get(one, "teacher")).body["data"]["quarantinedUntil"]
        await api.owner.execute(
            "INSERT INTO session_quarantines (session_id, began_at, ends_at, sqlstate, reason)"
            " VALUES ($1, '2026-01-01Z', '2026-01-02Z', '22P05', 'over')",
            session_id,
        )
        over = (await api.get(one, "teacher")).body["data"]["quarantinedUntil"]
        await api.owner.execute(
            "INSERT INTO session_quarantines (session_id, ends_at, sqlstate, reason)"
            " VALUES ($1, '2090-01-01Z', '22P05', 'a payload')",
            session_id,
        )

        assert (never, over) == (None, "2026-01-02T00:00:00Z")
        assert (await api.get(one, "teacher")).body["data"]["quarantinedUntil"] == "2090-01-01T00:00:00Z"
        assert "quarantinedUntil" not in (await api.get(own, "student")).body["data"]
        (listed,) = (await api.get(many, "admin")).body["data"]
        assert listed["quarantinedUntil"] == "2090-01-01T00:00:00Z"
        monitoring = await api.get(f"/api/teacher/attempts/{attempt_id}/monitoring", "teacher")
        assert monitoring.body["sessions"][0]["quarantined_until"] == "2090-01-01T00:00:00Z"
