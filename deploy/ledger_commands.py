"""
`veritas ledger …`: check the ledger, hand it out, show its public keys.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from deploy.local.server import ServerError
from kernel.settings import Settings, load

if TYPE_CHECKING:
    from deploy.ledger_verify import Progress
    from kernel.checkpoints import Keys

app = typer.Typer(help="Check the ledger, and hand it out.", no_args_is_help=True)
WRONG: Final = 1  # exit code
SHOWN_MAX: Final = 20

StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="Folder of the local stack; VERITAS_STATE or .veritas by default."),
]
KeyOption = Annotated[
    list[str] | None,
    typer.Option("--key", help="Public key as name+hash+key; those of the settings by default. Repeatable."),
]


@app.command()
def verify(
    witness: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="The witness's file; that of the settings by default."
        ),
    ] = None,
    head: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="File with a signed head that you kept. Repeatable."),
    ] = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """
    Check every event, leaf, tile and signed head, and that the log extends what its witness has seen.

    Exits with 1 when anything is wrong, and names it, the first wrong row first.
    """
    from deploy.ledger_verify import verify as check  # noqa: PLC0415

    trusted = [path.read_text(encoding="utf-8") for path in head or ()]
    with _progress("events") as progress:
        report = check(
            _database_url(state),
            _keys(key, state),
            witness=witness or _witness(state),
            trusted=trusted,
            progress=progress,
        )
    for finding in report.findings[:SHOWN_MAX]:
        print(f"WRONG: {finding}")
    if report.findings:
        print(f"{len(report.findings)} findings in {report.size} events")
        raise typer.Exit(WRONG)
    print(f"{report.size} events under {report.heads} signed heads: all holds")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Where to write it.")],
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """
    Write the sealed log and its heads to a file that `deploy/verify_export.py` checks without Veritas.

    Personal values are not in it, only the commitments to them.
    """
    from deploy.ledger_export import export as write  # noqa: PLC0415

    with _progress("events") as progress:
        size = write(_database_url(state), _keys(key, state), file, progress)
    print(f"{size} events written to {file}")


@app.command()
def receipt(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A candidate's saved receipt.")],
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """
    Check a receipt, or the saved proof of one event, as `deploy/verify_export.py` does without Veritas.

    Exits with 1 when anything in it is wrong, and names it; with 2 while it is not sealed.
    """
    from deploy.verify_export import PendingError, WrongError, verify_receipt  # noqa: PLC0415
    from kernel.checkpoints import verifier_keys  # noqa: PLC0415

    try:
        print(verify_receipt(str(file), verifier_keys(_keys(key, state))))
    except WrongError as error:
        print(f"WRONG: {error}")
        raise typer.Exit(WRONG) from error
    except PendingError as error:
        raise ServerError(str(error)) from error


@app.command()
def keys(state: StateOption = None) -> None:
    """Print the public keys that heads are checked with, one a line, to be published."""
    from kernel.checkpoints import verifier_keys  # noqa: PLC0415

    for line in verifier_keys(_keys(None, state)):
        print(line)


def _keys(given: list[str] | None, state: Path | None) -> "Keys":
    import msgspec  # noqa: PLC0415

    from deploy.local.stack import ledger_files  # noqa: PLC0415
    from kernel.checkpoints import CheckpointError, parse_verifier_key, read_keys  # noqa: PLC0415

    settings = _settings(state)
    try:
        if not given:
            paths = settings.ledger_key_files or str(ledger_files(Path(settings.state)).key)
            return read_keys(settings.ledger_origin, paths)
        parsed = [parse_verifier_key(text) for text in given]
        if {each.origin for each in parsed} != {settings.ledger_origin}:
            raise ServerError(f"a key is not one of {settings.ledger_origin} (VERITAS_LEDGER_ORIGIN)")
        verifiers = {number: public for each in parsed for number, public in each.verifiers.items()}
        return msgspec.structs.replace(parsed[0], verifiers=verifiers)
    except CheckpointError as error:
        raise ServerError(str(error)) from error


def _witness(state: Path | None) -> Path | None:
    from deploy.local.stack import ledger_files  # noqa: PLC0415

    settings = _settings(state)
    if settings.ledger_witness_file:
        return Path(settings.ledger_witness_file)
    local = ledger_files(Path(settings.state)).witness
    return local if local.exists() else None


def _settings(state: Path | None) -> Settings:
    return load() if state is None else load(state=str(state))


def _database_url(state: Path | None) -> str:
    from deploy.local.stack import database_url_of  # noqa: PLC0415

    return database_url_of(_settings(state))


@contextmanager
def _progress(unit: str) -> "Iterator[Progress]":
    """Show a bar on a terminal's standard error; nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    with Bar(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(unit, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
