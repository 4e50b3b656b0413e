"""A programme, who is enrolled in it, and judging them."""

from datetime import UTC, datetime
from typing import Any

from core_api.programmes import orchestrator
from kernel.postgres import open_pool
from kernel.settings import load
from pipeline.outbox import read_outbox
from sql.running import connect
from tests.kits.core import Api, Core, DatabaseAs


def asks(exam_id: str, **more: Any) -> dict[str, Any]:
    """Return a requirement of one exam."""
    return {"kind": "exam", "key": "finals", "exam_id": exam_id, **more}


async def drafted(api: Api, *requirements: dict[str, Any], by: str = "teacher") -> str:
    """Create a programme, and return its id."""
    body = {"title": "Programming", "title_ar": "البرمجة", "requirements": requirements}
    made = await api.post("/api/teacher/programmes", by, json=body)
    assert made.status == 201, made.body
    programme_id: str = made.body["programme_id"]
    return programme_id


async def published(api: Api, *requirements: dict[str, Any], by: str = "teacher") -> str:
    programme_id = await drafted(api, *requirements, by=by)
    done = await api.post(f"/api/teacher/programmes/{programme_id}/publish", by)
    assert done.status == 200, done.body
    return programme_id


async def enrol(api: Api, programme_id: str, *people: str, by: str = "teacher") -> int:
    """Enrol people, by their short names; return how many were not before."""
    body = {"user_ids": [str(api.people[name].id) for name in people]}
    done = await api.post(f"/api/teacher/programmes/{programme_id}/enrolments", by, json=body)
    assert done.status == 200, done.body
    enrolled: int = done.body["enrolled"]
    return enrolled


async def enrolments(api: Api, programme_id: str, by: str = "teacher", **query: Any) -> list[dict[str, Any]]:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    listed = await api.get(f"/api/teacher/programmes/{programme_id}/enrolments?{asked}", by)
    assert listed.status == 200, listed.body
    found: list[dict[str, Any]] = listed.body["enrolments"]
    return found


async def follow(core: Core, *, at: datetime | None = None) -> int:
    """Read the outbox, and judge what is due; return how many enrolments were judged."""
    return await judge(core.database_as, at=at)


async def judge(database_as: DatabaseAs, *, at: datetime | None = None) -> int:
    """The same, in a database of the test's own."""
    with connect(database_as("veritas_pipeline")) as conn:
        while read_outbox(conn, 1000):
            pass
    settings = load({}, database_url=database_as("veritas_core"))
    async with await open_pool(settings) as pool:
        return await orchestrator.sweep(pool, now=at or datetime.now(UTC))
