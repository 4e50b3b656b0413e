"""
`veritas replay`: a file of real records, sent through the API and counted back.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deploy.commands.importing import PasswordFileOption, PasswordOption, StateOption, UrlOption
from deploy.local.passwords import ask_password, password_of


class Fold(StrEnum):
    """Which of two moments at which a clock showed the same."""

    earlier = "earlier"
    later = "later"


FileArgument = Annotated[
    Path,
    typer.Argument(
        dir_okay=False, help="CSV, TSV or NDJSON, packed with gzip or zstd or not; - reads standard input."
    ),
]
MappingOption = Annotated[
    Path | None,
    typer.Option(help="TOML that says which columns are what; a shipped one that fits by default."),
]
EncodingOption = Annotated[
    str | None,
    typer.Option(help="Of the text, as Python names it (cp1252 say); by its mark, else UTF-8."),
]
DelimiterOption = Annotated[
    str | None, typer.Option(help="Between two fields of a CSV file; the mapping's by default.")
]
TimezoneOption = Annotated[
    str | None,
    typer.Option(help="Zone of times without an offset (Europe/Rome say); the mapping's by default."),
]
FoldOption = Annotated[
    Fold | None,
    typer.Option(help="Which is meant of two moments at which clocks showed the same (put back in autumn)."),
]
SpeedOption = Annotated[
    float,
    typer.Option(min=0, help="1 is the file's own pace, 60 a minute in a second, 0 as fast as it goes."),
]
ConcurrencyOption = Annotated[int, typer.Option(min=1, help="Sessions replayed at a time.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Rows at most.")]
ReportOption = Annotated[
    Path | None,
    typer.Option(help="Where to write the outcome as JSON: all counts, and the first findings of a kind."),
]
FindingsOption = Annotated[
    Path | None,
    typer.Option(help="Where to write every row that is refused or doubtful: a line of JSON for each."),
]
IngestUrlOption = Annotated[str | None, typer.Option(help="Where events go; the deployment's by default.")]
DatabaseUrlOption = Annotated[
    str | None,
    typer.Option(help="Database of the named deployment, to make candidates and to count back."),
]
EmailOption = Annotated[str | None, typer.Option(help="A teacher's account on the named deployment.")]


def replay(
    file: FileArgument,
    *,
    mapping: MappingOption = None,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    timezone: TimezoneOption = None,
    fold: FoldOption = None,
    speed: SpeedOption = 0.0,
    concurrency: ConcurrencyOption = 128,
    limit: LimitOption = None,
    report: ReportOption = None,
    findings: FindingsOption = None,
    url: UrlOption = None,
    ingest_url: IngestUrlOption = None,
    database_url: DatabaseUrlOption = None,
    email: EmailOption = None,
    password: PasswordOption = None,
    password_file: PasswordFileOption = None,
    state: StateOption = None,
) -> None:
    """
    Send a file of real records through the API as good clients would, and count the events back.

    Every row of the file is stored, or named with its line, its column and why it is not. A row is refused
    where nobody can say whose it is, when it happened or what it is: nothing is guessed, no encoding, no time
    zone and no missing value. What only describes an event is sent as it stands, and the row called doubtful.

    Exits with 0 when every row is stored, every event exactly once; 1 when what was sent is not; 2 when
    nothing was done: no stack, a mapping with a mistake, a file that cannot be read; 3 when rows are refused,
    and the others are stored; 4 when the file holds no rows.
    """
    from kernel.files.rows import Options  # noqa: PLC0415
    from kernel.settings import load  # noqa: PLC0415
    from loadtests.replay.replay import run  # noqa: PLC0415

    known = password_of(password, password_file)
    code = run(
        file,
        mapping,
        url,
        ingest_url=ingest_url,
        database_url=database_url,
        email=email,
        password=ask_password() if url and email and known is None else known,
        state=state or Path(load().state),
        options=Options(
            encoding=encoding,
            delimiter=delimiter,
            zone=timezone,
            fold=fold.value if fold else None,
            limit=limit,
        ),
        speed=speed,
        concurrency=concurrency,
        report=report,
        findings=findings,
    )
    raise typer.Exit(code)
