"""An exam's rows to take away, as CSV, Parquet and learning records, and one's own results (spec.md W-6)."""

import asyncio
import csv
import io
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import duckdb
import orjson
import polars as pl
import pyarrow.parquet as pq
import pytest
from backports import zstd

from core_api.exports.sending import ROWS, Exports
from core_api.exports.tables import BOM, Exported
from kernel.errors import OverloadedError, RateLimitedError
from tests.kits.authoring import make_exam, save_all_right, start, submit
from tests.kits.core import Api, Core, DatabaseAs, core_api
from tests.kits.reporting import put_row
from warehouse.datasets import DATASETS

MANY = ROWS * 3
# So large that no socket's buffers hold it: the sender waits for its reader.
LARGE = (
    "INSERT INTO reporting.submission_items (submission_id, attempt_id, exam_id, organisation_id, student_id,"
    " position, question_id, question_version_id, kind, response, max_points, topics)"
    " SELECT $1, $1, $2, $3, $1, n, $1, $1, 'short_text', n || repeat('é', $5::integer), 1, ARRAY['=Loops']"
    " FROM generate_series(1, $4::integer) n"
)
CUT = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE query LIKE '%reporting.submission_items%' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
)


async def export(api: Api, form: str, dataset: str, more: str = "", **how: Any) -> Any:
    return await api.get(
        f"/api/teacher/exams/{api.exam_id}/export/{form}?dataset={dataset}{more}", "teacher", **how
    )


async def put_many(api: Api, rows: int, *, letters: int = 1) -> None:
    person = api.people["student"]
    await api.owner.execute(LARGE, person.id, api.exam_id, person.organisation_id, rows, letters)


async def test_every_dataset_with_rows_of_an_exam_is_exported_in_its_own_schema_w6(core: Core) -> None:
    wrong = []
    async with core.school() as api:
        school = str(api.people["teacher"].organisation_id)
        for dataset in (DATASETS[each.value] for each in Exported):
            await put_row(api, dataset.name, exam_id=str(api.exam_id), organisation_id=school)
            text = (await export(api, "csv", dataset.name)).body
            read = pq.read_table(io.BytesIO((await export(api, "parquet", dataset.name)).body))
            lines = list(csv.reader(io.StringIO(text.decode(), newline="")))
            alike = read.schema.equals(dataset.schema, check_metadata=True) and read.num_rows == 1
            if not alike or lines[0] != dataset.schema.names or len(lines) != 2:
                wrong.append((dataset.name, lines, read.to_pylist()))

    assert wrong == []


async def test_texts_come_back_as_they_are_and_no_cell_is_a_formula_w6(core: Core) -> None:
    nasty = {"response": "=cmd|'/C calc'!A0\n;-2", "kind": "@essay", "topics": ["+1;=2;＝3", "é"], "key": ""}  # noqa: RUF001
    async with core.school() as api:
        of = {"exam_id": str(api.exam_id), "attempt_id": str(uuid4())}
        await put_row(api, "submission_items", submission_id=str(uuid4()), **of, **nasty)
        await put_row(api, "behavior_analysis", reasons=[{"text": "a;=1,-2", "value": -1}], **of)
        items = await export(api, "csv", "submission_items", "&bom=true")
        judged = await export(api, "csv", "behavior_analysis")
        exact = await export(api, "parquet", "submission_items")

        assert items.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert items.headers["Content-Disposition"].endswith(f'"submission_items-{api.exam_id}.csv"')
        assert items.body.startswith(BOM)
        (cells,) = csv.DictReader(io.StringIO(items.body.decode("utf-8-sig"), newline=""))
        assert cells["response"] == "'=cmd|'/C calc'!A0\n;'-2"
        assert cells["kind"] == "'@essay"
        assert cells["topics"] == '["+1;\\u003d2;\\uff1d3","é"]'
        assert (cells["key"], cells["saved_at"], cells["points"]) == ("", "", "")
        found = duckdb.read_csv(io.StringIO(judged.body.decode()))
        reasons = found.project("json_extract_string(reasons, '$[0].text')").fetchall()
        assert reasons == [("a;=1,-2",)], "JSON says the same"
        assert found.project("as_of IS NULL").fetchall() == [(True,)]
        (row,) = pl.read_parquet(exact.body).to_dicts()
        assert {name: row[name] for name in nasty} == nasty


async def test_pages_lose_no_row_and_replies_are_compressed_w6(core: Core) -> None:
    async with core.school() as api:
        await put_many(api, MANY)
        async with aiohttp.ClientSession(auto_decompress=False) as plain:
            url = f"{api.url}/api/teacher/exams/{api.exam_id}/export/csv?dataset=submission_items"
            headers = {"Authorization": f"Bearer {api.token('teacher')}", "Accept-Encoding": "zstd"}
            async with plain.get(url, headers=headers) as answer:
                packed = await answer.read()
        table = pq.read_table(io.BytesIO((await export(api, "parquet", "submission_items")).body))

        assert answer.headers["Content-Encoding"] == "zstd"
        rows = list(csv.DictReader(io.StringIO(zstd.decompress(packed).decode(), newline="")))
        assert [int(row["position"]) for row in rows] == list(range(1, MANY + 1))
        assert table["position"].to_pylist() == list(range(1, MANY + 1))


