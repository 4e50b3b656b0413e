"""What teachers ask: monitoring of an attempt, analytics of an exam (spec.md W-5, I-6, A-4)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson

from kernel.events import EventType
from kernel.settings import load
from tests.kits.core import Api, Core, grant, store_events
from tests.kits.reporting import put_row

BEGIN = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


async def monitored(api: Api) -> tuple[str, int]:
    """Make an attempt with 60 heartbeats, then 6 tab switches, one event a second from BEGIN on."""
    attempt_id = await api.start_attempt()
    session_id = await api.start_session(attempt_id=attempt_id)
    events = [(EventType.Heartbeat, 0)] * 60 + [(EventType.TabSwitched, 2)] * 6
    await store_events(api, session_id, events, begin=BEGIN, clock_offset_us=-1_500_000)
    return attempt_id, session_id


async def monitoring(api: Api, attempt_id: object, query: str = "", by: str = "teacher") -> Any:
    return await api.get(f"/api/teacher/attempts/{attempt_id}/monitoring{query}", by)


async def test_a_timeline_counts_every_event_once_by_type_and_severity_w5(core: Core) -> None:
    async with core.school() as api:
        attempt_id, session_id = await monitored(api)
        answer = await monitoring(api, attempt_id, "?bucket_s=30")

        assert answer.status == 200
        body = answer.body
        assert body["attempt"]["student_name"] == "The student"
        assert body["summary"] == {
            "events": 66,
            "violations": 6,
            "by_type": {"Heartbeat": 60, "TabSwitched": 6},
            "by_severity": {"0": 60, "2": 6},
        }
        assert [bucket["events"] for bucket in body["timeline"]] == [30, 30, 6]
        assert [bucket["violations"] for bucket in body["timeline"]] == [0, 0, 6]
        assert body["timeline"][1]["bucket_at"] == "2026-03-01T10:00:30Z"
        assert body["sessions"][0]["session_id"] == session_id
        assert body["sessions"][0]["clock_skew_ms"] == 1500.0  # the client is ahead of the server


async def test_the_bucket_width_fits_the_attempt_unless_it_is_asked_for_w5(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        session_id = await api.start_session(attempt_id=attempt_id)
        await store_events(
            api, session_id, [(EventType.Heartbeat, 0)] * 200, begin=BEGIN, step=timedelta(seconds=15)
        )
        chosen = await monitoring(api, attempt_id)
        too_fine = await monitoring(api, attempt_id, "?bucket_s=1")

        assert chosen.body["bucket_s"] == 30
        assert len(chosen.body["timeline"]) == 100
        assert too_fine.status == 422
        assert too_fine.body["errors"] == [
            {"path": "bucket_s", "message": "at least 3 seconds for this attempt"}
        ]


async def test_back_filled_events_stand_where_they_happened_i6(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        session_id = await api.start_session(attempt_id=attempt_id)
        earlier = BEGIN - timedelta(minutes=10)
        await store_events(
            api, session_id, [(EventType.TabSwitched, 2)] * 5, begin=BEGIN, effective_at=earlier
        )
        body = (await monitoring(api, attempt_id, "?bucket_s=60")).body

        assert [(bucket["bucket_at"], bucket["events"]) for bucket in body["timeline"]] == [
            ("2026-03-01T09:50:00Z", 5)
        ]
        assert {event["effective_at"] for event in body["events"]} == {"2026-03-01T09:50:00Z"}


async def test_the_events_of_both_sessions_are_paged_without_loss_w5(core: Core) -> None:
    async with core.school() as api:
        attempt_id, session_id = await monitored(api)
        second_id = await api.start_session(attempt_id=attempt_id, mode=2)
        await store_events(
            api, second_id, [(EventType.FaceNotDetected, 3)] * 7, begin=BEGIN, payload='{"faces": 0}'
        )
        seen: list[tuple[int, int]] = []
        cursor: int | None = 0
        while cursor is not None:
            body = (await monitoring(api, attempt_id, f"?limit=20&cursor={cursor}")).body
            seen += [(event["session_id"], event["sequence_number"]) for event in body["events"]]
            cursor = body["next_cursor"]

        assert seen == [(session_id, n) for n in range(1, 67)] + [(second_id, n) for n in range(1, 8)]
        assert body["events"][-1]["data_payload"] == {"faces": 0}
        assert body["events"][-1]["event_type"] == "FaceNotDetected"


async def test_a_gap_is_shown_once_with_how_it_ended(core: Core) -> None:
    async with core.school() as api:
        attempt_id, session_id = await monitored(api)
        await api.owner.executemany(
            "INSERT INTO heartbeat_gaps"
            " (session_id, started_at, revision, state, ended_at, class, missed, covered)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::int4multirange)",
            [
                (session_id, BEGIN, 0, "open", None, None, None, None),
                (session_id, BEGIN, 1, "closed", BEGIN + timedelta(seconds=90), "unexplained", 6, "{}"),
                (
                    session_id,
                    BEGIN,
                    2,
                    "closed",
                    BEGIN + timedelta(seconds=90),
                    "network",
                    6,
                    "{[0,2),[3,6)}",
                ),
                (session_id, BEGIN + timedelta(minutes=5), 0, "open", None, None, None, None),
            ],
        )
        gaps = (await monitoring(api, attempt_id)).body["heartbeat_gaps"]

        shown = [(gap["duration_s"], gap["classification"], gap["missed"], gap["covered"]) for gap in gaps]
        assert shown == [(90.0, "network", 6, 5), (None, None, None, None)]


async def test_time_in_which_nothing_was_taken_is_shown_beside_the_gaps(core: Core) -> None:
    """Of the session's own shard, while it ran; of a gap that is judged the share that was ours."""
    async with core.school() as api:
        attempt_id, session_id = await monitored(api)
        started = await api.owner.fetchval(
            "SELECT started_at FROM proctor_sessions WHERE id = $1", session_id
        )
        shards = load({}).shards
        shard, minute = session_id % shards, timedelta(minutes=1)
        spans = [(shard, started + minute), (shard, started - 9 * minute), ((shard + 1) % shards, started)]
        await api.owner.executemany(
            "INSERT INTO public.ingest_outages (shard, started_at, ended_at) VALUES ($1, $2, $3)",
            [(where, begun, begun + minute) for where, begun in spans],
        )
        await api.owner.execute(
            "INSERT INTO heartbeat_gaps"
            " (session_id, started_at, revision, state, ended_at, class, missed, covered, outage_s)"
            " VALUES ($1, $2, 1, 'closed', $3, 'unexplained', 3, '{}', 60)",
            *(session_id, started, started + 2 * minute),
        )
        body = (await monitoring(api, attempt_id)).body

        assert [row["session_id"] for row in body["ingest_outages"]] == [session_id]
        assert datetime.fromisoformat(body["ingest_outages"][0]["started_at"]) == started + minute
        assert [(gap["outage_s"], gap["covered"]) for gap in body["heartbeat_gaps"]] == [(60.0, 0)]


