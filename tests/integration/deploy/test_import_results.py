"""`veritas import results` and `drafts`, as an admin has them over HTTP (spec.md W-7)."""

import asyncio
import sys
from pathlib import Path

import asyncpg
from typer.testing import CliRunner, Result

from core_api.submissions.importing import address_of
from deploy.commands.cli import app
from tests.kits.core import PASSWORD, Api, Core
from tests.kits.ingest.waiting import WITHIN_S

AT = "2015-01-20T10:00:00Z"
HEADER = "candidate,item,option,score,seconds,time,key\n"
GOOD = "".join(
    f"c{n},q{m},{'ab'[(n + m) % 2]},,{m}.5,2015-01-20T10:00:0{m}Z,a\n" for n in range(3) for m in range(2)
)
TEXTS = "candidate,question,version,text\nc0,essay,2,Second.\nc0,essay,1,First.\nc1,essay,1,Once.\n"
COUNT = "SELECT count(*) FROM submissions WHERE kind = 'imported'"
HOLD = """
INSERT INTO users (id, organisation_id, email, username, full_name, role, created_at)
VALUES (gen_random_uuid(), $1, $2, $2, 'Somebody', 'student', now())
"""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))"


def admin_of(api: Api) -> list[str]:
    return ["--url", api.url, "--email", api.people["admin"].email, "--password", PASSWORD]


async def veritas_import(api: Api, what: str, file: Path, *more: str) -> Result:
    words = ["import", what, str(file), *admin_of(api), *more]
    return await asyncio.to_thread(CliRunner().invoke, app, words)


async def test_a_file_is_imported_once_a_bad_row_named_and_new_rows_added_w7(
    core: Core, tmp_path: Path
) -> None:
    file, found = tmp_path / "finals.csv", tmp_path / "findings"
    async with core.school() as api:
        file.write_text(HEADER + GOOD + f"c3,q0,a,7,,{AT},a\nc4,q0,a,,,{AT},a\n")
        refused = await veritas_import(api, "results", file)
        before = await api.owner.fetchval(COUNT)
        tried = await veritas_import(api, "results", file, "--partial", "--dry-run")
        unwritten = await api.owner.fetchval(COUNT)
        taken = await veritas_import(api, "results", file, "--partial", "--findings", str(found))
        after = await api.owner.fetchval(COUNT)
        file.write_text(HEADER + GOOD + f"c4,q0,a,,,{AT},a\nc5,q1,a,,,{AT},a\n")
        again = await veritas_import(api, "results", file)

        assert refused.exit_code == 1, refused.output
        assert "finals.csv line 8, 'q0': 7 points, and the item has 1" in refused.output
        assert "nothing was stored" in refused.output
        assert (before, unwritten, after) == (0, 0, 4)
        assert (tried.exit_code, taken.exit_code) == (1, 1)
        assert "results: 4 would be stored, 0 there already" in tried.output
        assert "results: 4 stored, 0 there already" in taken.output
        assert found.read_text().count("\n") == 1
        assert again.exit_code == 0, again.output
        assert "results: 1 stored, 4 there already" in again.output
        assert "exams: 0 made" in again.output


async def test_a_command_that_is_killed_within_a_file_is_completed_by_the_same_command_w7(
    core: Core, tmp_path: Path
) -> None:
    """Between two requests: the first exam is stored, somebody else holds up the second one's candidate."""
    file = tmp_path / "two.csv"
    file.write_text("exam," + HEADER + "".join(f"e{n},c{n},q,a,1,,{AT},a\n" for n in range(2)))
    async with core.school() as api:
        organisation = api.people["admin"].organisation_id
        holder = await asyncpg.connect(api.database)
        try:
            await holder.execute("BEGIN")
            await holder.execute(HOLD, organisation, address_of(organisation, "c1"))
            command = [sys.executable, "-m", "deploy.commands.cli", "import", "results", str(file)]
            started = await asyncio.create_subprocess_exec(*command, "--exam", "{exam}", *admin_of(api))
            await until_it_waits(api, holder.get_server_pid())
            started.kill()
            await started.wait()
            left = await api.owner.fetchval(COUNT)
        finally:
            await holder.close()
        again = await veritas_import(api, "results", file, "--exam", "{exam}")
        whose = await api.owner.fetch("SELECT DISTINCT exam_id, author_id FROM submissions")

        assert (left, again.exit_code) == (1, 0), again.output
        assert (len(whose), await api.owner.fetchval(COUNT)) == (2, 2)


async def until_it_waits(api: Api, pid: int) -> None:
    """Return when a transaction waits for that of the backend; raises TimeoutError."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            if await api.owner.fetchval(WAITING, pid):
                return
            await asyncio.sleep(0.02)


async def test_texts_are_imported_with_their_versions_w7(core: Core, tmp_path: Path) -> None:
    file = tmp_path / "essays.csv"
    file.write_text(TEXTS)
    async with core.school() as api:
        done = await veritas_import(api, "drafts", file, "--at", AT)
        again = await veritas_import(api, "drafts", file, "--at", AT)
        stored = await api.owner.fetch(
            "SELECT i.response ->> 'text' AS last, i.client_seq, d.text AS before FROM submission_items i"
            " LEFT JOIN submission_drafts d USING (submission_id, position) ORDER BY 1"
        )

        assert done.exit_code == 0, done.output
        assert "results: 0 stored, 2 there already" in again.output
        assert [tuple(each) for each in stored] == [("Once.", 1, None), ("Second.", 2, "First.")]


async def test_whoever_is_no_admin_imports_nothing_w7(core: Core, tmp_path: Path) -> None:
    file = tmp_path / "finals.csv"
    file.write_text(HEADER + GOOD)
    async with core.school() as api:
        teacher = ("--email", api.people["teacher"].email)
        refused = await veritas_import(api, "results", file, *teacher)

        assert refused.exit_code != 0
        assert await api.owner.fetchval("SELECT count(*) FROM submissions") == 0
