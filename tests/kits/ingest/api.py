"""A client of a station: what it posts, and what it is answered."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec

from tests.kits.ingest.station import Station
from tests.kits.ingest.waiting import WITHIN_S, until
from tests.kits.ingest.world import Seat

ROUTES = ["/api/proctor/event", "/api/proctor/events/bulk", "/api/proctor/heartbeat", "/api/monitor/events"]


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def ack(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body["ack"]
        return found


class Api:
    """A client of a station."""

    def __init__(self, at: Station, http: aiohttp.ClientSession) -> None:
        self.at = at
        self.world = at.world
        self.http = http

    async def post(self, path: str, body: Any, token: str | None = None, **headers: str) -> Answer:
        """Post JSON, or bytes as they are; header names are written with underscores."""
        raw = body if isinstance(body, bytes | io.BytesIO) else msgspec.json.encode(body)
        sent = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        async with self.http.post(self.at.url + path, data=raw, headers=sent) as response:
            text = await response.read()
            body = msgspec.json.decode(text) if "json" in response.content_type and text else text
            return Answer(response.status, body, response.headers)

    async def event(self, seat: Seat, **members: Any) -> Answer:
        headers = members.pop("headers", {})
        body = {"proctorSessionId": seat.session_id, "eventType": 102, **members}
        return await self.post("/api/proctor/event", body, seat.token, **headers)

    async def bulk(self, seat: Seat, events: list[Any], **members: Any) -> Answer:
        headers, query = members.pop("headers", {}), members.pop("query", "")
        body = {"proctorSessionId": seat.session_id, "events": events, **members}
        return await self.post("/api/proctor/events/bulk" + query, body, seat.token, **headers)

    async def tab(self, seat: Seat, numbers: list[int], tab: str = "tab-1", **members: Any) -> Answer:
        """Post keystrokes with these clientSequences as a client instance."""
        return await self.bulk(seat, [keystroke(n) for n in numbers], clientInstance=tab, **members)

    async def heartbeat(self, seat: Seat, **members: Any) -> Answer:
        headers = members.pop("headers", {})
        body = {"proctorSessionId": seat.session_id, **members}
        return await self.post("/api/proctor/heartbeat", body, seat.token, **headers)

    async def get(self, path: str) -> Answer:
        async with self.http.get(self.at.url + path) as response:
            text = await response.read()
            body = msgspec.json.decode(text) if "json" in response.content_type else text
            return Answer(response.status, body, response.headers)

    async def stored(self, seat: Seat, through: int) -> list[dict[str, Any]]:
        """Wait until so many sequences are stored or set aside, and return the rows."""

        def done() -> bool:
            return len(self.world.sequences(seat.session_id)) >= through

        await until(done, f"{through} sequences of session {seat.session_id} in PostgreSQL")
        return self.world.stored(seat.session_id)


@asynccontextmanager
async def api_of(at: Station) -> AsyncIterator[Api]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        yield Api(at, http)


def keystroke(sequence: int | None = None, **members: Any) -> dict[str, Any]:
    event = {"eventType": 102, "metadataJson": f'{{"n":{sequence or 0}}}', **members}
    return event if sequence is None else {**event, "clientSequence": sequence}


def stamp(when: datetime | None = None, *, s: float = 0.0) -> str:
    """Return a client's timestamp, `s` seconds off."""
    moment = (when or datetime.now(UTC)) + timedelta(seconds=s)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def body_for(path: str, seat: Seat, **more: Any) -> dict[str, Any]:
    """Return the smallest body that the route takes."""
    if path.endswith("monitor/events"):
        return {"attempt_id": str(seat.attempt_id), "event_type": "keystroke", **more}
    if path.endswith("bulk"):
        return {"proctorSessionId": seat.session_id, "events": [{"eventType": 102}], **more}
    kind = {} if path.endswith("heartbeat") else {"eventType": 102}
    return {"proctorSessionId": seat.session_id, **kind, **more}


async def answered(ask: Callable[[], Awaitable[Answer]], status: int, within_s: float = WITHIN_S) -> Answer:
    """Ask until the status comes."""
    deadline = time.monotonic() + within_s
    while (answer := await ask()).status != status:
        assert time.monotonic() < deadline, (
            f"waited {within_s:g} s for {status}, last {answer.status} {answer.body}"
        )
        await asyncio.sleep(0.05)
    return answer


def assert_problem(answer: Answer, status: int, code: str) -> None:
    """Decision 4: one form of error on every route, and nothing of our insides in it."""
    assert (answer.status, answer.body.get("code")) == (status, code), answer.body
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.body["success"] is False
    assert answer.body["requestId"] == answer.headers["X-Request-Id"]
    assert {"type", "title", "status", "detail"} <= set(answer.body)
    assert "Traceback" not in str(answer.body)
    assert "X-Ingest-Load" in answer.headers
