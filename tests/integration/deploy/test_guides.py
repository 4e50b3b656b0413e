"""
The pages that lead people through Veritas are true: what they write is written, and their commands are run,
in order, as by somebody who pastes them into one shell (spec.md A-8).
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.deploy.test_stack import running_stack
from tests.kits.clusters import laid_state

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```(csv|py|sh) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Follow = Callable[[str], str]


@pytest.fixture(scope="module")
def follow(module_folder: Path) -> Iterator[Follow]:
    """Do what a page says, on one stack for all pages; return what it printed."""
    state = module_folder / "state"
    with running_stack(laid_state(state)) as (_, local):
        admin = next(each for each in local["accounts"] if each["role"] == "admin")
        environ = os.environ | {
            "URL": local["url"],
            "EMAIL": admin["email"],
            "PASSWORD": admin["password"],
            "VERITAS_STATE": str(state),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

        def do(page: str) -> str:
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
                env=environ,
            )
            assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr}"
            return done.stdout

        yield do


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
