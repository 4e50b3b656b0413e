"""What alerts, the most urgent first, and who has looked at it (V, GET /teacher/alerts; analytics.md)."""

from typing import Any

import orjson

from tests.kits.core import Api, Core
from tests.kits.reporting import alerting, put_row


def alert(code: str, rank: int) -> dict[str, Any]:
    return {"code": code, "rank": rank, "value": 1, "threshold": 1, "n": 1, "text": f"{code} it is."}


SILENCE = alert("UNEXPLAINED_SILENCE", 4)
CRITICAL = alert("CRITICAL_RISK", 1)


async def alerted(api: Api, by: str, completed_at: str | None, *alerts: dict[str, Any]) -> str:
    """Let somebody start an attempt, of which this was projected."""
    attempt_id = await api.start_attempt(by)
    about = alerting(attempt_id, str(api.exam_id), str(api.people[by].id), *alerts)
    await put_row(api, "behavior_analysis", completed_at=completed_at, **about)
    return attempt_id


async def listed(api: Api, query: str = "", by: str = "teacher") -> Any:
    answer = await api.get(f"/api/teacher/alerts{query}", by)
    assert answer.status == 200, answer.body
    return answer.body


async def acknowledge(api: Api, attempt_id: str, *codes: str, by: str = "teacher", note: str = "") -> Any:
    body = {"codes": list(codes), "note": note}
    return await api.post(f"/api/teacher/attempts/{attempt_id}/alerts/acknowledge", by, json=body)


async def look(api: Api, *, analytics: bool) -> None:
    """Let the colleague see the exam, and its analytics or not."""
    body = {"user_id": str(api.people["colleague"].id), "can_view_analytics": analytics}
    answer = await api.post(f"/api/admin/exams/{api.exam_id}/permissions", "admin", json=body)
    assert answer.status in {200, 201}, answer.body


async def test_the_most_urgent_alerts_come_first_then_the_latest_and_pages_lose_none_w5(core: Core) -> None:
    async with core.school() as api:
        quiet = await alerted(api, "student", "2026-03-01T10:00:00Z", SILENCE)
        grave = await alerted(api, "other_student", None, CRITICAL, SILENCE)
        seen: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await listed(api, f"?limit=1{cursor and f'&cursor={cursor}'}")
            seen += page["attempts"]
            cursor = page["next_cursor"]

        assert [each["attempt_id"] for each in seen] == [grave, quiet]
        assert [each["code"] for each in seen[0]["alerts"]] == ["CRITICAL_RISK", "UNEXPLAINED_SILENCE"]
        assert seen[0]["alerts"][0]["text"] == "CRITICAL_RISK it is."
        assert seen[0]["completed_at"] is None
        assert seen[1]["student_name"] == "The student"
        found = await listed(api, "?code=CRITICAL_RISK")
        assert [each["attempt_id"] for each in found["attempts"]] == [grave]
        assert (await api.get("/api/teacher/alerts?cursor=1.99999999999999999.x", "teacher")).status == 422


async def test_who_has_looked_is_shown_until_something_else_alerts_w5(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await alerted(api, "student", "2026-03-01T10:00:00Z", SILENCE)
        odd = await acknowledge(api, attempt_id, "DROPOUT")
        first = await acknowledge(api, attempt_id, "UNEXPLAINED_SILENCE", note="The school's line was down.")
        again = await acknowledge(api, attempt_id, "UNEXPLAINED_SILENCE", note="The school's line was down.")

        assert (odd.status, odd.body["errors"][0]["path"]) == (422, "codes")
        assert first.status == 200
        assert first.body == again.body
        looked = first.body["acknowledged"]
        assert looked["acknowledged_by"] == str(api.people["teacher"].id)
        assert looked["note"] == "The school's line was down."
        assert (await listed(api, "?acknowledged=false"))["attempts"] == []
        told = "SELECT count(*) FROM ledger_events WHERE kind = 'alerts.acknowledged'"
        assert await api.owner.fetchval(told) == 1, "of the two that say the same"

        await api.owner.execute(
            "UPDATE reporting.behavior_analysis SET alerts = jsonb_insert(alerts, '{0}', $2), alert_rank = 1"
            " WHERE attempt_id = $1",
            *(attempt_id, orjson.dumps(CRITICAL).decode()),
        )
        (anew,) = (await listed(api, "?acknowledged=false"))["attempts"]
        assert anew["acknowledged"] is None


async def test_alerts_are_for_whoever_may_see_the_analytics_a4(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await alerted(api, "student", None, SILENCE)
        await look(api, analytics=False)
        looking = await listed(api, by="colleague")
        refused = await acknowledge(api, attempt_id, "UNEXPLAINED_SILENCE", by="colleague")
        await look(api, analytics=True)
        analysing = await listed(api, by="colleague")
        abroad = await listed(api, by="boss")

        assert (looking["attempts"], refused.status) == ([], 404)
        assert [each["attempt_id"] for each in analysing["attempts"]] == [attempt_id]
        assert abroad["attempts"] == []
        assert (await api.get("/api/teacher/alerts", "student")).status == 403
