"""`veritas replay` of dirty files, on a stack of its own: a row is stored, or named with its line and why."""

import asyncio
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from deploy.commands.cli import CANNOT as CANNOT_AT_ALL
from deploy.commands.cli import app
from kernel.files.findings import Finding
from kernel.files.reading import UnreadableError
from loadtests.client.stack import Stack, local_stack
from loadtests.replay.mapping import read_mapping
from loadtests.replay.outcome import CANNOT, EMPTY, SOME_REFUSED, STORED, Outcome, show
from loadtests.replay.planning import plan
from loadtests.replay.replay import replay
from tests.integration.deploy.test_stack import running_stack, veritas
from tests.kits.clusters import laid_state
from tests.kits.dirty_files import CASES, GOOD, MAPPING, NDJSON, Case, csv, line, lines, row, table

AT_A_TIME = 12
STORED_LINES = "SELECT (payload->>'line')::int FROM events WHERE session_id = ANY(%s) AND client IS NOT NULL"


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a file: outcome, findings, the lines in the database, what was shown; or why none did."""

    why: str = ""
    outcome: Outcome | None = None
    found: list[Finding] = []
    stored: list[int] = []
    shown: str = ""


@pytest.fixture(scope="module")
def state(module_folder: Path) -> Iterator[Path]:
    with running_stack(laid_state(module_folder / "state")):
        yield module_folder / "state"


async def replayed(case: Case, folder: Path, stack: Stack) -> Came:
    """Replay a case's file and look into the database."""
    file, mapping = folder / "rows", folder / "mapping.toml"
    file.write_bytes(case.content)
    mapping.write_text(case.mapping)
    console = Console(file=io.StringIO(), width=100)
    try:
        the_plan = plan(file, read_mapping(mapping), case.options)
    except UnreadableError as error:
        return Came(why=str(error))
    outcome, found = await replay("rows", the_plan, stack, speed=0, concurrency=20, console=console)
    show(outcome, console)
    with psycopg.connect(stack.database_url) as conn:
        stored = [each for (each,) in conn.execute(STORED_LINES, (outcome.session_ids,))]
    assert isinstance(console.file, io.StringIO)
    return Came(outcome=outcome, found=found, stored=stored, shown=console.file.getvalue())


