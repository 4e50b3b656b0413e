"""What is held about a person, as one archive for them and one for an admin (spec.md G-2, decision 6)."""

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import msgspec
import psycopg
import pytest

from core_api.privacy.archiving import Archive
from kernel.personal import HELD, Of
from kernel.theirs import SECRET, THEIRS
from tests.kits.access_matrix_world import furnish
from tests.kits.authoring import make_exam, start
from tests.kits.branded import WORD, brand
from tests.kits.core import Api, DatabaseAs
from tests.kits.core import core_api as serving
from tests.kits.evidence import asked, film, send_chunks, sent
from tests.kits.reviews import override
from tests.kits.secrecy import tells


def opened(body: bytes) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """Return the rows by table, and the pages by name, of an archive that is whole."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        read = {name: archive.read(name) for name in archive.namelist()}
    data = {
        name.removeprefix("data/").removesuffix(".json"): msgspec.json.decode(content)
        for name, content in read.items()
        if name.endswith(".json")
    }
    return data, {name: content.decode() for name, content in read.items() if name.endswith(".html")}


async def exported(api: Api, path: str, by: str) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    answer = await api.get(path, by)
    assert answer.status == 200, answer.body
    assert isinstance(answer.body, bytes)
    return opened(answer.body)


async def test_a_person_gets_what_is_theirs_and_an_admin_all_but_secrets_g2(
    database: str, database_as: DatabaseAs
) -> None:
    async with serving(database, database_as) as api:
        world = await furnish(api)
        student = world.parameters["user_id"]
        others = str(api.people["other_student"].id)
        await override(api, int(world.parameters["decision_id"]), 4, decisionReasonEn="Seen.")
        graded = {"grades": [{"position": 1, "points": 1}], "reason": "Read again."}
        path = f"/api/teacher/submissions/{world.parameters['submission_id']}/grades"
        assert (await api.post(path, "teacher", json=graded)).status == 201
        lifted = f"/api/admin/legal-holds/{world.parameters['hold_id']}/lift"
        assert (await api.post(lifted, "admin", json={"reason": "It is over."})).status == 200
        branded = brand(database, student)
        own, pages = await exported(api, "/api/me/data", "student")
        held, _ = await exported(api, f"/api/admin/users/{student}/data", "admin")

        assert pages.keys() == {"index.html", *(f"{name}.html" for name in own)}
        assert all(set(row) == set(THEIRS[name]) for name, rows in own.items() for row in rows)
        assert own["users"][0]["full_name"] == WORD in pages["users.html"]
        assert {"exam_attempts", "submission_items", "claim_statements", "proctor_sessions"} <= own.keys()
        assert [name for name, rows in own.items() if others in str(rows)] == []
        # what erasure finds an export has, but for secrets and addresses, which are no words
        found = {
            f"{name}.{column}"
            for name, rows in held.items()
            for row in rows
            for column, value in row.items()
            if WORD in str(value) or WORD.encode().hex() in str(value)
        }
        secret = {f"{name}.{column}" for name, columns in SECRET.items() for column in columns}
        missing = {each for each in branded - found - secret if not each.endswith(("_ip", "address"))}
        assert (missing, found & secret) == (set(), set())


async def test_an_admin_gets_the_files_too_and_each_is_a_view_g2(
    database: str, database_as: DatabaseAs
) -> None:
    async with serving(database, database_as) as api:
        made = await make_exam(api, "single_choice")
        session_id = await api.start_session("student", attempt_id=await start(api, made))
        other = await api.start_session("other_student", attempt_id=await start(api, made, "other_student"))
        chunks = {n: film(400_000, mark=n) for n in (1, 2)}
        recorded, _ = await asked(api, session_id, isChunked=True, fileName="<b>/../ä.webm")
        await send_chunks(api, recorded, chunks)
        photographed = await sent(api, session_id, film(mark=3))
        pending, _ = await asked(api, session_id)
        await sent(api, other, film(mark=4), by="other_student")
        path = f"/api/admin/users/{api.people['student'].id}/data"
        without = await api.get(path, "admin")
        answer = await api.get(f"{path}?files=true", "admin")
        with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
            assert archive.testzip() is None
            files = {name: archive.read(name) for name in archive.namelist() if name.startswith("files/")}
            index = archive.read("index.html").decode()
        viewed = await viewed_evidence(api)

        assert files == {
            f"files/{recorded}-_b__.._ä.webm": chunks[1] + chunks[2],
            f"files/{photographed}-video_chunk_001.webm": film(mark=3),
        }
        assert [name for name in files if quote(name) not in index] == []
        assert b"files/" not in without.body
        assert viewed == {str(recorded), str(photographed)}
        assert str(pending) not in viewed
        assert b"files/" not in (await api.get("/api/me/data?files=true", "student")).body


async def test_what_a_store_has_no_more_is_noted_and_all_else_is_there_g2(
    database: str, database_as: DatabaseAs, tmp_path: Path
) -> None:
    """As what went by policy meanwhile, was lost, or was cut short."""
    async with serving(database, database_as, evidence_store=str(tmp_path)) as api:
        session_id = await api.start_session("student")
        kept = await sent(api, session_id, film(mark=1), fileName="\u4e2d" * 195 + ".webm")
        lost, cut = [await sent(api, session_id, film(mark=mark), fileName=f"{mark}") for mark in (2, 3)]
        halved, _ = await asked(api, session_id, isChunked=True, fileName="4")
        await send_chunks(api, halved, {n: film(400_000, mark=n) for n in (1, 2, 3)})
        keys = await api.owner.fetch("SELECT object_key, evidence_id, number FROM evidence_chunks")
        at = {(row["evidence_id"], row["number"]): tmp_path / row["object_key"] for row in keys}
        at[lost, 1].unlink()
        at[halved, 2].unlink()
        at[cut, 1].write_bytes(b"so much")
        answer = await api.get(f"/api/admin/users/{api.people['student'].id}/data?files=true", "admin")
        with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
            assert archive.testzip() is None
            files = {name: archive.read(name) for name in archive.namelist() if name.startswith("files/")}
            index = archive.read("index.html").decode()

    whole = next(name for name in files if name.startswith(f"files/{kept}-"))
    assert files == {
        whole: film(mark=1),
        f"files/{lost}-2": b"",
        f"files/{cut}-3": b"so much",
        f"files/{halved}-4": film(400_000, mark=1) + film(400_000, mark=3),
    }
    assert whole.endswith("\u4e2d.webm")
    assert len(whole.rpartition("/")[2].encode()) < 255
    noted = {line.split('"')[0] for line in index.split('<a href="')[1:] if "not whole" in line}
    assert noted == {f"files/{lost}-2", f"files/{cut}-3", f"files/{halved}-4"}


async def viewed_evidence(api: Api) -> set[str]:
    """Return the numbers of evidence that somebody has seen, once that is written."""
    told = "SELECT aggregate_id FROM ledger_events WHERE kind = 'evidence.viewed'"
    for _ in range(100):
        if found := await api.owner.fetch(told):
            return {row["aggregate_id"] for row in found}
        await asyncio.sleep(0.05)
    return set()


async def test_rows_are_given_to_nobody_else_g2(database: str, database_as: DatabaseAs) -> None:
    async with serving(database, database_as) as api:
        student, other = str(api.people["student"].id), str(api.people["stranger"].id)
        conn = await asyncpg.connect(database_as("veritas_core"))
        try:
            for own in (True, False):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await conn.fetch("SELECT * FROM held_about($1, $2)", other, own)
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await conn.fetch("SELECT * FROM held_about($1, $2)", student, own)
        finally:
            await conn.close()


def test_an_archive_without_rows_is_whole_and_words_are_no_markup() -> None:
    data, pages = opened(Archive().end())
    assert (data, list(pages)) == ({}, ["index.html"])
    form = Archive()
    rows: Any = [
        {"place": "a", "state": '{"text": "<script>"}'},
        {"place": "a", "state": '{"text": null}'},
        {"place": "b", "state": '{"n": 1}'},
    ]
    data, pages = opened(form.piece(rows[:1]) + form.piece(rows[1:]) + form.end())
    assert data == {"a": [{"text": "<script>"}, {"text": None}], "b": [{"n": 1}]}
    assert "<script>" not in pages["a.html"]
    assert "&lt;script&gt;" in pages["a.html"]


def test_the_database_has_the_same_list_and_nothing_of_it_tells_what_candidates_never_see(
    database: str,
) -> None:
    with psycopg.connect(database) as conn:
        listed = {row[0]: row[1:] for row in conn.execute("SELECT * FROM personal_tables()")}
        columns = {
            (table, column)
            for table, column in conn.execute(
                "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attnum > 0"
            )
        }
    assert listed == {
        name: (held.of.value, held.by, list(THEIRS.get(name, ())), list(SECRET.get(name, ())))
        for name, held in HELD.items()
        if held.of is not Of.nobody
    }
    named = {(name, each) for some in (THEIRS, SECRET) for name, those in some.items() for each in those}
    assert named - columns == set()
    telling = {each for those in THEIRS.values() for each in those if tells(each)}
    assert telling == {"browser_name", "file_name"}, "of their own client, and of what they sent"
    assert [name for name, those in THEIRS.items() if set(those) & set(SECRET.get(name, ()))] == []
