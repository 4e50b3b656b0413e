"""
`veritas retain` and `veritas restore`: what goes by policy now, and what comes back from the archive.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from deploy.commands.helps import Group
from deploy.local.server import ServerError
from kernel.events import SESSION_ID_MAX
from kernel.settings import Settings, load

if TYPE_CHECKING:
    from pipeline.retention.forecast import Foreseen

restore = typer.Typer(
    cls=Group,
    help="Bring back what retention has left to the archive; erase again whom a backup has brought back.",
    no_args_is_help=True,
)
DIFFERENT: Final = 1
SWEEP_S: Final = 86_400.0
StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="Folder of the local stack; VERITAS_STATE or .veritas by default."),
]
WHYS: Final = {
    None: "goes",
    "legal_hold": "held by a legal hold",
    "claim_open": "a claim is open",
    "review_open": "a review is open",
    "attempt_runs": "the attempt still runs",
    "not_stored": "not everything of it is stored",
    "not_archived": "not in the archive yet",
    "not_projected": "still to be computed with",
    "upload_open": "its upload is open",
    "draft_open": "a draft of an observation names it",
    "appointment_open": "an exam is open to them",
    "programme_runs": "they are in a programme",
    "not_graded": "a grader is awaited",
}


def retain(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    state: StateOption = None,
) -> None:
    """
    Take what is older than its organisation's policy, now; the pipeline does so by itself every hour.

    First it is said what goes, and what stays and why. Exits with 1 when the archive has other events of some
    session than the database: these stay. Evidence that is gone and whose store is away is deleted later.
    """
    from kernel.storage.opening import STORE_FAILS, open_tiers  # noqa: PLC0415
    from pipeline.archive_told import ForeignArchiveError  # noqa: PLC0415
    from pipeline.evidence_files import ForeignStoreError  # noqa: PLC0415
    from pipeline.retention.events import sweep_events  # noqa: PLC0415
    from pipeline.retention.evidence import sweep_evidence  # noqa: PLC0415
    from pipeline.retention.forecast import forecast  # noqa: PLC0415
    from pipeline.retention.people import sweep_people  # noqa: PLC0415
    from pipeline.retention.runtime import sweep_runtime  # noqa: PLC0415
    from pipeline.retention.submissions import sweep_contents  # noqa: PLC0415
    from sql.running import connect  # noqa: PLC0415
    from warehouse.files import ROOT_FAILS  # noqa: PLC0415

    settings, now = _settings(state), datetime.now(UTC)
    with connect(settings.database_url) as conn:
        found = forecast(conn, now=now)
        console = Console(highlight=False)
        if found:
            console.print(table_of(found))
        else:
            console.print("Nothing is older than its policy.")
        if dry_run:
            return
        asked = sweep_people(conn, settings, now=now)
        console.print(f"{asked:,} people are to be erased; the pipeline erases them.")
        contents = sweep_contents(conn, now=now, seconds_max=SWEEP_S)
        console.print(f"The contents of {contents:,} submissions went.")
        removed = sweep_runtime(conn, now=now, seconds_max=SWEEP_S)
        console.print(f"{removed.rows:,} rows that only {removed.attempts:,} running attempts needed went.")
        try:
            taken = sweep_events(conn, settings, now=now, seconds_max=SWEEP_S)
        except (ForeignArchiveError, *ROOT_FAILS) as error:
            raise ServerError(f"nothing more went: the archive cannot be relied on: {error}") from error
        console.print(
            f"{taken.events:,} events of {taken.sessions:,} sessions went, in {taken.steps:,} steps;"
            f" {taken.days:,} days are dropped."
        )
        files = sum(each.pieces for each in found if each.what == "evidence" and each.why is None)
        try:
            with Progress(console=console, transient=True) as shown:
                task = shown.add_task("files of evidence", total=files)
                swept = sweep_evidence(
                    conn, open_tiers(settings), now=now, seconds_max=SWEEP_S,
                    step=lambda name: shown.advance(task, name == "deleted"),
                )  # fmt: skip
        except (ForeignStoreError, *STORE_FAILS) as error:
            raise ServerError(f"what is gone is deleted later: a store cannot be used: {error}") from error
    console.print(
        f"{swept.pieces:,} files of evidence went, {swept.size_bytes:,} bytes, in {swept.steps:,} steps;"
        f" {swept.deleted:,} are deleted."
    )
    if taken.differing:
        console.print(f"DIFFERENT: the archive has other events of {len(taken.differing)} sessions: rebuild.")
        raise typer.Exit(DIFFERENT)


def table_of(found: "list[Foreseen]") -> Table:
    """Return what was foreseen as a table."""
    table = Table(title="What is past its policy", title_justify="left")
    for name in ("organisation", "what", "days", "pieces", "rows or bytes", "from", "to", ""):
        table.add_column(name)
    for each in found:
        table.add_row(
            str(each.organisation_id), each.what, str(each.days), f"{each.pieces:,}", f"{each.total:,}",
            f"{each.oldest:%Y-%m-%d}", f"{each.newest:%Y-%m-%d}", WHYS.get(each.why, each.why),
        )  # fmt: skip
    return table


@restore.callback()
def group() -> None:
    """Bring back what retention has left to the archive; erase again whom a backup has brought back."""


@restore.command()
def events(
    session: Annotated[
        int | None, typer.Option(min=1, max=SESSION_ID_MAX, help="Only of this proctor session.")
    ] = None,
    exam: Annotated[str | None, typer.Option(help="Only of this exam.")] = None,
    since: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="Only from this day on (UTC).")
    ] = None,
    before: Annotated[
        datetime | None, typer.Option("--before", formats=["%Y-%m-%d"], help="Only before this day (UTC).")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=365, help="How many days they stay at least.")
    ] = None,
    state: StateOption = None,
) -> None:
    """
    Put archived events back into the database, session by session; what is there already stays.

    The API shows archived events without this. The ledger says what came back; after the days that are given
    the policy counts again.
    """
    from psycopg.errors import DataException  # noqa: PLC0415

    from pipeline.archive_told import ForeignArchiveError, open_archive  # noqa: PLC0415
    from pipeline.retention.archived import bring_back, list_gone_between  # noqa: PLC0415
    from sql.running import connect  # noqa: PLC0415
    from warehouse.builds import CorruptBuildError  # noqa: PLC0415
    from warehouse.files import ROOT_FAILS, open_root  # noqa: PLC0415

    settings, now = _settings(state), datetime.now(UTC)
    until = now + timedelta(days=days or settings.retention_restored_days)
    total = sessions = 0
    with connect(settings.database_url) as conn:
        archive = open_archive(conn, open_root(settings.warehouse, settings))
        found = list_gone_between(
            conn,
            since=None if since is None else since.replace(tzinfo=UTC),
            before=None if before is None else before.replace(tzinfo=UTC),
            exam_id=None if exam is None else _exam(exam),
            session_id=session,
        )
        for each in track(found, "sessions"):
            try:
                came = bring_back(conn, archive, each, until=until, now=datetime.now(UTC))
            except (DataException, ForeignArchiveError, CorruptBuildError, *ROOT_FAILS) as error:
                raise ServerError(f"session {each.session_id} cannot come back: {error}") from error
            if came is not None:
                total, sessions = total + came, sessions + 1
    Console(highlight=False).print(
        f"{total:,} events of {sessions:,} sessions are back, until {until:%Y-%m-%d} at least."
    )


@restore.command()
def erasures(state: StateOption = None) -> None:
    """
    Have everybody erased again whom a restored backup of the database has brought back.

    The warehouse keeps the list. The ledger says who was asked for; the running pipeline erases them, and
    what is asked for twice is done once.
    """
    from pipeline.privacy.keeping import Became, ask_again  # noqa: PLC0415
    from sql.running import connect  # noqa: PLC0415
    from warehouse.files import open_root  # noqa: PLC0415

    settings = _settings(state)
    with connect(settings.database_url) as conn:
        became = ask_again(conn, open_root(settings.warehouse, settings), now=datetime.now(UTC))
    Console(highlight=False).print(
        f"{became[Became.asked]:,} people are to be erased again; of {became[Became.stands]:,} the database"
        f" knows it, and {became[Became.unknown]:,} it does not have."
    )


def _exam(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise ServerError(f"{text} is no exam's id") from error


def _settings(state: Path | None) -> Settings:
    """Return the settings, with the addresses of the running local stack where they are not set."""
    from deploy.local.stack import database_url_of, evidence_stores_of, warehouse_of  # noqa: PLC0415

    found = load() if state is None else load(state=str(state))
    places = {"warehouse": warehouse_of(found), **evidence_stores_of(found)}
    return msgspec.structs.replace(found, database_url=database_url_of(found), **places)