@pytest.fixture(scope="module")
def came(module_folder: Path, state: Path) -> dict[str, Came]:
    """What came of every case, a few at a time."""
    stack = local_stack(state)
    gate = asyncio.Semaphore(AT_A_TIME)

    async def one(number: int, case: Case) -> Came:
        folder = module_folder / f"case-{number}"
        folder.mkdir()
        async with gate:
            return await replayed(case, folder, stack)

    async def every() -> list[Came]:
        return await asyncio.gather(*(one(number, case) for number, case in enumerate(CASES)))

    return dict(zip((case.name for case in CASES), asyncio.run(every()), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_dirty_file_is_stored_but_for_the_rows_that_are_named(came: dict[str, Came], case: Case) -> None:
    what = came[case.name]
    if case.unreadable:
        assert case.unreadable in what.why
        return

    outcome = what.outcome
    assert outcome is not None, what.why
    assert {each.line: each.kind for each in what.found if each.refuses} == case.refused
    assert (outcome.read, outcome.refused) == (case.read, len(case.refused))
    assert outcome.stored == outcome.read - outcome.refused == len(what.stored)
    assert not case.refused.keys() & set(what.stored)
    worst = SOME_REFUSED if case.refused or case.damaged else STORED
    assert outcome.code == (worst if case.read else EMPTY), outcome.faults
    for refused in case.refused:
        assert f"line {refused}" in what.shown
    assert "\ufffd" not in what.shown


def test_there_are_at_least_as_many_cases_as_were_tried_and_each_has_a_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 39


async def test_rows_that_the_server_refuses_are_named_and_their_neighbours_stored(
    module_folder: Path, state: Path
) -> None:
    wrong = ["1969-12-31T23:59:59Z", "1960-01-01T00:00:00Z"]
    rows = [
        row(f"2026-03-01T10:{n // 60:02}:{n % 60:02}Z") if n % 50 else row(wrong[n % 100 // 50])
        for n in range(1, 400)
    ]
    rows[20] = row(what="x" * 20_000)  # more metadata than the server takes
    rows[200] = row(what="x" * 100_000)  # a whole event too large: the server does not say which of the batch
    case = csv("many", *rows, read=401)
    folder = module_folder / "many"
    folder.mkdir()
    what = await replayed(case, folder, local_stack(state))

    assert what.outcome is not None
    refused = {each.line: each.why for each in what.found if each.refuses}
    assert sorted(refused) == sorted([23, 203, *range(52, 402, 50)])
    assert "1970" in refused[52]
    assert "metadataJson" in refused[23]
    assert (what.outcome.code, len(what.stored)) == (SOME_REFUSED, 401 - len(refused))
    assert what.outcome.faults == {}


@settings(max_examples=12)
@given(
    at=st.lists(st.integers(0, len(GOOD) * 3), min_size=1, max_size=4),
    between=st.sampled_from([b'"', b"\n", b"\xff", b",", b"\0", b"9" * 30, b""]) | st.binary(max_size=5),
)
def test_whatever_is_done_to_a_file_a_row_is_stored_or_named(
    module_folder: Path, state: Path, at: list[int], between: bytes
) -> None:
    content = table(*(row(f"2026-03-01T10:0{n}:00Z", who=f"c{n % 2}") for n in range(6))).encode()
    for each in at:
        content = content[:each] + between + content[each + 1 :]
    case = Case(name="any", content=content)
    what = asyncio.run(replayed(case, module_folder, local_stack(state)))
    if what.outcome is None:
        assert what.why
        return

    refused = {each.line for each in what.found if each.refuses}
    assert what.outcome.read == what.outcome.stored + what.outcome.refused
    assert (what.outcome.stored, what.outcome.refused) == (len(what.stored), len(refused))
    assert not refused.intersection(what.stored)
    assert what.outcome.code in {STORED, SOME_REFUSED, EMPTY}


def test_the_command_reads_a_pipe_and_writes_what_it_found(module_folder: Path, state: Path) -> None:
    (module_folder / "ndjson.toml").write_text(NDJSON)
    report, findings = module_folder / "report.json", module_folder / "findings.ndjson"
    wrong = [b'{"paper":', line(at="soon"), *[line(who="")] * 30]
    words = ["-", "--mapping", module_folder / "ndjson.toml", "--report", report, "--findings", findings]
    done = subprocess.run(
        veritas("replay", "--state", state, *words),
        input=lines(*wrong), capture_output=True, timeout=180, check=False,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(report.read_bytes())
    every = [json.loads(each) for each in findings.read_bytes().splitlines()]

    assert done.returncode == SOME_REFUSED, done.stdout + done.stderr
    assert (told["read"], told["sent"], told["stored"], told["refused"]) == (34, 2, 2, 32)
    assert {kind: group["count"] for kind, group in told["findings"].items()} == {
        "not_json": 1, "absent": 30, "unreadable_time": 1,
    }  # fmt: skip
    assert len(told["findings"]["absent"]["first"]) == 20
    assert [each["line"] for each in every] == list(range(2, 34))
    assert every[1] == {
        "line": 3, "kind": "unreadable_time", "why": "it is no time of the format iso", "column": "at",
    }  # fmt: skip
    assert b"and 27 more: --findings FILE" in done.stdout


def test_what_cannot_be_read_or_written_is_said_in_a_sentence(module_folder: Path, state: Path) -> None:
    (module_folder / "csv.toml").write_text(MAPPING)
    good, odd = module_folder / "good.csv", module_folder / "[red]\x1b[1m.csv"
    for path in (good, odd):
        path.write_bytes(GOOD)
    mapped = ("--mapping", module_folder / "csv.toml")
    cases: list[tuple[tuple[object, ...], int, str]] = [
        ((module_folder / "none.csv",), CANNOT, "No such file"),
        ((module_folder,), CANNOT_AT_ALL, "directory"),
        ((good,), CANNOT, "no shipped mapping fits"),
        ((odd,), CANNOT, "no shipped mapping fits"),
        ((good, *mapped, "--timezone", "Mars/Olympus"), CANNOT, "no time zone 'Mars/Olympus'"),
        ((good, *mapped, "--delimiter", ";;"), CANNOT, "the delimiter is one character"),
        ((good, *mapped, "--encoding", "klingon"), CANNOT, "no encoding of texts"),
        ((good, *mapped, "--fold", "both"), CANNOT_AT_ALL, "fold"),
        ((good, *mapped, "--report", module_folder / "none" / "report"), CANNOT, "No such file"),
        (("/dev/zero", *mapped), CANNOT, "this is no text file"),
    ]
    for words, code, why in cases:
        done = CliRunner().invoke(app, ["replay", "--state", str(state), *map(str, words)])

        said = done.stdout + done.stderr
        assert (done.exit_code, why in said) == (code, True), said
        assert isinstance(done.exception, SystemExit | None), done.exception
        assert "\x1b" not in said
