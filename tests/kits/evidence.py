"""Evidence as clients send it, and as staff fetch it."""

import hashlib
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.kits.core import Answer, Api

WEBM = b"\x1aE\xdf\xa3"  # what a webm file begins with
PNG = b"\x89PNG\r\n\x1a\n"
# What proctor-module.txt, 8, sends.
SAMPLE: dict[str, Any] = {
    "type": 1,
    "fileName": "video_chunk_001.webm",
    "contentType": "video/webm",
    "startAt": "2024-01-15T10:00:00Z",
    "endAt": "2024-01-15T10:05:00Z",
    "durationSeconds": 300,
    "metadataJson": '{"resolution": "640x480", "codec": "vp8"}',
}


def film(size: int = 1000, *, mark: int = 0) -> bytes:
    """Return what begins as a film does; another mark makes another one."""
    return (WEBM + mark.to_bytes(4, "big") + bytes(size))[:size]


def sha256(some: bytes) -> str:
    return hashlib.sha256(some).hexdigest()


def manifest_hash(*chunks: bytes) -> str:
    return sha256(b"".join(hashlib.sha256(each).digest() for each in chunks))


async def ask(api: Api, session_id: int | None, by: str = "student", **more: Any) -> Answer:
    """Ask to send something."""
    body = SAMPLE | ({} if session_id is None else {"proctorSessionId": session_id}) | more
    return await api.post("/api/proctor/evidence/request-upload", by, json=body)


async def asked(api: Api, session_id: int | None, by: str = "student", **more: Any) -> tuple[int, str]:
    """Ask to send something; return its number and where to send it."""
    answer = await ask(api, session_id, by, **more)
    assert answer.status == 201, answer.body
    return answer.body["data"]["evidenceId"], answer.body["data"]["uploadUrl"]


async def send(api: Api, where: str, some: bytes, *, content_type: str = "video/webm") -> Answer:
    """PUT bytes to an address, without a token."""
    if where.startswith("http"):
        async with api.http.put(where, data=some, headers={"Content-Type": content_type}) as response:
            return Answer(response.status, await response.read(), response.headers)
    return await api.call("PUT", where, data=some, headers={"Content-Type": content_type})


async def confirm(api: Api, evidence_id: int, by: str = "student", **more: Any) -> Answer:
    return await api.post(f"/api/proctor/evidence/{evidence_id}/confirm", by, json=more)


async def sent(
    api: Api, session_id: int | None, some: bytes | None = None, by: str = "student", **more: Any
) -> int:
    """Send a film and confirm it; return its number."""
    some = film() if some is None else some
    evidence_id, where = await asked(api, session_id, by, **more)
    stored = await send(api, where, some, content_type=more.get("contentType", "video/webm"))
    assert stored.status == 200, stored.body
    confirmed = await confirm(api, evidence_id, by, checksum=sha256(some))
    assert confirmed.status == 200, confirmed.body
    return evidence_id


async def announce(api: Api, evidence_id: int, chunks: dict[int, bytes], by: str = "student") -> Answer:
    """Announce chunks by number."""
    announced = [
        {"number": number, "checksum": sha256(some), "size": len(some)} for number, some in chunks.items()
    ]
    return await api.post(f"/api/proctor/evidence/{evidence_id}/chunks", by, json={"chunks": announced})


async def send_chunks(api: Api, evidence_id: int, chunks: dict[int, bytes]) -> None:
    """Announce chunks and send those that are not there."""
    answer = await announce(api, evidence_id, chunks)
    assert answer.status == 200, answer.body
    for each in answer.body["data"]:
        if not each["isStored"]:
            stored = await send(api, each["uploadUrl"], chunks[each["number"]])
            assert stored.status == 200, stored.body


async def fetch(api: Api, evidence_id: int, by: str = "teacher", **more: Any) -> Answer:
    """Get an address, and what is there."""
    given = await api.get(f"/api/proctor/evidence/{evidence_id}/download-url", by)
    assert given.status == 200, given.body
    return await api.get(given.body["data"]["downloadUrl"], **more)


async def end_session(api: Api, session_id: int, *, ago: timedelta = timedelta(0)) -> datetime:
    """Let a session have ended a while ago."""
    ended: datetime = await api.owner.fetchval(
        "UPDATE public.proctor_sessions SET status = 2, started_at = started_at - interval '1 day',"
        " ended_at = now() - $2::interval WHERE id = $1 RETURNING ended_at",
        session_id,
        ago,
    )
    return ended


async def events_of(api: Api, evidence_id: int) -> list[tuple[str, UUID | None]]:
    """Return kind and actor of everything that the ledger holds about a piece, in order."""
    rows = await api.owner.fetch(
        "SELECT kind, actor_id FROM public.ledger_events"
        # Those of one moment as they were written.
        " WHERE aggregate_type = 'evidence' AND aggregate_id = $1 ORDER BY occurred_at, ctid",
        str(evidence_id),
    )
    return [(row["kind"], row["actor_id"]) for row in rows]
