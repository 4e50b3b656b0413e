"""What is asked of old sessions is answered from the archive, as it was from the table (spec.md W-2, G-1)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kernel.events import EventType
from kernel.settings import Settings
from pipeline.archive import archive_events
from pipeline.retention.events import sweep_events
from sql.running import connect
from tests.kits.core import Api, core_api, store_events
from tests.kits.pipeline_child import fold_now, project_now

OLD = datetime.now(UTC).replace(microsecond=250) - timedelta(days=120)
KINDS = [
    (EventType.Heartbeat, 0), (EventType.TabSwitched, 2), (EventType.CopyAttempt, 3),
    (EventType.FullscreenExited, 2), (EventType.Heartbeat, 0), (EventType.DevToolsOpened, 4),
]  # fmt: skip
ENDED = """
WITH touched AS (INSERT INTO dirty_sessions (session_id) VALUES ($1)),
     waiting AS (INSERT INTO unarchived_sessions (session_id) VALUES ($1)),
     over AS (UPDATE exam_attempts SET status = 'abandoned', started_at = $2, completed_at = $3 WHERE id = $4)
UPDATE proctor_sessions SET status = 2, started_at = $2, ended_at = $3, final_seq = $5 WHERE id = $1
"""


async def shown(api: Api, session_id: int, attempt_id: str) -> list[Any]:
    """Return what staff are shown of the session's events, by every route that shows any."""
    events, attempt = f"/api/proctor/session/{session_id}/events", f"/api/teacher/attempts/{attempt_id}"
    found = []
    for path in (
        f"/api/proctor/session/{session_id}",
        events,
        f"{events}?limit=7",
        f"{events}?limit=7&cursor=7",
        f"{events}?limit=50&cursor=18",
        f"{events}?severityMin=3",
        f"{events}?severity=2&violation=true",
        f"{events}/CopyAttempt",
        f"{attempt}/monitoring",
        f"{attempt}/monitoring?bucket_s=7&limit=5",
        f"{attempt}/monitoring?limit=5&cursor={(session_id << 22) + 5}",
    ):
        answer = await api.get(path, "teacher")
        assert answer.status == 200, answer.body
        found.append(answer.body)
    risk = await api.post(f"/api/proctor/session/{session_id}/calculate-risk", "teacher")
    assert risk.status == 200, risk.body
    return [*found, risk.body["data"] | {"calculatedAt": None}]


async def test_old_sessions_look_as_they_did(
    database: str, database_as: Callable[[str], str], tmp_path: Path
) -> None:
    """Every route that shows events shows the same ones once retention has taken them, and none altered."""
    warehouse = str(tmp_path / "warehouse")
    settings = Settings(database_url=database_as("veritas_pipeline"), warehouse=warehouse)
    async with core_api(database, database_as, warehouse=warehouse) as api:
        attempt_id = await api.start_attempt()
        session_id = await api.start_session(attempt_id=attempt_id)
        await store_events(api, session_id, KINDS * 4, begin=OLD, step=timedelta(seconds=11))
        over = OLD + timedelta(hours=1)
        await api.owner.execute(ENDED, session_id, OLD, over, attempt_id, len(KINDS) * 4)
        fold_now(settings)
        while project_now(settings):
            pass
        archive_events(settings)
        before = await shown(api, session_id, attempt_id)
        waiting = (await api.get("/api/admin/retention/forecast", "admin")).body["foreseen"]
        assert {each["what"]: (each["why"], each["total"]) for each in waiting} == {
            "events": ("review_open", len(KINDS) * 4),
            "runtime": ("review_open", 0),
        }
        await api.owner.execute("UPDATE pending_reviews SET rank = 10")

        with connect(settings.database_url) as conn:
            assert sweep_events(conn, settings, now=datetime.now(UTC)).events == len(KINDS) * 4
        assert await api.owner.fetchval("SELECT count(*) FROM public.events") == 0
        after = await shown(api, session_id, attempt_id)

        assert after == before
        assert len(after[1]["data"]) == len(KINDS) * 4
        for file in (tmp_path / "warehouse" / "events" / "groups").glob("*/*.parquet"):
            whole = file.read_bytes()
            for at in (len(whole) // 3, 2 * len(whole) // 3, len(whole) - 1):
                file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
                altered = await api.get(f"/api/proctor/session/{session_id}/events", "teacher")
                assert (altered.status, altered.body["code"]) == (503, "unavailable")
                assert "not what was written" in altered.body["detail"]
            file.write_bytes(whole)
        assert await shown(api, session_id, attempt_id) == before
        (tmp_path / "warehouse").rename(tmp_path / "away")
        lost = await api.get(f"/api/proctor/session/{session_id}/events", "teacher")
        assert (lost.status, lost.body["code"]) == (503, "unavailable")