async def test_an_attempt_without_a_session_is_shown_empty(core: Core) -> None:
    async with core.school() as api:
        await api.owner.execute("UPDATE exams SET enable_monitoring = false WHERE id = $1", api.exam_id)
        body = (await monitoring(api, await api.start_attempt())).body

        assert (body["sessions"], body["timeline"], body["events"], body["next_cursor"]) == ([], [], [], None)


async def test_monitoring_is_seen_by_the_exams_staff_only_a4(core: Core) -> None:
    async with core.school() as api:
        attempt_id, _ = await monitored(api)
        statuses = {
            name: (await monitoring(api, attempt_id, by=name)).status
            for name in ("teacher", "reviewer", "admin", "colleague", "rival", "boss", "student")
        }

        assert statuses == {
            "teacher": 200, "reviewer": 200, "admin": 200, "colleague": 404, "rival": 404, "boss": 404,
            "student": 403,
        }  # fmt: skip
        assert (await monitoring(api, uuid4())).status == 404
        assert (await monitoring(api, "x")).status == 404
        for query in ("?bucket_s=0", "?limit=500", "?cursor=-1", "?cursor=99999999999999999", "?x=1"):
            assert (await monitoring(api, attempt_id, query)).status == 422


async def project(api: Api, attempt_id: str, name: str, session_id: int, **columns: Any) -> None:
    """Write an attempt's row of reporting.attempt_activity as the pipeline would."""
    row: dict[str, Any] = {
        "events": 10, "violations": 2, "by_type": {"Heartbeat": 8, "TabSwitched": 2},
        "by_severity": {"0": 8, "2": 2},
        "longest_silence_s": 16.0, "heartbeat_coverage": 0.5, "late_events": 1,
    } | columns  # fmt: skip
    await api.owner.execute(
        "INSERT INTO reporting.attempt_activity (attempt_id, exam_id, student_id, session_ids, events,"
        " violations, by_type, by_severity, first_event_at, last_event_at, longest_silence_s,"
        " heartbeat_coverage, late_events, metric_version, coverage, reasons, as_of)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'activity-1', 1, '[]', $10)",
        attempt_id,
        api.exam_id,
        api.people[name].id,
        [session_id],
        row["events"],
        row["violations"],
        orjson.dumps(row["by_type"]).decode(),
        orjson.dumps(row["by_severity"]).decode(),
        BEGIN,
        BEGIN + timedelta(minutes=row["events"]),
        row["longest_silence_s"],
        row["heartbeat_coverage"],
        row["late_events"],
    )


