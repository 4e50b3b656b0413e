"""`veritas import results` and `drafts`, as an admin has them over HTTP (spec.md W-7)."""

import asyncio
from pathlib import Path

from typer.testing import CliRunner, Result

from deploy.commands.cli import app
from tests.kits.core import PASSWORD, Api, Core

AT = "2015-01-20T10:00:00Z"
HEADER = "candidate,item,option,score,seconds,time,key\n"
GOOD = "".join(
    f"c{n},q{m},{'ab'[(n + m) % 2]},,{m}.5,2015-01-20T10:00:0{m}Z,a\n" for n in range(3) for m in range(2)
)
TEXTS = "candidate,question,version,text\nc0,essay,2,Second.\nc0,essay,1,First.\nc1,essay,1,Once.\n"


async def veritas_import(api: Api, what: str, file: Path, *more: str) -> Result:
    admin = ("--url", api.url, "--email", api.people["admin"].email, "--password", PASSWORD)
    return await asyncio.to_thread(CliRunner().invoke, app, ["import", what, str(file), *admin, *more])


async def test_a_file_is_imported_once_a_bad_row_named_and_new_rows_added_w7(
    core: Core, tmp_path: Path
) -> None:
    count = "SELECT count(*) FROM submissions WHERE kind = 'imported'"
    file, found = tmp_path / "finals.csv", tmp_path / "findings"
    async with core.school() as api:
        file.write_text(HEADER + GOOD + f"c3,q0,a,7,,{AT},a\nc4,q0,a,,,{AT},a\n")
        refused = await veritas_import(api, "results", file)
        before = await api.owner.fetchval(count)
        tried = await veritas_import(api, "results", file, "--partial", "--dry-run")
        unwritten = await api.owner.fetchval(count)
        taken = await veritas_import(api, "results", file, "--partial", "--findings", str(found))
        after = await api.owner.fetchval(count)
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
