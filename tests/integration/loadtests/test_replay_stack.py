"""`veritas replay` and `veritas demo` as a user starts them, on stacks of their own (spec.md X-2)."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from deploy.local.stack import open_stack
from kernel.settings import load
from loadtests.client.stack import local_stack
from loadtests.replay.mapping import read_mapping
from loadtests.replay.planning import plan
from loadtests.replay.replay import replay, run
from tests.kits.clusters import laid_state

MAPPING = """
format = "ndjson"
exam = "Paper {paper}"
candidate = "{who}"
[time]
column = "at"
[[events]]
type = "TabSwitched"
severity = 2
equals = { what = ["away"] }
[[events]]
type = "Keystroke"
[metadata]
what = "what"
"""


def a_file(folder: Path, rows: int) -> Path:
    dice = random.Random(1)
    lines = [
        {
            "paper": dice.randint(1, 2),
            "who": f"c{dice.randint(1, 5)}",
            "at": f"2026-03-01T10:{number // 60:02}:{number % 60:02}+01:00",
            "what": dice.choice(["away", "types"]),
        }
        for number in range(rows)
    ]
    file = folder / "rows.ndjson"
    file.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    (folder / "mapping.toml").write_text(MAPPING)
    return file


@pytest.mark.slow("a stack of its own, at the speed asked for")
async def test_every_row_of_a_file_becomes_a_stored_event_at_the_speed_asked_for(server_folder: Path) -> None:
    file = a_file(server_folder, 300)
    state = server_folder / "state"
    console = Console(quiet=True)
    async with open_stack(load({}, state=str(laid_state(state))), lambda _: None, port=0, ingest_port=0):
        the_plan = plan(file, read_mapping(server_folder / "mapping.toml"))
        outcome, found = await replay(
            file.name, the_plan, local_stack(state), speed=100, concurrency=20, console=console
        )

    assert outcome.ok, outcome.faults
    assert (outcome.read, outcome.sent, outcome.stored, outcome.events_stored) == (300, 300, 300, 300)
    assert outcome.seconds >= 2.5, "five minutes at a hundred times their pace"
    assert (found, outcome.refused, outcome.doubtful) == ([], 0, 0)
    assert len(outcome.exam_ids) == 2
    assert outcome.figures.latency_ms.p50 is not None


def test_without_a_stack_replay_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = a_file(tmp_path, 1)
    code = run(file, tmp_path / "mapping.toml", state=tmp_path / "nothing")

    assert code == 2
    assert "make run" in capsys.readouterr().out


def test_another_deployment_must_be_named_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(a_file(tmp_path, 1), tmp_path / "mapping.toml", "https://elsewhere.example")

    assert code == 2
    assert "database URL" in " ".join(capsys.readouterr().out.split())


def program(module: str, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of ours to its end, with what is given of an environment and a screen."""
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        env={"PATH": os.environ["PATH"], "COLUMNS": "120", **environment},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.slow("the whole demo")
def test_the_demo_loses_nothing_shows_the_analytics_and_exits_with_zero(server_folder: Path) -> None:
    done = program(
        "deploy.commands.cli", "demo", "--candidates", "10", "--seconds", "5",
        VERITAS_STATE=str(server_folder / "state"),
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    for promise in ("lost", "What the teacher sees", "What an analyst asks", "Everything is stopped"):
        assert promise in done.stdout
    assert re.search("candidate-[0-9]+  risk [0-9]+ → 80  Critical", done.stdout), done.stdout
    assert re.search("candidate-[0-9]+ +│ 80 +│ Critical +│ 5 ", done.stdout), done.stdout
    for source in ("as it was stored", "of its trace", "in the database", "in Parquet files"):
        assert re.search(f"{source} +│ 80 ", done.stdout), done.stdout
    assert "Suspicious, by Teacher" in done.stdout
    custody = ("asked where to send it", "computed here", "this is all", "address to fetch it", "fetched it")
    for step in custody:
        assert re.search(f"{step} +│ +[0-9]+", done.stdout), done.stdout
    assert re.search("one bit of the file changed +│ WRONG: changed.png", done.stdout), done.stdout
    for promise in ("attempts submitted", "receipts verified offline"):
        assert re.search(f"{promise} +│ +10 of 10 ", done.stdout), done.stdout
    assert re.search("one letter changed +│ +refused ", done.stdout)
    assert not (server_folder / "state" / "local.json").exists()


@pytest.mark.slow("a stack of its own, and locust")
def test_a_bounded_locust_run_passes_on_a_stack_of_its_own() -> None:
    done = program("loadtests.locust_run", "--users", "8", "--seconds", "6")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost, doubled, out of order" in done.stdout
    assert "passed" in done.stdout
