"""Recordings in chunks, resumed, and evidence of findings (spec.md V-1, S-1)."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from core_api.database import system_connection
from core_api.evidence import closing
from core_api.evidence.storage import Storage
from kernel.events import EvidenceStatus
from kernel.postgres import open_pool
from kernel.storage.opening import key_of
from tests.integration.core_api.observations.test_observations import found, make_form
from tests.kits import evidence
from tests.kits.core import Api, Core, DatabaseAs, core_api, settings_of
from tests.kits.evidence import announce, asked, confirm, film, manifest_hash, send, send_chunks, sent

CHUNKS = {n: film(3000 + n, mark=n) for n in range(1, 6)}


async def recording(api: Api) -> int:
    evidence_id, _ = await asked(api, await api.start_session(), isChunked=True, type=5)
    return evidence_id


async def test_an_interrupted_recording_goes_on_where_it_was_v1(core: Core) -> None:
    async with core.school() as api:
        evidence_id = await recording(api)
        await send_chunks(api, evidence_id, {n: CHUNKS[n] for n in (1, 2, 4)})
        await announce(api, evidence_id, {5: CHUNKS[5]})
        there = (await api.get(f"/api/proctor/evidence/{evidence_id}/chunks?limit=2", "student")).body
        early = await confirm(api, evidence_id, chunkCount=5)
        await send_chunks(api, evidence_id, CHUNKS)
        whole = b"".join(CHUNKS.values())
        confirmed = await confirm(
            api, evidence_id, chunkCount=5, checksum=manifest_hash(*CHUNKS.values()), fileSize=len(whole)
        )
        looked = await evidence.fetch(api, evidence_id)

        assert there["data"]["missing"] == [3, 5]
        assert [(each["number"], each["isStored"]) for each in there["data"]["chunks"]] == [
            (1, True), (2, True),
        ]  # fmt: skip
        assert there["paging"]["nextCursor"] == "2"
        assert (early.status, [each["path"] for each in early.body["errors"]]) == (
            409, ["chunks[3]", "chunks[5]"],
        )  # fmt: skip
        assert (confirmed.status, looked.body) == (200, whole)


async def test_chunks_that_come_at_the_same_time_are_each_kept_once_v1(core: Core) -> None:
    async with core.school() as api:
        evidence_id = await recording(api)
        given = (await announce(api, evidence_id, CHUNKS)).body["data"] * 3
        answers = await asyncio.gather(
            *(send(api, each["uploadUrl"], CHUNKS[each["number"]]) for each in given)
        )
        confirmed = await confirm(api, evidence_id, checksum=manifest_hash(*CHUNKS.values()))

        assert {each.status for each in answers} == {200}
        assert confirmed.status == 200, confirmed.body
        kinds = [kind for kind, _ in await evidence.events_of(api, evidence_id)]
        assert kinds.count("evidence.uploaded") == 5


async def test_what_no_recording_can_be_is_refused_v1(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        whole, _ = await asked(api, session_id)
        recorded, _ = await asked(api, session_id, isChunked=True)
        await send_chunks(api, recorded, {1: CHUNKS[1]})
        refused = [
            await announce(api, whole, {1: CHUNKS[1]}),  # a file that is sent whole
            await announce(api, recorded, {1: CHUNKS[2]}),  # another chunk is there
            await announce(api, recorded, {10_001: CHUNKS[2]}),
            await announce(api, recorded, {2: bytes((16 << 20) + 1)}),
            await announce(api, recorded, {2: CHUNKS[2]}, "other_student"),
        ]
        await confirm(api, recorded)
        refused.append(await announce(api, recorded, {2: CHUNKS[2]}))

        assert [each.status for each in refused] == [409, 409, 422, 413, 404, 409]


async def test_pieces_and_bytes_have_their_bounds_v1(database: str, database_as: DatabaseAs) -> None:
    async with core_api(
        database, database_as, evidence_pieces_max=2, evidence_organisation_bytes_max=2048
    ) as api:
        session_id = await api.start_session()
        await sent(api, session_id, film(2048))
        full = await evidence.ask(api, session_id)
        await api.owner.execute("DELETE FROM public.evidence_usage")
        await sent(api, session_id)
        many = await evidence.ask(api, session_id)

        assert (full.status, full.body["code"]) == (413, "too_large")
        assert (many.status, many.body["code"]) == (409, "conflict")


async def test_what_nobody_confirmed_is_closed_with_what_is_there_v1(
    database: str, database_as: DatabaseAs, tmp_path: Path
) -> None:
    place = str(tmp_path / "files")
    async with core_api(database, database_as, evidence_store=place, evidence_sweep_s=80_000.0) as api:
        session_id = await api.start_session()
        partial, _ = await asked(api, session_id, isChunked=True)
        await send_chunks(api, partial, {1: CHUNKS[1], 3: CHUNKS[3]})
        empty, _ = await asked(api, session_id)
        settings = settings_of(database_as, evidence_store=place)
        storage = Storage(settings)
        left = tmp_path / "files" / key_of(partial, "00002-of-a-crash")
        left.write_bytes(b"a crash between name and row")
        async with await open_pool(settings) as pool:
            running = await closing.sweep(pool, storage, now=datetime.now(UTC))
            await evidence.end_session(api, session_id, ago=timedelta(minutes=36))
            swept = await closing.sweep(pool, storage, now=datetime.now(UTC))
            again = await closing.sweep(pool, storage, now=datetime.now(UTC))
            async with system_connection(pool) as conn:
                rows = await conn.fetch("SELECT id, status, chunk_count FROM evidence ORDER BY id")
        storage.close()
        looked = await evidence.fetch(api, partial)

        assert (running.incomplete, running.abandoned) == (again.incomplete, again.abandoned) == (0, 0)
        assert (swept.incomplete, swept.abandoned, swept.failed) == (1, 1, 0)
        assert [tuple(row) for row in rows] == [
            (partial, EvidenceStatus.Incomplete, 2),
            (empty, EvidenceStatus.Abandoned, 0),
        ]
        assert not left.exists()
        assert looked.body == CHUNKS[1] + CHUNKS[3]
        assert (await evidence.events_of(api, empty))[-1] == ("evidence.closed", None)


async def test_an_observer_attaches_evidence_to_a_finding_s1(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        picture = {"examId": form.exam_id, "type": 3, "contentType": "image/png", "fileName": "bench.png"}
        some = evidence.PNG + bytes(100)
        one, two = [await sent(api, None, some, "observer", **picture) for _ in range(2)]
        pending, _ = await asked(api, None, "observer", **picture)

        async def finalise(key: str, attached: list[dict[str, Any]]) -> Any:
            body = {
                "subject_ids": [str(api.people["student"].id)],
                "items": found(form, finding={"choice": "d"}),
                "evidence": attached,
            }
            path = f"/api/observer/exams/{form.exam_id}/observations"
            return await api.post(path, "observer", json=body, headers={"Idempotency-Key": key})

        finding = {"evidence_id": one, "question_id": form.questions["finding"]}
        made = await finalise("first", [finding, {"evidence_id": two}])
        refused = [
            await finalise("again", [{"evidence_id": one}]),
            await finalise("pending", [{"evidence_id": pending}]),
            await finalise("twice", [{"evidence_id": one}, {"evidence_id": one}]),
        ]
        path = f"/api/observer/observations/{made.body['submission_id']}"
        stored = (await api.get(path, "observer")).body
        looked = await evidence.fetch(api, one)

        assert made.status == 201, made.body
        assert [each.status for each in refused] == [422, 422, 422]
        of = {"submission_id": made.body["submission_id"]}
        assert stored["observation"]["evidence"] == [
            {"evidence_id": one, "position": 1} | of, {"evidence_id": two, "position": None} | of,
        ]  # fmt: skip
        hashed = orjson.loads(stored["content"])["evidence"]
        assert hashed[0] == {**finding, "sha256": evidence.sha256(some)}
        assert looked.body == some
        assert (await api.get(f"/api/proctor/evidence/{one}/download-url", "observer")).status == 403
