"""Proctor sessions and their events (spec.md P-1, P-2, decisions 4, 6, 8; proctor-module.txt, 1 and 5)."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from kernel.events import EventType
from tests.integration.core_kit import Api, core_api, store_events

DatabaseAs = Callable[[str], str]
CLIENT = {
    "deviceFingerprint": "abc123xyz",
    "userAgent": "Mozilla/5.0...",
    "browserName": "Chrome",
    "browserVersion": "120.0",
    "operatingSystem": "Windows 11",
    "screenResolution": "1920x1080",
}


async def create(
    api: Api, attempt_id: object, by: str = "student", mode: object = 1, **client: object
) -> Any:
    body = {"attemptId": str(attempt_id), "mode": mode, **client}
    return await api.post("/api/proctor/session", by, json=body)


async def test_a_session_starts_as_the_document_shows_p1(database: str, database_as: DatabaseAs) -> None:
    async with core_api(database, database_as) as api:
        attempt_id = await api.start_attempt()
        answer = await create(api, attempt_id, **CLIENT)

        assert answer.status == 201
        assert answer.body["success"] is True
        assert answer.body["data"] == {
            "proctorSessionId": 1,
            "attemptId": attempt_id,
            "mode": 1,
            "startedAt": answer.body["data"]["startedAt"],
            "heartbeatIntervalSeconds": 15,
            "message": "Proctor session started successfully",
        }
        row = await api.owner.fetchrow("SELECT * FROM proctor_sessions")
        assert (row["browser_name"], row["ip_address"].compressed) == ("Chrome", "127.0.0.1")


async def test_fifty_creations_at_once_make_one_session_per_mode_p1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        attempt_id = await api.start_attempt()
        answers = await asyncio.gather(*(create(api, attempt_id, mode=1 + n % 2) for n in range(50)))

        assert Counter(answer.status for answer in answers) == {201: 2, 200: 48}
        assert len({answer.body["data"]["proctorSessionId"] for answer in answers}) == 2


async def test_a_duplicate_of_an_ended_session_is_a_conflict_decision_8(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        attempt_id = await api.start_attempt()
        session_id = await api.start_session(attempt_id=attempt_id)
        cancelled_id = await api.start_session(attempt_id=attempt_id, mode=2)
        await api.post(f"/api/proctor/session/{session_id}/end", "student")
        await api.post(f"/api/proctor/session/{cancelled_id}/cancel", "admin")

        assert (await create(api, attempt_id)).status == 409
        assert (await create(api, attempt_id, mode=2)).status == 409


async def test_a_session_needs_the_candidates_own_running_attempt_p1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        attempt_id = await api.start_attempt()

        assert (await create(api, attempt_id, by="other_student")).status == 404
        assert (await create(api, uuid4())).status == 404
        await api.owner.execute("UPDATE exam_attempts SET status = 'completed'")
        assert (await create(api, attempt_id)).status == 409


async def test_a_malformed_session_is_refused_and_its_fault_is_named(
    database: str, database_as: DatabaseAs
) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"attemptId": 100}, "attemptId"),
        ({"attemptId": "x"}, "attemptId"),
        ({"mode": 3}, "mode"),
        ({"mode": None}, "mode"),
        ({"browserName": "x" * 201}, "browserName"),
        ({"userAgent": "\x00"}, "userAgent"),
    ]
    async with core_api(database, database_as) as api:
        for change, path in cases:
            body = {"attemptId": str(uuid4()), "mode": 1} | change
            answer = await api.post("/api/proctor/session", "student", json=body)

            assert answer.status == 422
            assert [fault["path"] for fault in answer.body["errors"]] == [path]


async def test_staff_read_a_session_as_the_document_shows_p1(database: str, database_as: DatabaseAs) -> None:
    async with core_api(database, database_as) as api:
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
            "totalViolations", "riskScore", "riskLevel", "lastHeartbeatAt", "decision", "recentEvents",
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


async def test_a_session_is_visible_to_the_exams_staff_only_a4(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
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


async def test_an_unknown_or_malformed_session_number_is_a_404(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
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

        assert (own["id"], own["totalViolations"], own["recentEvents"]) == (
            session_id,
            1 if show else None,
            [],
        )
        assert set(own) == set(staffs)
        assert (staffs["totalViolations"], len(staffs["recentEvents"])) == (1, 1)
        assert (await api.get(path, "other_student")).status == 404
        assert (await api.get(path, "colleague")).status == 404


async def test_of_two_sessions_of_an_attempt_the_asked_or_the_later_one_comes(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        attempt_id = await api.start_attempt()
        soft, advanced = [await api.start_session(attempt_id=attempt_id, mode=mode) for mode in (1, 2)]
        path = f"/api/proctor/session/attempt/{attempt_id}"

        assert (await api.get(path, "student")).body["data"]["id"] == advanced
        assert (await api.get(f"{path}?mode=1", "student")).body["data"]["id"] == soft
        assert (await api.get(f"{path}?mode=3", "student")).status == 422


async def test_ending_a_session_is_idempotent_and_tells_the_closer_p2(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        session_id = await api.start_session()
        heard: asyncio.Queue[str] = asyncio.Queue()
        await api.owner.add_listener("session_ended", lambda *notice: heard.put_nowait(notice[-1]))
        answers = await asyncio.gather(
            *(api.post(f"/api/proctor/session/{session_id}/end", "student") for _ in range(10))
        )
        async with asyncio.timeout(5):
            told = await heard.get()

        assert {answer.status for answer in answers} == {200}
        assert len({answer.body["data"]["endedAt"] for answer in answers}) == 1
        assert answers[0].body["data"]["statusName"] == "Completed"
        assert told == str(session_id)
        assert heard.empty()
        assert (await api.post(f"/api/proctor/session/{session_id}/cancel", "admin")).status == 409


async def test_a_session_is_ended_by_its_candidate_and_cancelled_by_an_admin_of_the_organisation_p1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        path = f"/api/proctor/session/{await api.start_session()}"

        assert (await api.post(f"{path}/end", "other_student")).status == 404
        assert (await api.post(f"{path}/cancel", "student")).status == 403
        assert (await api.post(f"{path}/cancel", "boss")).status == 404
        first, second = [await api.post(f"{path}/cancel", "admin") for _ in range(2)]
        assert (first.status, second.status) == (200, 200)
        assert first.body["data"]["statusName"] == "Cancelled"
        assert (await api.post(f"{path}/end", "student")).status == 409


async def add_sessions(api: Api, count: int) -> list[int]:
    """Make `count` more candidates with a session each, from oldest to newest; every third one ended."""
    rows = await api.owner.fetch(
        "WITH u AS (INSERT INTO users (id, organisation_id, email, username, role)"
        "   SELECT gen_random_uuid(), $1, 'c' || n || '@many.example', 'c' || n, 'student'"
        "   FROM generate_series(1, $3) n RETURNING id),"
        " a AS (INSERT INTO exam_attempts (id, exam_id, student_id, started_at, expires_at)"
        "   SELECT gen_random_uuid(), $2, id, now(), now() + interval '1 hour' FROM u"
        "   RETURNING id, student_id)"
        " INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, status,"
        "   started_at, ended_at)"
        " SELECT id, $2, student_id, $1, 1 + n % 2, CASE WHEN n % 3 = 0 THEN 2 ELSE 1 END,"
        "   now() - n * interval '1 minute', CASE WHEN n % 3 = 0 THEN now() END"
        " FROM (SELECT *, row_number() OVER () AS n FROM a) a ORDER BY n RETURNING id",
        api.people["teacher"].organisation_id,
        api.exam_id,
        count,
    )
    return sorted(row["id"] for row in rows)


async def test_sessions_follow_a_cursor_without_overlap_while_more_begin_p1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
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


async def test_sessions_are_sorted_and_numbered_with_their_total_p1(
    database: str, database_as: DatabaseAs
) -> None:
    cases: list[tuple[str, Callable[[int], Any]]] = [
        ("id", lambda n: n),
        ("-id", lambda n: -n),
        ("startedAt", lambda n: -n),
        ("endedAt", lambda n: (n % 3 != 0, n)),
        ("-totalEvents", lambda n: n),
    ]
    async with core_api(database, database_as) as api:
        ids = await add_sessions(api, 7)
        for sort, expected in cases:
            pages = [
                await api.get(f"/api/proctor/sessions?size=3&sort={sort}&page={n}", "teacher")
                for n in (1, 2, 3, 4)
            ]
            seen = [session["id"] for page in pages for session in page.body["data"]]

            assert [page.body["paging"]["total"] for page in pages] == [7, 7, 7, 7]
            assert seen == [ids[n - 1] for n in sorted(range(1, 8), key=expected)]


async def test_sessions_are_filtered_by_status_mode_exam_and_candidate_p1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
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


async def test_a_list_of_sessions_refuses_what_is_not_on_its_list(
    database: str, database_as: DatabaseAs
) -> None:
    queries = "sort=risk sort=id;drop page=0 size=201 page=9999&size=200 cursor=1&page=1 status=9 limit=1000"
    async with core_api(database, database_as) as api:
        for query in queries.split():
            answer = await api.get(f"/api/proctor/sessions?{query}", "teacher")

            assert (answer.status, query) == (422, query)
            assert answer.body["errors"]


async def test_the_sessions_of_an_exam_that_is_not_visible_are_not_there(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        assert (await api.get(f"/api/proctor/sessions/exam/{api.exam_id}", "colleague")).status == 404
        assert (await api.get(f"/api/proctor/sessions/exam/{uuid4()}", "admin")).status == 404
        assert (await api.get("/api/proctor/sessions/exam/7", "admin")).status == 404


async def test_events_come_in_order_of_sequence_page_by_page_p1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        session_id = await api.start_session()
        await store_events(api, session_id, [(EventType.Keystroke, 0)] * 23, payload='{"b":1,"a":"é"}')
        seen: list[int] = []
        after: int | None = 0
        while after is not None:
            page = await api.get(
                f"/api/proctor/session/{session_id}/events?limit=10&after={after}", "teacher"
            )
            seen += [event["sequenceNumber"] for event in page.body["data"]]
            after = page.body["paging"]["nextAfter"]

        assert seen == list(range(1, 24))
        event = page.body["data"][-1]
        assert event["id"] == session_id * 2**22 + 23
        assert (event["eventTypeName"], event["severityLabel"], event["isLate"]) == (
            "Keystroke",
            "Info",
            False,
        )
        assert event["metadataJson"] == '{"a": "é", "b": 1}'


async def test_events_are_filtered_by_type_severity_violation_and_time_p1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        session_id = await api.start_session()
        begin = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
        kinds = [EventType.Heartbeat, EventType.TabSwitched, EventType.CopyAttempt, EventType.CopyAttempt]
        await store_events(api, session_id, list(zip(kinds, (0, 2, 1, 4), strict=True)), begin=begin)

        async def sequences(tail: str) -> list[int]:
            answer = await api.get(f"/api/proctor/session/{session_id}/events{tail}", "reviewer")
            return [event["sequenceNumber"] for event in answer.body["data"]]

        second = (begin + timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
        third = (begin + timedelta(seconds=2)).isoformat().replace("+00:00", "Z")
        for spelling in ("5", "CopyAttempt", "copy_attempt"):
            assert await sequences(f"/{spelling}") == [3, 4]
        assert await sequences("/5?severity=4") == [4]
        assert await sequences("?severityMin=1") == [2, 3, 4]
        assert await sequences("?violation=true") == [2, 4]
        assert await sequences("?violation=false") == [1, 3]
        assert await sequences(f"?from={second}&to={third}") == [2]
        assert await sequences(f"?from={third}") == [3, 4]


async def test_a_question_about_events_that_makes_no_sense_is_refused(
    database: str, database_as: DatabaseAs
) -> None:
    cases = [
        ("/Nonsense", 404),
        ("/999", 404),
        ("?limit=201", 422),
        ("?after=-1", 422),
        ("?severity=6", 422),
        ("?from=2024-01-15", 422),
        ("?from=2024-01-15T10:00:00", 422),
        ("?violation=maybe", 422),
        ("?sort=id", 422),
    ]
    async with core_api(database, database_as) as api:
        session_id = await api.start_session()
        for tail, status in cases:
            answer = await api.get(f"/api/proctor/session/{session_id}/events{tail}", "teacher")

            assert (answer.status, tail) == (status, tail)


async def test_a_session_without_events_has_an_empty_list_and_a_foreign_one_none(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        path = f"/api/proctor/session/{await api.start_session()}/events"

        assert (await api.get(path, "teacher")).body["data"] == []
        assert (await api.get(path, "colleague")).status == 404
        assert (await api.get(path, "student")).status == 403


async def test_reading_a_session_touches_only_the_chunks_that_hold_its_events(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        session_id = await api.start_session()
        other_id = await api.start_session("other_student")
        begin = datetime.now(UTC)
        await store_events(api, session_id, [(EventType.Heartbeat, 0)] * 3, begin=begin)
        old = begin - timedelta(days=30)
        await store_events(api, other_id, [(EventType.Heartbeat, 0)] * 30, begin=old, step=timedelta(days=1))
        statement = (
            "EXPLAIN SELECT * FROM events WHERE session_id = $1 AND occurred_at >= $2 AND occurred_at < $3"
            " ORDER BY seq LIMIT 51"
        )
        plan = "\n".join(
            row[0]
            for row in await api.owner.fetch(statement, session_id, begin, begin + timedelta(seconds=3))
        )

        assert plan.count("_hyper_") <= 4  # one or two chunks, each by its index
        assert "Index Scan" in plan
