"""The live list and the dashboard of an exam (spec.md U-1; proctor-module.txt, 11 and 12)."""

from datetime import UTC, datetime, timedelta

from core_api.proctoring.live import distribution
from kernel.events import EventType
from tests.kits.core import Core, store_events

SCORE = (
    "INSERT INTO reporting.session_risk (session_id, attempt_id, exam_id, organisation_id, rule_set_id,"
    " risk_score, peak_risk_score, risk_level, as_of) SELECT id, attempt_id, exam_id, organisation_id,"
    " rule_set_id, $2, $3, $4, now() FROM proctor_sessions WHERE id = $1"
)
BY_TYPE = '{"Heartbeat": 9, "WindowBlurred": 2, "TabSwitched": 4, "Keystroke": 70}'
ACTIVITY = (
    "INSERT INTO reporting.attempt_activity (attempt_id, exam_id, student_id, session_ids, events,"
    " violations, by_type, by_severity, first_event_at, last_event_at, late_events, metric_version, coverage,"
    f" reasons, as_of) VALUES ($1, $2, $1, '{{}}', 85, 4, '{BY_TYPE}', '{{}}', now(), now(), 0, '1', 1, '[]',"
    " now())"
)


async def test_get_live_monitoring_data(core: Core) -> None:
    """proctor-module.txt, testing checklist: "Get live monitoring data"; as its sample shows it."""
    async with core.school() as api:
        session_id = await api.start_session()
        await store_events(api, session_id, [(EventType.TabSwitched, 2), (EventType.Heartbeat, 0)])
        quiet = api.seat(1)[0]
        answer = await api.get(f"/api/proctor/live/exam/{api.exam_id}", "teacher")

        assert answer.status == 200, answer.body
        first, second = answer.body["data"]
        assert list(first) == [
            "proctorSessionId", "attemptId", "candidateName", "status", "riskScore", "peakRiskScore",
            "riskLevel", "totalViolations", "lastHeartbeatAt", "isOnline", "lastEvent",
        ]  # fmt: skip
        assert (first["proctorSessionId"], first["candidateName"], first["status"]) == (
            session_id, "The student", 1,
        )  # fmt: skip
        assert (first["isOnline"], first["totalViolations"], first["riskScore"]) == (True, 1, None)
        assert first["lastEvent"] == {
            "eventType": 2, "eventTypeName": "TabSwitched", "occurredAt": first["lastEvent"]["occurredAt"],
        }  # fmt: skip
        assert second["attemptId"] == str(quiet.attempt_id)
        assert (second["isOnline"], second["lastHeartbeatAt"], second["lastEvent"]) == (False, None, None)


async def test_a_candidate_is_online_with_a_heartbeat_within_45_seconds(core: Core) -> None:
    async with core.school() as api:
        session_id, path = await api.start_session(), f"/api/proctor/live/exam/{api.exam_id}"
        begin = datetime.now(UTC) - timedelta(seconds=60)
        await store_events(api, session_id, [(EventType.Heartbeat, 0)], begin=begin)

        assert [each["isOnline"] for each in (await api.get(path, "teacher")).body["data"]] == [False]
        assert (await api.get(f"{path}?online=true", "teacher")).body["data"] == []
        assert len((await api.get(f"{path}?online=false", "teacher")).body["data"]) == 1


async def test_the_live_list_is_filtered_sorted_and_paged(core: Core) -> None:
    async with core.school() as api:
        sessions = [seat.session_id for seat in api.seat(5)]
        for n, session_id in enumerate(sessions):
            await store_events(api, session_id, [(EventType.TabSwitched, 2)] * (n % 3 + 1))
        path = f"/api/proctor/live/exam/{api.exam_id}"

        seen, cursor = [], ""
        for _ in sessions:
            page = (await api.get(f"{path}?limit=2{cursor}", "teacher")).body
            seen += [each["proctorSessionId"] for each in page["data"]]
            cursor = f"&cursor={page['paging']['nextCursor']}"
            if page["paging"]["nextCursor"] is None:
                break
        assert seen == sorted(sessions)

        page = (await api.get(f"{path}?limit=3&sort=-totalViolations", "teacher")).body
        assert [each["totalViolations"] for each in page["data"]] == [3, 2, 2]
        assert page["paging"] == {"limit": 3, "nextCursor": "3", "total": 5}
        page = (await api.get(f"{path}?limit=3&sort=-totalViolations&cursor=3", "teacher")).body
        assert [each["totalViolations"] for each in page["data"]] == [1, 1]
        assert (await api.get(f"{path}?q=nobody", "teacher")).body["data"] == []
        assert (await api.get(f"{path}?status=2", "teacher")).body["data"] == []
        assert (await api.get(f"{path}?sort=id", "teacher")).status == 422
        assert (await api.get(f"{path}?sort=riskScore&cursor=10001", "teacher")).status == 422


