"""The events of a proctor session as staff read them (spec.md P-1; proctor-module.txt, 5)."""

from datetime import UTC, datetime, timedelta

from kernel.events import EventType
from tests.kits.core import Core, store_events


async def test_events_come_in_order_of_sequence_page_by_page_p1(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        await store_events(api, session_id, [(EventType.Keystroke, 0)] * 23, payload='{"b":1,"a":"é"}')
        seen: list[int] = []
        cursor: str | None = "0"
        while cursor is not None:
            page = await api.get(
                f"/api/proctor/session/{session_id}/events?limit=10&cursor={cursor}", "teacher"
            )
            seen += [event["sequenceNumber"] for event in page.body["data"]]
            cursor = page.body["paging"]["nextCursor"]

        assert seen == list(range(1, 24))
        event = page.body["data"][-1]
        assert event["id"] == session_id * 2**22 + 23
        assert (event["eventTypeName"], event["severityLabel"], event["isLate"]) == (
            "Keystroke",
            "Info",
            False,
        )
        assert event["metadataJson"] == '{"a": "é", "b": 1}'


async def test_events_are_filtered_by_type_severity_violation_and_time_p1(core: Core) -> None:
    async with core.school() as api:
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


async def test_a_question_about_events_that_makes_no_sense_is_refused(core: Core) -> None:
    cases = [
        ("/Nonsense", 404),
        ("/999", 404),
        ("?limit=201", 422),
        ("?cursor=-1", 422),
        ("?severity=6", 422),
        ("?from=2024-01-15", 422),
        ("?from=2024-01-15T10:00:00", 422),
        ("?violation=maybe", 422),
        ("?sort=id", 422),
    ]
    async with core.school() as api:
        session_id = await api.start_session()
        for tail, status in cases:
            answer = await api.get(f"/api/proctor/session/{session_id}/events{tail}", "teacher")

            assert (answer.status, tail) == (status, tail)


async def test_a_session_without_events_has_an_empty_list_and_a_foreign_one_none(core: Core) -> None:
    async with core.school() as api:
        path = f"/api/proctor/session/{await api.start_session()}/events"

        assert (await api.get(path, "teacher")).body["data"] == []
        assert (await api.get(path, "colleague")).status == 404
        assert (await api.get(path, "student")).status == 403


async def test_reading_a_session_touches_only_the_chunks_that_hold_its_events(core: Core) -> None:
    async with core.school() as api:
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
