"""
Run the commands of docs/example.md as they stand there, on a stack of its own.

`python -m loadtests.example.run FOLDER` (`make example`), with the folder of the EPM data. What the page
shows is what is run: the lines of its blocks of shell, with the stack's state in a temporary folder in place
of `.veritas`.
"""

import argparse
import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Final

from rich.console import Console

from deploy.local.stack import open_stack
from kernel.running.process import prepare_process
from kernel.settings import load

PAGE: Final = Path("docs/example.md")
FILES: Final = ("activity.csv.gz", "final_grades.csv", "intermediate_grades.csv")
SOURCE: Final = (
    "They are of the data set “Educational Process Mining (EPM): A Learning Analytics Data Set” (Vahdat, "
    "Oneto, Anguita, Funk, Rauterberg 2015; UCI Machine Learning Repository, archive.ics.uci.edu), which "
    "Veritas does not bring along. docs/example.md says how they are made of what is found there; name their "
    "folder: make example DATA=FOLDER"
)
_BLOCK: Final = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """Return the commands of a page: the lines of its blocks of shell, those that go on joined."""
    blocks = "".join(_BLOCK.findall(page)).replace("\\\n", " ")
    return [line.strip() for line in blocks.splitlines() if line.strip() and not line.startswith("#")]


def run(command: str, data: Path, state: Path) -> int:
    """Run one command as the page has it; return its exit code."""
    words = [
        word.replace("$DATA", str(data)).replace(".veritas/", f"{state}/") for word in shlex.split(command)
    ]
    programs = {
        "veritas": [sys.executable, "-m", "deploy.commands.cli"], "python": [sys.executable],
    }  # fmt: skip
    return subprocess.run(  # noqa: S603  the page's own commands
        [*programs[words[0]], *words[1:]], env=os.environ | {"VERITAS_STATE": str(state)}, check=False
    ).returncode


async def example(data: Path, state: Path, console: Console) -> int:
    """Run the page's commands one after another on a stack in `state`; stop at the first that fails."""
    settings = load({}, state=str(state))
    async with open_stack(settings, lambda line: console.print(line, style="dim"), port=0, ingest_port=0):
        for command in commands(PAGE.read_text(encoding="utf-8")):
            if command.startswith("make "):  # starts what runs here already
                continue
            console.print(f"$ {command}", style="bold")
            code = await asyncio.to_thread(run, command, data, state)
            if code:
                console.print(f"it exits with {code}", style="red")
                return code
    return 0


def main() -> int:
    """Run the example on the data named on the command line; return 0 when all of it went well."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    data: Path = parser.parse_args().data
    missing = [name for name in FILES if not (data / name).is_file()]
    if missing:
        sys.stderr.write(f"{data} has no {', '.join(missing)}. {SOURCE}\n")
        return 2
    console = Console(highlight=False)
    state = Path(tempfile.mkdtemp(prefix="veritas-example-"))
    state.chmod(0o755)  # the servers run under an account of their own
    started = monotonic()
    try:
        code = asyncio.run(example(data.resolve(), state, console))
    finally:
        shutil.rmtree(state, ignore_errors=True)
    console.print(f"done in {monotonic() - started:.0f} s; the pictures are in docs/example/")
    return code


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
