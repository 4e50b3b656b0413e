"""
`veritas risk …`: compute scores once more.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from deploy.commands.helps import Group
from deploy.local.server import ServerError
from kernel.events import SESSION_ID_MAX
from kernel.risk import POINT
from kernel.settings import Settings, load

if TYPE_CHECKING:
    from pipeline.replays import Replay

app = typer.Typer(cls=Group, help="Check scores of risk.", no_args_is_help=True)
DIFFERENT: Final = 1


@app.callback()
def group() -> None:
    """Check scores of risk."""


@app.command()
def replay(
    session: Annotated[int, typer.Argument(min=1, max=SESSION_ID_MAX, help="Number of the proctor session.")],
    last: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many of its snapshots, the newest first.")
    ] = 20,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Folder of the local stack; VERITAS_STATE or .veritas by default."),
    ] = None,
) -> None:
    """
    Compute a session's scores again, and say whether the numbers are those that were stored.

    Each snapshot is computed three times: from its trace, from the events in the database, and from those in
    the archive; with the rules, exemptions and judged silences that held when it was made. Events that are
    not in the archive yet, or no longer in the database, are said to be missing there.

    Exits with 0 when every number is the same, 1 when one is another, 2 when nothing could be computed.
    """
    from psycopg import OperationalError  # noqa: PLC0415

    from deploy.local.stack import database_url_of, warehouse_of  # noqa: PLC0415
    from pipeline.replays import replay as compute  # noqa: PLC0415
    from sql.running import connect  # noqa: PLC0415
    from warehouse.files import open_root  # noqa: PLC0415

    settings = _settings(state)
    try:
        with connect(database_url_of(settings)) as conn:
            found = compute(conn, open_root(warehouse_of(settings), settings), session, limit=last)
    except OperationalError as error:
        raise ServerError(str(error).strip()) from error
    if found is None:
        raise ServerError(f"there is no proctor session {session}")
    if not found:
        print(f"Session {session} has no score yet: nothing that a rule is about has happened in it.")
        return
    Console(highlight=False).print(table_of(found))
    different = sum(not each.is_equal for each in found)
    if different:
        print(f"DIFFERENT: {different} of {len(found)} snapshots do not compute to what was stored.")
        raise typer.Exit(DIFFERENT)
    print(f"All {len(found)} snapshots compute to the numbers that were stored.")


def table_of(replays: "list[Replay]") -> Table:
    """Return snapshots beside what they compute to."""
    table = Table(title="Scores, and what they compute to: score / peak", title_justify="left")
    for name in ("snapshot", "cause", "rules and events behind it", "stored", "trace", "database", "archive"):
        table.add_column(name)
    for each in replays:
        snapshot = each.snapshot
        table.add_row(
            str(snapshot.id),
            snapshot.cause,
            "\n".join(
                f"rule {part.rule_id} v{part.version}: {part.triggers} times {part.points / POINT:g}, events "
                + ", ".join(map(str, part.events))
                for part in snapshot.trace
            ),
            _both((snapshot.score, snapshot.peak)),
            f"{each.from_trace / POINT:g}",
            _both(each.from_events),
            _both(each.from_archive),
        )
    return table


def _both(scores: tuple[int, int] | None) -> str:
    return "not there" if scores is None else f"{scores[0] / POINT:g} / {scores[1] / POINT:g}"


def _settings(state: Path | None) -> Settings:
    return load() if state is None else load(state=str(state))
