"""Evidence, from the request to the confirmation (spec.md V-1, P-2; proctor-module.txt, "Evidence")."""

import base64
import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from core_api.evidence.grants import address_of, opened
from kernel.storage.local import LocalStore
from kernel.tokens import Keyring
from tests.kits import evidence
from tests.kits.core import JWT_KEYS, Api, Core, DatabaseAs, core_api
from tests.kits.evidence import PNG, asked, confirm, film, send, sent, sha256
from tests.kits.ingest.waiting import until


async def listed(api: Api, session_id: int, by: str = "teacher") -> list[dict[str, Any]]:
    answer = await api.get(f"/api/proctor/session/{session_id}/evidence", by)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.body["data"]
    return found


async def test_request_evidence_upload_and_confirm_evidence_upload_v1(core: Core) -> None:
    """proctor-module.txt, testing checklist: "Request evidence upload", "Confirm evidence upload"."""
    async with core.school() as api:
        session_id = await api.start_session()
        requested = await evidence.ask(api, session_id)
        data, some = requested.body["data"], film()
        stored = await send(api, data["uploadUrl"], some)
        confirmed = await confirm(api, data["evidenceId"], checksum=sha256(some), fileSize=len(some))

        assert requested.status == 201
        assert (list(data), requested.body["success"]) == (["evidenceId", "uploadUrl", "expiresAt"], True)
        assert data["uploadUrl"].startswith(f"/api/proctor/evidence/{data['evidenceId']}/upload?")
        assert stored.body["data"] == {
            "evidenceId": data["evidenceId"], "number": 1, "fileSize": 1000, "checksum": sha256(some),
        }  # fmt: skip
        assert confirmed.body["data"]["statusName"] == "Confirmed"
        (shown,) = await listed(api, session_id)
        assert (shown["fileSize"], shown["checksum"], shown["typeName"]) == (1000, sha256(some), "Video")
        assert (shown["fileName"], shown["isLate"], shown["tier"]) == ("video_chunk_001.webm", False, "hot")
        assert shown["metadataJson"] == evidence.SAMPLE["metadataJson"]
        kept_for = datetime.fromisoformat(shown["expiresAt"]) - datetime.now(UTC)
        assert timedelta(days=90) <= kept_for < timedelta(days=91)


async def test_get_evidence_download_url_and_the_bytes_are_those_that_were_sent_v1(core: Core) -> None:
    """proctor-module.txt, testing checklist: "Get evidence download URL"."""
    async with core.school() as api:
        some = film(700_000, mark=1)
        evidence_id = await sent(api, await api.start_session(), some)
        given = await api.get(f"/api/proctor/evidence/{evidence_id}/download-url", "reviewer")
        whole = await api.get(given.body["data"]["downloadUrl"])
        part = await api.get(given.body["data"]["downloadUrl"], headers={"Range": "bytes=300000-"})
        beyond = await api.get(given.body["data"]["downloadUrl"], headers={"Range": "bytes=700000-"})

        assert given.body["data"]["checksum"] == sha256(some)
        assert (whole.status, whole.body) == (200, some)
        assert whole.headers["Content-Type"] == "video/webm"
        assert whole.headers["Content-Disposition"].startswith("attachment;")
        assert (part.status, part.body) == (206, some[300_000:])
        assert part.headers["Content-Range"] == "bytes 300000-699999/700000"
        assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */700000")


async def test_what_is_not_what_was_said_is_refused_and_leaves_nothing_v1(core: Core) -> None:
    async with core.school() as api:
        session_id, right = await api.start_session(), film()
        announced: dict[str, Any] = {"fileSize": len(right), "checksum": sha256(right)}
        evidence_id, where = await asked(api, session_id, **announced)
        for wrong, status in (
            (film(mark=7), 422),  # another hash
            (right[:-1], 422),  # too short
            (right + b"\0", 413),  # too long
            (PNG + right[8:], 415),  # another format
            (b"", 422),
        ):
            refused = await send(api, where, wrong)

            assert (refused.status, len(wrong)) == (status, len(wrong)), refused.body
        early = await confirm(api, evidence_id)
        stored = await send(api, where, right)

        assert early.status == 409
        assert early.body["errors"] == [{"path": "chunks[1]", "message": "has not arrived"}]
        assert stored.status == 200
        assert (await confirm(api, evidence_id, checksum=sha256(b"another"))).status == 422
        assert (await confirm(api, evidence_id, **announced)).status == 200


async def test_the_same_bytes_again_are_one_file_and_others_are_refused_v1(core: Core) -> None:
    async with core.school() as api:
        evidence_id, where = await asked(api, await api.start_session())
        first, again = await send(api, where, film()), await send(api, where, film())
        other = await send(api, where, film(mark=2))
        await confirm(api, evidence_id)
        confirmed = [await confirm(api, evidence_id) for _ in range(2)]
        late = await send(api, where, film(mark=2))

        assert first.body == again.body
        assert other.status == late.status == 409
        assert confirmed[0].body == confirmed[1].body
        assert [kind for kind, _ in await evidence.events_of(api, evidence_id)] == [
            "evidence.requested", "evidence.uploaded", "evidence.confirmed",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"contentType": "image/png"}, 422),
        ({"contentType": "text/html"}, 422),
        ({"type": 7}, 422),
        ({"type": 3, "contentType": "image/png", "isChunked": True}, 422),
        ({"fileSize": 1 << 40}, 413),
        ({"fileName": "a\nb"}, 422),
        ({"metadataJson": "{"}, 422),
        ({"endAt": "2024-01-15T09:00:00Z"}, 422),
        ({"checksum": "ab"}, 422),
        ({"examId": "01929a3e-7c4b-7d2a-9f00-5c6f0a1b2c3d"}, 422),
        ({"proctorSessionId": 2**31 - 1}, 404),
    ],
)
async def test_what_no_evidence_can_be_is_refused_v1(core: Core, changed: Any, status: int) -> None:
    async with core.school() as api:
        answer = await evidence.ask(api, **{"session_id": await api.start_session()} | changed)

        assert answer.status == status, answer.body
        assert await api.owner.fetchval("SELECT count(*) FROM evidence") == 0


