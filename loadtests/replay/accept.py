"""
Accept: replay a whole file of real monitoring through a stack of its own, and count every row back.

`python -m loadtests.replay.accept FILE` (`make accept`). A private stack in a temporary folder; the file as
fast as it goes; then events by exam and type in the file, in the hypertable, in the projection and in the
Parquet archive must agree.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Final
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.table import Table

from deploy.local.stack import open_stack
from kernel.events import EventType
from kernel.running.process import prepare_process
from kernel.settings import load
from loadtests.check.counting import Counts, in_archive, in_postgres, in_projection
from loadtests.client.stack import Stack, local_stack
from loadtests.replay.outcome import Outcome, show
from loadtests.replay.planning import Plan, plan
from loadtests.replay.replay import replay

CONCURRENCY: Final = 128
ARCHIVED_WITHIN_S: Final = 120.0
POLL_S: Final = 0.5


def counts_of(the_plan: Plan, exam_ids: dict[str, str]) -> Counts:
    """Count the events that the file asks for, by the exams they were sent to."""
    return Counter(
        (UUID(exam_ids[exam]), EventType(event.event_type).name)
        for (exam, _), events in the_plan.sessions.items()
        for event in events
    )


async def count_everywhere(stack: Stack, exam_ids: list[UUID], wanted: Counts) -> dict[str, Counts]:
    """Count where the events must be, again and again until all agree with the file or the time is up."""
    conn = await asyncpg.connect(stack.database_url)
    deadline = monotonic() + ARCHIVED_WITHIN_S
    try:
        while True:
            found = {
                "hypertable": await in_postgres(conn, exam_ids),
                "reporting": await in_projection(conn, exam_ids),
                "Parquet": await asyncio.to_thread(in_archive, Path(stack.warehouse), exam_ids),
            }
            if all(counts == wanted for counts in found.values()) or monotonic() > deadline:
                return found
            await asyncio.sleep(POLL_S)
    finally:
        await conn.close()


def show_counts(wanted: Counts, found: dict[str, Counts], console: Console) -> None:
    """Print events by type, and in how many of the exams all places agree."""
    table = Table("event type", "file", *found, title="Counted back", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    everywhere = {"file": wanted, **found}
    for name in sorted({kind for counts in everywhere.values() for _, kind in counts}):
        sums = [sum(n for (_, kind), n in counts.items() if kind == name) for counts in everywhere.values()]
        table.add_row(name, *(f"{each:,}" for each in sums))
    table.add_section()
    table.add_row("all", *(f"{counts.total():,}" for counts in everywhere.values()))
    console.print(table)


async def accept(file: Path, state: Path, console: Console) -> tuple[Outcome, bool]:
    """Replay the file through a stack in `state`; return the outcome, and whether all counts agree."""
    settings = load({}, state=str(state), fold_heartbeats_s=0.0)  # all is counted, heartbeats as well
    async with open_stack(settings, lambda line: console.print(line, style="dim"), port=0, ingest_port=0):
        stack = local_stack(state)
        the_plan = await asyncio.to_thread(plan, file)
        outcome, _ = await replay(
            file.name, the_plan, stack, speed=0, concurrency=CONCURRENCY, console=console
        )
        show(outcome, console)
        wanted = counts_of(the_plan, outcome.exam_ids)
        with console.status("waiting for the projection and the archive"):
            found = await count_everywhere(stack, [UUID(each) for each in outcome.exam_ids.values()], wanted)
    show_counts(wanted, found, console)
    return outcome, all(counts == wanted for counts in found.values())


def main() -> int:
    """Accept the file named on the command line; return 0 when nothing differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    file: Path = parser.parse_args().file
    console = Console(highlight=False)
    state = Path(tempfile.mkdtemp(prefix="veritas-accept-"))
    state.chmod(0o755)  # the servers run under an account of their own
    started = monotonic()
    try:
        outcome, same = asyncio.run(accept(file, state, console))
    finally:
        shutil.rmtree(state, ignore_errors=True)
    accepted = same and outcome.ok
    verdict = "accepted: nothing differs" if accepted else "NOT accepted: the counts differ"
    console.print(f"{verdict} ({monotonic() - started:.0f} s)", style="green" if accepted else "red")
    return 0 if accepted else 1


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