async def test_an_account_exports_one_at_a_time_and_whoever_leaves_makes_room_w6(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, export_wait_s=0.05) as api:
        await put_many(api, MANY, letters=5000)
        url = f"{api.url}/api/teacher/exams/{api.exam_id}/export/csv?dataset=submission_items"
        headers = {"Authorization": f"Bearer {api.token('teacher')}"}
        async with api.http.get(url, headers={**headers, "Accept-Encoding": "identity"}) as first:
            assert first.status == 200
            second = await export(api, "csv", "exam_norms")
            other = await api.get(f"/api/teacher/exams/{api.exam_id}/export/csv", "admin")
            first.close()

        assert (second.status, second.body["code"]) == (429, "rate_limited")
        assert int(second.headers["Retry-After"]) > 0
        assert other.status == 200
        async with asyncio.timeout(20):
            while (again := await export(api, "csv", "exam_norms")).status == 429:  # noqa: ASYNC110  polls
                await asyncio.sleep(0.05)
        assert again.status == 200


async def test_what_fails_midway_breaks_the_connection_w6(core: Core) -> None:
    async with core.school() as api:
        await put_many(api, MANY, letters=5000)
        url = f"{api.url}/api/teacher/exams/{api.exam_id}/export/csv?dataset=submission_items"
        headers = {"Authorization": f"Bearer {api.token('teacher')}", "Accept-Encoding": "identity"}
        async with api.http.get(url, headers=headers) as answer:
            assert await api.owner.fetchval(CUT) == 1
            with pytest.raises(aiohttp.ClientError):
                await answer.read()


async def test_a_process_sends_so_many_at_once_and_whoever_waits_gets_the_next_place_w6() -> None:
    one, two, three = (uuid4() for _ in range(3))
    exports = Exports(exports_max=2, account_exports_max=1, wait_s=0.01)
    async with exports.place(one), exports.place(two):
        with pytest.raises(RateLimitedError):
            await exports.place(two).__aenter__()
        with pytest.raises(OverloadedError):
            await exports.place(three).__aenter__()
    patient = Exports(exports_max=1, account_exports_max=1, wait_s=60)
    order = []

    async def export(name: UUID) -> None:
        async with patient.place(name):
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(*(export(name) for name in (one, one, two, three)))
    assert sorted(order) == sorted([one, one, two, three])


async def lines(api: Api, path: str, by: str) -> list[Any]:
    answer = await api.get(path, by)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/x-ndjson; charset=utf-8"), (
        answer.body
    )
    return [orjson.loads(line) for line in answer.body.splitlines()]


async def test_results_go_to_learning_records_under_a_pseudonym_w6(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        person = api.people["student"]
        of = {"attempt_id": attempt_id, "exam_id": str(api.exam_id), "student_id": str(person.id)}
        of |= {"organisation_id": str(person.organisation_id), "submission_id": str(uuid4())}
        saved = {"saved_at": "2026-09-01T09:10:00Z", "kind": "multiple_choice", "response": "a,c"}
        await put_row(api, "submissions", score=80.0, percentage=80.0, passed=True, is_void=False, **of)
        await put_row(api, "submission_items", position=1, points=1.0, max_points=2.0, **saved, **of)
        await put_row(api, "submission_items", position=2, **of)
        export = f"/api/teacher/exams/{api.exam_id}/export"
        told = await lines(api, f"{export}/xapi", "teacher")
        (envelope,) = await lines(api, f"{export}/caliper", "teacher")

        verbs = [each["verb"]["display"]["en"] for each in told]
        assert verbs == ["initialized", "answered", "completed", "scored"]
        account = {"homePage": "https://veritas.invalid", "name": str(person.id)}
        assert [each["actor"]["account"] for each in told] == [account] * 4
        assert told[1]["result"]["response"] == "a[,]c"
        assert told[1]["result"]["score"]["scaled"] == 0.5
        assert told[3]["result"]["score"] == {"raw": 80.0, "min": 0, "max": 100.0, "scaled": 0.8}
        assert [each["action"] for each in envelope["data"]] == [
            "Started", "Completed", "Submitted", "Graded", "Graded",
        ]  # fmt: skip
        assert person.email not in str([told, envelope])
        assert await lines(api, f"{export}/xapi", "teacher") == told


async def test_candidates_export_their_own_results_and_no_points_of_items_d6(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "multiple_choice", "essay", title="=Ethics")
        graded = await make_exam(api, "numeric", title="Sums")
        for each in (made, graded):
            attempt_id = await start(api, each)
            await save_all_right(api, each, attempt_id)
            await submit(api, attempt_id)
        told = await lines(api, "/api/student/export/xapi", "student")
        envelopes = await lines(api, "/api/student/export/caliper", "student")
        table = (await api.get("/api/student/export/csv?bom=true", "student")).body
        other = await lines(api, "/api/student/export/xapi", "other_student")

        verbs = [each["verb"]["display"]["en"] for each in told]
        awaiting = ["initialized", "answered", "answered", "completed"]
        assert verbs == [*awaiting, "initialized", "answered", "completed", "scored"]
        assert [each["result"] for each in told if "score" in each.get("result", {})] == [told[-1]["result"]]
        assert "[,]" in told[1]["result"]["response"] + told[2]["result"]["response"]
        assert told[5]["result"].keys() == {"response"}, "of an item what was answered, not what it earned"
        assert [len(each["data"]) for each in envelopes] == [4, 4]
        rows = list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline="")))
        assert [(row["exam_title"], row["percentage"]) for row in rows] == [("'=Ethics", ""), ("Sums", "100")]
        assert other == []
        assert (await api.get(f"/api/teacher/exams/{made.exam_id}/export/xapi", "student")).status == 403
