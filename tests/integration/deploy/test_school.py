"""docs/school.md is true: its files are written, its commands and programs run, in order (spec.md A-8)."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.integration.deploy.test_stack import running_stack

PAGE = Path(__file__).parents[3] / "docs/school.md"
BLOCK = re.compile(r"^```(csv|py|sh) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TITLES = {"users.csv", "enrollments.csv", "exams.csv", "candidate.py", "school.py"}


def test_what_the_page_says_of_a_school_can_be_done_as_it_says_a8(server_folder: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    written = {name for _, name, _ in blocks if name}
    state, said = server_folder / "state", ""
    with running_stack(state) as (_, local):
        admin = next(each for each in local["accounts"] if each["role"] == "admin")
        environ = os.environ | {
            "URL": local["url"],
            "EMAIL": admin["email"],
            "PASSWORD": admin["password"],
            "VERITAS_STATE": str(state),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        for kind, name, text in blocks:
            if name:
                (server_folder / name).write_text(text)
            elif kind == "sh":
                done = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", text],
                    check=False,
                    capture_output=True,
                    text=True,
                    timeout=300,
                    cwd=server_folder,
                    env=environ,
                )
                assert done.returncode == 0, done.stderr + done.stdout
                said += done.stdout

    assert written == TITLES
    assert "a dry run: nothing was written" in said
    assert "people: 4 created" in said
    assert "enrolments: 3 added" in said
    assert "exams: 2 created" in said
    assert "Amina الزهراء began Latin until" in said
    assert "2 exams as they were" in said
    assert "'created': 0, 'updated': 0, 'unchanged': 4" in said
