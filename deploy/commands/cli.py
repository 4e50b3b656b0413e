"""
`veritas`, the command line. Commands import what they need when they run, so that `--help` is quick.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from deploy.commands import analytics as analytics_commands
from deploy.commands import importing as import_commands
from deploy.commands import ledger as ledger_commands
from deploy.commands import models as model_commands
from deploy.commands import results as result_commands
from deploy.commands import risk as risk_commands
from deploy.commands.helps import Group
from deploy.commands.rebuilding import rebuild
from deploy.commands.replaying import replay
from deploy.commands.retaining import restore, retain
from deploy.local.server import ServerError
from kernel.running.process import prepare_process
from kernel.settings import Settings, SettingsError, load

CANNOT: Final = 2  # exit code: nothing was done

app = typer.Typer(
    cls=Group,
    help="Exam proctoring at high event rates: run the stack, fill it, look after it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(analytics_commands.app, name="analytics")
import_commands.app.command()(result_commands.results)
import_commands.app.command()(result_commands.drafts)
app.add_typer(import_commands.app, name="import")
app.add_typer(ledger_commands.app, name="ledger")
app.add_typer(model_commands.app, name="model")
app.add_typer(restore, name="restore")
app.add_typer(risk_commands.app, name="risk")
console = Console(highlight=False)

StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="Folder of the local stack; VERITAS_STATE or .veritas by default."),
]


@app.command()
def up(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of everything; 0 takes a free one. [default: 8080]"),
    ] = None,
    ingest_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the ingest processes; 0 takes a free one.")
    ] = 8081,
    state: StateOption = None,
) -> None:
    """
    Start the whole stack on this machine and keep it running until Ctrl-C.

    Starts a private PostgreSQL and Redis, unless VERITAS_DATABASE_URL and VERITAS_REDIS_URL name others;
    migrates, makes the demo's accounts, starts every tier, and starts again whatever dies. What runs where,
    and the accounts, stand in local.json in the state folder. The next start goes on with the same data.
    """
    asyncio.run(_up(port, ingest_port, state))


async def _up(port: int | None, ingest_port: int, state: Path | None) -> None:
    from deploy.local.stack import open_stack  # noqa: PLC0415

    settings = _settings(state)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    starting = asyncio.current_task()
    assert starting is not None, "this is a coroutine of a task"

    def ask_to_stop() -> None:
        if not stop.is_set():
            stop.set()
            starting.cancel()  # wherever the start is; once ready, the wait below

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask_to_stop)
    try:
        async with open_stack(settings, _say, port=port, ingest_port=ingest_port) as stack:
            for account in stack.local.accounts:
                _say(f"  {account.role:<9} {account.email:<24} {account.password}")
            _say("press Ctrl-C to stop")
            await stop.wait()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    _say("stopped")


@app.command()
def demo(
    candidates: Annotated[int, typer.Option(min=1, help="Simulated candidates.")] = 200,
    seconds: Annotated[int, typer.Option(min=5, help="How long they sit the exam.")] = 60,
) -> None:
    """Show the whole chain at work: candidates, events, what is stored, what analysts see; then stop."""
    from deploy.commands.demo import run  # noqa: PLC0415

    raise typer.Exit(run(candidates=candidates, seconds=seconds))


@app.command()
def migrate(
    optional: Annotated[
        list[str] | None, typer.Option("--with", help="Also apply this optional migration; may be repeated.")
    ] = None,
    state: StateOption = None,
) -> None:
    """
    Bring the database's schema up to date. Doing so twice changes nothing.

    The database is VERITAS_OWNER_DATABASE_URL or VERITAS_DATABASE_URL, else that of the running local stack.
    """
    from psycopg import OperationalError  # noqa: PLC0415

    from sql.migrate import MigrationError  # noqa: PLC0415
    from sql.migrate import migrate as apply  # noqa: PLC0415

    try:
        done = apply(_owner_url(state), optional or (), lambda name: _say(f"migration {name} applied"))
    except (MigrationError, OperationalError) as error:
        raise ServerError(str(error).strip()) from error
    _say(f"{len(done)} applied, the schema is up to date")


app.command()(replay)
app.command()(rebuild)
app.command()(retain)


@app.command()
def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    state: StateOption = None,
) -> None:
    """Say what is there, what is not, and how to mend it. Exits with 1 when something required is missing."""
    from deploy.commands.doctor import examine, print_findings  # noqa: PLC0415

    findings = examine(_settings(state))
    print_findings(findings, console, as_json=as_json)
    raise typer.Exit(0 if all(finding.ok or not finding.required for finding in findings) else 1)


def main() -> None:
    """Run the command line; what a person can mend is told in a sentence, without a traceback."""
    prepare_process()
    try:
        app()
    except (ServerError, SettingsError) as error:
        print(error, file=sys.stderr)
        sys.exit(CANNOT)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(CANNOT)


def _settings(state: Path | None) -> Settings:
    return load() if state is None else load(state=str(state))


def _owner_url(state: Path | None) -> str:
    """Return the database's address: the one in the settings, else that of the running local stack."""
    from deploy.local.stack import database_url_of  # noqa: PLC0415

    return database_url_of(_settings(state))


def _say(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
