"""
The pages that lead people through Veritas are true: what they write is written, and their commands are run,
in order, as by somebody who pastes them into one shell (spec.md A-8).
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import psycopg
import pytest

from tests.integration.deploy.test_stack import running_stack
from tests.kits.clusters import laid_state
from tests.kits.ingest.waiting import wait_until
from tests.kits.learning_rules import CALIPER, XAPI, broken

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```(csv|py|sh|sql|toml) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Follow = Callable[..., str]  # a page, and what else stands in the environment
Posted = tuple[str, str, Any]  # path, who posts, what
PROJECTED = (
    "SELECT count(*) FROM reporting.submissions s"
    " JOIN submissions b ON b.id = s.submission_id AND b.kind = 'imported'"
)


@pytest.fixture(scope="module")
def state(module_folder: Path) -> Path:
    """Return the folder of the stack that all pages are followed on."""
    return module_folder / "state"


@pytest.fixture(scope="module")
def local(state: Path) -> Iterator[dict[str, Any]]:
    """Run that stack; give what `local.json` says of it."""
    with running_stack(laid_state(state)) as (_, local):
        yield local


@pytest.fixture(scope="module")
def follow(module_folder: Path, state: Path, local: dict[str, Any]) -> Follow:
    """Do what a page says; return what it printed."""
    admin = next(each for each in local["accounts"] if each["role"] == "admin")
    environ = os.environ | {
        "URL": local["url"],
        "EMAIL": admin["email"],
        "PASSWORD": admin["password"],
        "VERITAS_STATE": str(state),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }

    def do(page: str, **more: str) -> str:
        folder, blocks = module_folder / page, BLOCK.findall((DOCS / page).read_text())
        folder.mkdir()
        for _, name, text in blocks:
            if name:
                (folder / name).write_text(text)
        script = "".join(text for kind, name, text in blocks if kind == "sh" and not name)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
            cwd=folder,
            env=environ | more,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr}"
        with duckdb.connect(config={"file_search_path": str(folder)}) as conn:
            for question in (text for kind, _, text in blocks if kind == "sql"):
                assert conn.execute(question).fetchall(), question
        return done.stdout

    return do


def test_a_school_is_made_as_its_page_says_a8(follow: Follow) -> None:
    said = follow("school.md")

    assert "a dry run: nothing was written" in said
    assert "people: 4 created" in said
    assert "enrolments: 3 added" in said
    assert "exams: 2 created" in said
    assert "Amina الزهراء began Latin until" in said
    assert "2 exams as they were" in said
    assert "'created': 0, 'updated': 0, 'unchanged': 4" in said


def test_an_exam_is_watched_and_decided_about_as_its_page_says(follow: Follow) -> None:
    said = follow("proctoring.md")

    assert "event: snapshot" in said
    assert '"riskScore":40.0' in said
    assert '"action":"warn"' in said
    assert '"statusName":"Confirmed"' in said
    assert '"statusName":"Suspicious"' in said
    assert '"wasOverridden":true' in said
    assert "snapshots compute to the numbers that were stored" in said
    assert '"crossings":' in said


def test_results_come_in_and_go_out_as_their_pages_say_w6(follow: Follow, local: dict[str, Any]) -> None:
    """What importing.md brings in, exports.md takes away; its records keep the standards' rules."""
    said = follow("importing.md")
    assert "exams: 1 would be made" in said
    with psycopg.connect(local["database_url"], autocommit=True) as conn:
        wait_until(lambda: conn.execute(PROJECTED).fetchone() == (4,), "what was imported")
    with receiver() as (address, posted):
        said = follow("exports.md", LRS=address, LRS_KEY="key", LRS_SECRET="secret",
                      CALIPER_KEY="token", CALIPER_ENDPOINT=f"{address}/caliper")  # fmt: skip

    assert "response\tstring\tThe response in one spelling" in said
    stored = [each for path, _, body in posted if path == "/statements" for each in body]
    assert {by for path, by, _ in posted} == {"Basic a2V5OnNlY3JldA==", "Bearer token"}
    assert [each["verb"]["display"]["en"] for each in stored] == ["initialized", "answered", "completed"]
    assert [broken(XAPI, each) for each in stored] == [[]] * len(stored)
    envelopes = [body for path, _, body in posted if path == "/caliper"]
    assert [broken(CALIPER, each) for each in envelopes] == [[]]


@contextmanager
def receiver() -> Iterator[tuple[str, list[Posted]]]:
    """Be somebody else's store of learning records: keep what is posted."""
    posted: list[Posted] = []

    class Store(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            posted.append((self.path, self.headers["Authorization"], body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", posted
    finally:
        server.shutdown()
        server.server_close()
