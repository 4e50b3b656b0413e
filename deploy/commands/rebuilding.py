"""
`veritas rebuild`: drop what was computed, and compute it again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from deploy.local.server import ServerError
from kernel.settings import load

STAGES: Final = {
    "archive": "events of the archive",
    "sessions": "sessions",
    "attempt": "attempts",
    "exam": "exams",
    "student": "students",
    "settle": "once more, by the cohorts' norms",
    "publish": "Parquet",
}


def rebuild(
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="Only attempts that were over then (UTC) or later, their exams and students.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="DATASET", help="Only this dataset; may be given again.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="TCP://HOST:PORT",
            help="Compute what follows from submissions on the workers of this Dask scheduler.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Folder of the local stack; VERITAS_STATE or .veritas by default."),
    ] = None,
) -> None:
    """
    Compute everything in reporting and the warehouse again, from the durable tables and the event archive.

    The pipeline may go on meanwhile. A rebuild that was cut off is begun again; rows that come out as they
    are stay untouched. With --since nothing is folded or archived anew.
    """
    from deploy.local.stack import database_url_of, warehouse_of  # noqa: PLC0415
    from pipeline.on_dask import DaskError, runner_on  # noqa: PLC0415
    from pipeline.projections.registry import PUBLISHED  # noqa: PLC0415
    from pipeline.rebuild import rebuild as build  # noqa: PLC0415
    from pipeline.recomputing import here  # noqa: PLC0415
    from warehouse.datasets.events import EVENTS  # noqa: PLC0415

    found = load() if state is None else load(state=str(state))
    settings = msgspec.structs.replace(
        found, database_url=database_url_of(found), warehouse=warehouse_of(found)
    )
    known = {EVENTS.name, *PUBLISHED}
    if unknown := sorted(set(only or ()) - known):
        raise ServerError(f"no dataset {unknown[0]}: there are {', '.join(sorted(known))}")
    try:
        with nullcontext(here) if on is None else runner_on(on) as runner, _bars() as progress:
            made = build(
                settings,
                progress,
                only=only or known,
                since=None if since is None else since.replace(tzinfo=UTC),
                runner=runner,
            )
    except DaskError as error:
        raise ServerError(str(error)) from error
    Console(highlight=False).print(
        f"{made.keys:,} attempts, exams and students were computed, {made.attempts:,} attempts folded;"
        f" {made.partitions:,} partitions are published, {made.events:,} events archived."
    )


@contextmanager
def _bars() -> "Iterator[Callable[[str, int, int], None]]":
    """Show a bar for each stage; yield what is told how far it is."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    ) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(STAGES[stage], total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield progress