async def test_nobody_sends_to_the_session_of_another_nor_reads_their_own_v1(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        evidence_id = await sent(api, session_id)
        other = await evidence.ask(api, session_id, "other_student")
        own = [
            (await api.get(f"/api/proctor/session/{session_id}/evidence", "student")).status,
            (await api.get(f"/api/proctor/evidence/{evidence_id}/download-url", "student")).status,
            (await api.get(f"/api/proctor/session/{session_id}/evidence/custody", "student")).status,
        ]
        theirs = await confirm(api, evidence_id, "other_student")

        assert (other.status, own, theirs.status) == (404, [403, 403, 403], 404)


async def test_an_address_is_good_for_what_it_was_given_for_alone_v1(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        one, where = await asked(api, session_id)
        two, _ = await asked(api, session_id)
        keyring, text = Keyring.parse(JWT_KEYS), where.partition("grant=")[2]
        grant = opened(text, keyring, method="PUT", evidence_id=one, now=datetime.now(UTC))
        other = Keyring.parse("test:" + base64.b64encode(bytes(32)).decode())
        forged = [
            where.replace(f"/{one}/", f"/{two}/"),
            where.replace("/upload?", "/download?"),
            where[:-1] + ("A" if where[-1] != "A" else "B"),
            address_of(grant, other),
            f"/api/proctor/evidence/{one}/upload?grant=",
            f"/api/proctor/evidence/{one}/upload?grant={api.token('student')}",
        ]
        statuses = [
            (await api.call("GET" if "download" in each else "PUT", each, data=film())).status
            for each in forged
        ]

        assert statuses == [403] * len(forged)


async def test_an_address_is_over_after_its_time_v1(core: Core) -> None:
    async with core.school() as api:
        evidence_id, where = await asked(api, await api.start_session())
        keyring, text = Keyring.parse(JWT_KEYS), where.partition("grant=")[2]
        grant = opened(text, keyring, method="PUT", evidence_id=evidence_id, now=datetime.now(UTC))
        over = type(grant)(**{name: getattr(grant, name) for name in grant.__struct_fields__} | {"until": 1})

        assert (await send(api, address_of(over, keyring), film())).status == 403


async def test_evidence_is_taken_and_marked_for_half_an_hour_after_the_end_p2(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        before, where = await asked(api, session_id)
        await evidence.end_session(api, session_id, ago=timedelta(minutes=29))
        await send(api, where, film())
        begun = await confirm(api, before)
        late = await sent(api, session_id)
        third, to_late = await asked(api, session_id)
        await evidence.end_session(api, session_id, ago=timedelta(minutes=31))
        too_late = [
            await evidence.ask(api, session_id),
            await send(api, to_late, film()),
            await confirm(api, third),
        ]

        assert begun.body["data"]["isLate"] is True
        assert [each["isLate"] for each in await listed(api, session_id)] == [True, True, True]
        assert late > before
        assert [(each.status, each.body["code"]) for each in too_late] == [(409, "session_not_active")] * 3


async def test_nothing_half_stored_is_left_by_a_sender_who_goes_away_v1(core: Core) -> None:
    async with core.school() as api:
        evidence_id, where = await asked(api, await api.start_session())

        async def broken() -> Any:
            yield film(400_000)
            raise ConnectionResetError

        with pytest.raises(aiohttp.ClientError):
            await api.http.put(api.url + where, data=broken(), headers={"Content-Type": "video/webm"})
        stored = await send(api, where, film())

        assert stored.status == 200
        assert (await confirm(api, evidence_id, checksum=sha256(film()))).status == 200


async def test_a_full_disk_is_said_and_leaves_nothing_and_the_file_may_be_sent_again_v1(
    database: str, database_as: DatabaseAs, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the disk: to whoever writes it is the same."""
    async with core_api(database, database_as, evidence_store=str(tmp_path)) as api:
        evidence_id, where = await asked(api, await api.start_session())
        some, (soft, hard) = film(600_000), resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        try:
            full = await send(api, where, some)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await until(lambda: LocalStore(tmp_path).after("", 9) == [], "the file to be thrown away", 60.0)
        again = await send(api, where, some)
        await confirm(api, evidence_id)

        assert (full.status, full.body["code"], full.headers["Retry-After"]) == (503, "unavailable", "30")
        assert "has no room" in full.body["detail"]
        assert again.status == 200
        assert [each.size_bytes for each in LocalStore(tmp_path).after("", 9)] == [600_000]


async def test_an_address_with_no_content_type_or_a_generic_one_takes_the_file_v1(core: Core) -> None:
    async with core.school() as api:
        _, where = await asked(api, await api.start_session())

        assert (await send(api, where, film(), content_type="text/html")).status == 415
        assert (await send(api, where, film(), content_type="application/octet-stream")).status == 200
