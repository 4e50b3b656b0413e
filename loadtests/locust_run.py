"""
A bounded, headless locust run against a stack of its own: `python -m loadtests.locust_run` (`make locust`).

Fails when a request failed, or when the candidates' own log and the database differ.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from deploy.local.stack import open_stack
from kernel.running.process import prepare_process
from kernel.settings import load
from loadtests.check.figures import figures
from loadtests.check.history import check, rows_of
from loadtests.client.links import fresh_links
from loadtests.client.log import Log
from loadtests.client.stack import Stack, local_stack
from loadtests.terminal import figures_table


async def drive(stack: Stack, folder: Path, users: int, seconds: int) -> int:
    """Run locust as a process of its own; return its exit code."""
    links = folder / "links"
    links.write_text("\n".join(await fresh_links(stack, users)))
    command = [
        "-m",
        "locust",
        "-f",
        str(Path(__file__).with_name("locustfile.py")),
        "--headless",
        "--only-summary",
    ]
    command += ["--users", str(users), "--spawn-rate", str(max(1, users // 4)), "--run-time", f"{seconds}s"]
    command += ["--stop-timeout", "60", "--exit-code-on-error", "1", "--host", stack.url]
    command += ["--ingest-url", stack.ingest_url, "--links", str(links), "--log", str(folder / "log.jsonl")]
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    return await process.wait()


async def run(users: int, seconds: int, state: Path, console: Console) -> bool:
    """Open a stack, drive it, hold the log against the database; tell whether all is well."""
    report = lambda line: console.print(line, style="dim")  # noqa: E731
    async with open_stack(load({}, state=str(state)), report, port=0, ingest_port=0):
        stack = local_stack(state)
        code = await drive(stack, state, users, seconds)
        log = Log.read(state / "log.jsonl")
        found = check(log, await rows_of(stack.database_url, (entry.session for entry in log)))
    console.print(figures_table("What the candidates saw", figures(log)))
    console.print(found.text(), style="green" if found.ok else "red")
    return code == 0 and found.ok and found.acknowledged == found.created


def main() -> int:
    """Run as the command line says; return 0 when nothing failed and nothing was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=30)
    asked = parser.parse_args()
    console = Console(highlight=False)
    state = Path(tempfile.mkdtemp(prefix="veritas-locust-"))
    state.chmod(0o755)  # the servers run under an account of their own
    try:
        well = asyncio.run(run(asked.users, asked.seconds, state, console))
    finally:
        shutil.rmtree(state, ignore_errors=True)
    console.print("passed" if well else "FAILED", style="green" if well else "red")
    return 0 if well else 1


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
