"""
`veritas ledger …`: check the ledger, hand it out, show its public keys.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from deploy.commands.helps import Group
from deploy.local.server import ServerError
from kernel.settings import Settings, load

if TYPE_CHECKING:
    from deploy.verify_export import Verdict
    from kernel.ledger.checkpoints import Keys
    from pipeline.ledger.verify import Progress

app = typer.Typer(cls=Group, help="Check the ledger, and hand it out.", no_args_is_help=True)
# Exit codes, the same as the stand-alone verifier's (deploy/verify_export.py).
WRONG: Final = 1
NOT_VERIFIED: Final = 3
NOT_WITNESSED: Final = 4
SHOWN_MAX: Final = 20

StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="Folder of the local stack; VERITAS_STATE or .veritas by default."),
]
KeyOption = Annotated[
    list[str] | None,
    typer.Option("--key", help="Public key as name+hash+key; those of the settings by default. Repeatable."),
]
WitnessOption = Annotated[
    Path | None,
    typer.Option(dir_okay=False, help="The witness's file; that of the settings by default."),
]


@app.command()
def verify(
    witness: WitnessOption = None,
    head: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="File with a signed head that you kept. Repeatable."),
    ] = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """
    Check the whole ledger, the rows that it speaks of, and that it extends what its witness has seen.

    Exit codes: 0, all of it is under a signed head that a witness has seen; 1, something is wrong, named, the
    first wrong row first; 2, nothing could be checked; 3, nothing is wrong, and a part is not proven: no head
    covers it, or the witness that was named is not there or behind; 4, all holds, and nobody outside has seen
    it.
    """
    from pipeline.ledger.verify import verify as check  # noqa: PLC0415

    trusted = [_text_of(path) for path in head or ()]
    with _reached(), _progress("events") as progress:
        report = check(
            _database_url(state),
            _keys(key, state),
            witness=witness or _witness(state),
            trusted=trusted,
            progress=progress,
        )
    for remark in report.remarks[:SHOWN_MAX]:
        print(f"note: {remark}")
    for finding in report.findings[:SHOWN_MAX]:
        print(f"WRONG: {finding}")
    for sentence in report.unproven[:SHOWN_MAX]:
        print(f"NOT VERIFIED: {sentence}")
    if report.findings:
        print(f"{len(report.findings)} findings in {report.size} events")
        raise typer.Exit(WRONG)
    if report.unproven:
        raise typer.Exit(NOT_VERIFIED)
    seen = "witnessed" if report.is_witnessed else "not witnessed"
    print(
        f"{report.size} events under {report.heads} signed heads, {report.records} records: all holds, {seen}"
    )
    if not report.is_witnessed:
        raise typer.Exit(NOT_WITNESSED)


@app.command()
def archive(state: StateOption = None) -> None:
    """
    Read every file of the event archive, and compare it with what the ledger says of it.

    That the ledger itself holds, `veritas ledger verify` says. Exit codes: 0, every file is the one that was
    told of, and none is missing; 1, something is wrong, named; 2, nothing could be checked.
    """
    from deploy.local.stack import warehouse_of  # noqa: PLC0415
    from pipeline.archive_told import check  # noqa: PLC0415
    from sql.running import connect  # noqa: PLC0415
    from warehouse.files import open_root  # noqa: PLC0415

    settings = load() if state is None else load(state=str(state))
    with _reached(), connect(_database_url(state)) as conn:
        report = check(conn, open_root(warehouse_of(settings), settings))
    for remark in report.remarks[:SHOWN_MAX]:
        print(f"note: {remark}")
    for finding in report.findings[:SHOWN_MAX]:
        print(f"WRONG: {finding}")
    if report.findings:
        print(f"{len(report.findings)} findings")
        raise typer.Exit(WRONG)
    print(f"{report.files:,} files of {report.rows:,} events are as the ledger has them")


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
    from pipeline.ledger.export import export as write  # noqa: PLC0415

    with _reached(), _progress("events") as progress:
        size = write(_database_url(state), _keys(key, state), file, progress)
    print(f"{size} events written to {file}")


@app.command()
def receipt(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A candidate's saved receipt.")],
    witness: WitnessOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """
    Check a receipt, or the saved proof of one event, as `deploy/verify_export.py` does without Veritas.

    Exit codes as `veritas ledger verify` has them; 3 as well while it is not sealed.
    """
    from deploy.verify_export import verify_receipt  # noqa: PLC0415

    _conclude(verify_receipt(str(file), *_checked_with(key, witness, state), []))


@app.command()
def custody(
    saved: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A session's saved custody.")],
    file: Annotated[
        list[Path] | None, typer.Option(exists=True, dir_okay=False, help="A file of it; may be repeated.")
    ] = None,
    witness: WitnessOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """
    Check a saved custody of evidence, and files of it, as `deploy/verify_export.py` does without Veritas.

    Exit codes as `veritas ledger verify` has them; 3 as well while something of it is not sealed.
    """
    from deploy.verify_export import verify_custody  # noqa: PLC0415

    files = [str(each) for each in file or []]
    _conclude(verify_custody(str(saved), files, *_checked_with(key, witness, state), []))


@app.command()
def keys(state: StateOption = None) -> None:
    """Print the public keys that heads are checked with, one a line, to be published."""
    from kernel.ledger.checkpoints import verifier_keys  # noqa: PLC0415

    for line in verifier_keys(_keys(None, state)):
        print(line)


def _checked_with(
    key: list[str] | None, witness: Path | None, state: Path | None
) -> tuple[list[str], list[str]]:
    """Return the public keys and the witness's files to check with."""
    from kernel.ledger.checkpoints import verifier_keys  # noqa: PLC0415

    seen_by = witness or _witness(state)
    return verifier_keys(_keys(key, state)), [] if seen_by is None else [str(seen_by)]


def _conclude(verdict: "Verdict") -> None:
    print("\n".join(verdict.lines()))
    if verdict.code():
        raise typer.Exit(verdict.code())


def _keys(given: list[str] | None, state: Path | None) -> "Keys":
    import msgspec  # noqa: PLC0415

    from deploy.local.stack import ledger_files  # noqa: PLC0415
    from kernel.ledger.checkpoints import CheckpointError, parse_verifier_key, read_keys  # noqa: PLC0415

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
    local = ledger_files(Path(settings.state))
    return local.witness if local.key.exists() else None  # where a stack has been, its witness is expected


def _settings(state: Path | None) -> Settings:
    return load() if state is None else load(state=str(state))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(f"{path} cannot be read: {type(error).__name__}") from error


@contextmanager
def _reached() -> Iterator[None]:
    """Say in a sentence that the database is away: nothing was checked then."""
    from psycopg import OperationalError  # noqa: PLC0415

    try:
        yield
    except OperationalError as error:
        raise ServerError(str(error).strip()) from error


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