async def analytics(api: Api, query: str = "", by: str = "teacher") -> Any:
    return await api.get(f"/api/teacher/exams/{api.exam_id}/analytics{query}", by)


async def test_an_exams_analytics_add_up_its_attempts_and_say_as_of_when_w5(core: Core) -> None:
    async with core.school() as api:
        first, second = await api.start_attempt(), await api.start_attempt("other_student")
        await project(api, first, "student", 1)
        more = {"Heartbeat": 20, "CopyAttempt": 1}
        await project(api, second, "other_student", 2, events=21, by_type=more, by_severity={"0": 21},
                      violations=0, longest_silence_s=60.0, heartbeat_coverage=None)  # fmt: skip
        answer = await analytics(api)

        assert answer.status == 200
        assert set(answer.body) == {"exam", "analytics", "students", "next_cursor", "as_of"}
        assert answer.body["analytics"]["attempts"] == {
            "total": 2, "students": 2, "in_progress": 2, "completed": 0, "abandoned": 0, "void": 0,
            "average_percentage": None, "pass_rate": None,
        }  # fmt: skip
        assert answer.body["analytics"]["monitoring"] == {
            "events": 31,
            "violations": 2,
            "by_type": {"Heartbeat": 28, "TabSwitched": 2, "CopyAttempt": 1},
            "by_severity": {"0": 29, "2": 2},
            "attempts_monitored": 2,
            "late_events": 2,
            "first_event_at": "2026-03-01T10:00:00Z",
            "last_event_at": "2026-03-01T10:21:00Z",
            "longest_silence_s": 60.0,
            "heartbeat_coverage": 0.5,
        }
        assert answer.body["as_of"] == "2026-03-01T10:21:00Z"
        by_student = {student["student_id"]: student for student in answer.body["students"]}
        student = by_student[str(api.people["student"].id)]
        assert (student["student_name"], student["integrity_score"]) == ("The student", None)
        assert student["attempts"][0]["activity"]["by_type"] == {"Heartbeat": 8, "TabSwitched": 2}