async def test_get_dashboard_metrics(core: Core) -> None:
    """proctor-module.txt, testing checklist: "Get dashboard metrics"; as its sample shows them."""
    async with core.school() as api:
        cancelled, ended, _ = (seat.session_id for seat in api.seat(3))
        assert (await api.post(f"/api/proctor/session/{cancelled}/cancel", "admin")).status == 200
        assert (await api.post(f"/api/proctor/session/{ended}/end", "admin")).status == 200
        for attempt_id in await api.owner.fetch("SELECT attempt_id FROM proctor_sessions"):
            await api.owner.execute(ACTIVITY, attempt_id[0], api.exam_id)
        answer = await api.get(f"/api/proctor/dashboard/exam/{api.exam_id}", "reviewer")

        assert answer.status == 200, answer.body
        assert answer.body["data"] == {
            "examId": str(api.exam_id), "examTitleEn": "Algebra", "totalSessions": 3, "activeSessions": 1,
            "completedSessions": 1, "highRiskCount": 0, "criticalRiskCount": 0, "pendingReviewCount": 1,
            "clearedCount": 0, "invalidatedCount": 0, "averageRiskScore": None,
            "topViolations": [
                {"eventType": 2, "eventTypeName": "TabSwitched", "count": 12},
                {"eventType": 3, "eventTypeName": "WindowBlurred", "count": 6},
            ],
            "riskDistribution": [
                {"range": "0-20 (Low)", "count": 0, "percentage": 0.0},
                {"range": "21-50 (Medium)", "count": 0, "percentage": 0.0},
                {"range": "51-75 (High)", "count": 0, "percentage": 0.0},
                {"range": "76-100 (Critical)", "count": 0, "percentage": 0.0},
            ],
        }  # fmt: skip


async def test_scores_and_bands_are_of_the_peak_decision_10(core: Core) -> None:
    async with core.school() as api:
        sessions = [seat.session_id for seat in api.seat(4)]
        for session_id, score, peak, level in zip(
            sessions, (0, 50.01, 20), (20, 75.01, 75), ("Low", "Critical", "High"), strict=False
        ):
            await api.owner.execute(SCORE, session_id, score, peak, level)
        path = f"/api/proctor/live/exam/{api.exam_id}"

        page = (await api.get(f"{path}?sort=-peakRiskScore", "teacher")).body["data"]
        assert [(each["riskScore"], each["peakRiskScore"], each["riskLevel"]) for each in page] == [
            (50.01, 75.01, "Critical"), (20.0, 75.0, "High"), (0.0, 20.0, "Low"), (None, None, None),
        ]  # fmt: skip
        (high,) = (await api.get(f"{path}?level=High", "teacher")).body["data"]
        assert high["proctorSessionId"] == sessions[2]

        numbers = (await api.get(f"/api/proctor/dashboard/exam/{api.exam_id}", "teacher")).body["data"]
        assert (numbers["highRiskCount"], numbers["criticalRiskCount"]) == (1, 1)
        assert numbers["averageRiskScore"] == 56.67
        assert [band["count"] for band in numbers["riskDistribution"]] == [1, 0, 1, 1]


def test_a_distribution_is_that_of_the_document() -> None:
    bands = distribution({"Low": 95, "Medium": 35, "High": 15, "Critical": 5})

    assert [(band.range, band.count, band.percentage) for band in bands] == [
        ("0-20 (Low)", 95, 63.33),
        ("21-50 (Medium)", 35, 23.33),
        ("51-75 (High)", 15, 10.0),
        ("76-100 (Critical)", 5, 3.33),
    ]