async def test_an_exam_nobody_took_has_no_averages_rather_than_zeros(core: Core) -> None:
    async with core.school() as api:
        body = (await analytics(api)).body

        assert body["as_of"] is None
        assert body["analytics"]["attempts"]["pass_rate"] is None
        assert body["analytics"]["monitoring"]["heartbeat_coverage"] is None
        assert (body["students"], body["next_cursor"]) == ([], None)


async def test_attempts_are_counted_as_they_are_and_averages_as_they_were_projected_w5(core: Core) -> None:
    async with core.school() as api:
        first, _ = await api.start_attempt(), await api.start_attempt("other_student")
        await api.owner.execute("UPDATE exam_attempts SET status = 'completed' WHERE id = $1", first)
        before = (await analytics(api)).body["analytics"]["attempts"]
        await put_row(api, "exam_performance_summary", exam_id=str(api.exam_id), avg_score=80, pass_rate=1,
                      organisation_id=str(api.people["teacher"].organisation_id), reasons=[])  # fmt: skip
        after = (await analytics(api)).body["analytics"]["attempts"]

        assert (before["completed"], before["in_progress"], before["pass_rate"]) == (1, 1, None)
        assert (after["average_percentage"], after["pass_rate"]) == (80.0, 1.0)


async def test_students_are_paged_without_loss_and_those_not_yet_projected_are_there_too(core: Core) -> None:
    async with core.school() as api:
        api.seat(23)
        seen: list[str] = []
        cursor = None
        while True:
            body = (await analytics(api, "?limit=10" + (f"&cursor={cursor}" if cursor else ""))).body
            assert (body["analytics"] is None) == (cursor is not None)  # summed up once, not on each page
            seen += [student["student_id"] for student in body["students"]]
            cursor = body["next_cursor"]
            if cursor is None:
                break
        bare = (await analytics(api, "?totals=false&limit=10")).body
        asked = (await analytics(api, f"?totals=true&cursor={seen[9]}")).body

        assert bare["analytics"] is None
        assert asked["analytics"]["attempts"]["students"] == 23
        assert len(seen) == len(set(seen)) == 23
        assert seen == sorted(seen)
        assert body["students"][0]["attempts"][0]["activity"] is None


async def test_analytics_need_their_own_permission_a4(core: Core) -> None:
    async with core.school() as api:
        await grant(api, api.exam_id, can_edit=False)
        statuses = {
            name: (await analytics(api, by=name)).status
            for name in ("teacher", "admin", "colleague", "rival", "boss", "reviewer", "student")
        }

        assert statuses == {
            "teacher": 200, "admin": 200, "colleague": 403, "rival": 404, "boss": 404, "reviewer": 403,
            "student": 403,
        }  # fmt: skip
        assert (await api.get(f"/api/teacher/exams/{uuid4()}/analytics", "teacher")).status == 404


async def test_pages_after_the_first_leave_the_timeline_out_and_keep_the_totals_w5(core: Core) -> None:
    """Work in proportion to the page: the whole timeline is counted where it is asked for."""
    async with core.school() as api:
        attempt_id, session_id = await monitored(api)
        await project(
            api, attempt_id, "student", session_id, by_type={"Heartbeat": 60}, by_severity={"0": 60}
        )
        first = (await monitoring(api, attempt_id, "?limit=40")).body
        second = (await monitoring(api, attempt_id, f"?limit=40&cursor={first['next_cursor']}")).body
        bare = (await monitoring(api, attempt_id, "?timeline=false")).body
        asked = await monitoring(api, attempt_id, f"?timeline=true&cursor={first['next_cursor']}")

        assert [len(page["timeline"] or []) for page in (first, second, bare, asked.body)] == [66, 0, 0, 66]
        assert second["timeline"] is bare["timeline"] is None
        assert second["summary"] == bare["summary"] == {
            "events": 66, "violations": 6, "by_type": {"Heartbeat": 60}, "by_severity": {"0": 60},
        }  # fmt: skip
        assert asked.body["summary"] == first["summary"]
        assert [event["sequence_number"] for event in second["events"]] == list(range(41, 67))
