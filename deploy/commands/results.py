"""
`veritas import results` and `veritas import drafts`: results from elsewhere, sent over HTTP as an admin.

Everything is read and tried first, without being written; then it is sent, some results a request. What was
cut short is completed by the same command: what is there already changes nothing.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from deploy.commands.importing import (
    DryRunOption,
    EmailOption,
    PasswordFileOption,
    PasswordOption,
    StateOption,
    UrlOption,
)
from deploy.commands.replaying import (
    DelimiterOption,
    EncodingOption,
    FindingsOption,
    Fold,
    FoldOption,
    LimitOption,
    TimezoneOption,
)
from deploy.commands.signed_in import FAULTY, Session, signed_in
from deploy.local.passwords import password_of
from deploy.local.server import ServerError

if TYPE_CHECKING:
    from deploy.imports.mapping import Mapping
    from deploy.imports.planning import Exam, Plan
    from kernel.files.findings import Finding

PATH: Final = "/api/admin/results/import"
RESULTS: Final = 50  # of one request
ANSWERS: Final = 10_000  # of one request
BODY_BYTES: Final = 1 << 20  # of one request, about
SHOWN: Final = 100  # findings on the screen

FileArgument = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, help="CSV, TSV or NDJSON, packed or not, or Parquet."),
]
MappingOption = Annotated[
    Path | None,
    typer.Option(dir_okay=False, help="TOML that says what is what, in place of the options."),
]
ItemsOption = Annotated[
    Path | None,
    typer.Option(
        dir_okay=False, help="File of items: item, kind, text, options, key, tolerance, points, topics."
    ),
]
ExamOption = Annotated[str | None, typer.Option(help="Title of the exam; {column} stands for its value.")]
CandidateOption = Annotated[str, typer.Option(help="Who it is: a column, or a text with {column} in it.")]
ItemOption = Annotated[str, typer.Option(help="Which item: a column, or a text with {column} in it.")]
OptionOption = Annotated[str | None, typer.Option("--option", help="Column: what was chosen.")]
ResponseOption = Annotated[str | None, typer.Option(help="Column: what was written.")]
ScoreOption = Annotated[str | None, typer.Option(help="Column: points of the item.")]
MaxScoreOption = Annotated[str | None, typer.Option(help="Column: what the points could have been.")]
PointsOption = Annotated[float, typer.Option(min=0.01, help="What an item is worth where nothing says it.")]
SecondsOption = Annotated[str | None, typer.Option(help="Column: time on the item, in seconds.")]
KeyOption = Annotated[str | None, typer.Option(help="Column: the item's key; several with bars between.")]
TopicsOption = Annotated[str | None, typer.Option(help="Column: the item's topics, with bars between.")]
TimeOption = Annotated[str | None, typer.Option(help="Column: when it was handed in, or, of a text, saved.")]
TimeFormatOption = Annotated[str, typer.Option(help="Of the time: iso, epoch_s, epoch_ms, or strptime's.")]
AtOption = Annotated[
    str | None,
    typer.Option(help="When all of it was handed in, where no column says it: 2015-01-20T10:00+01:00."),
]
TextOption = Annotated[str, typer.Option(help="Column: the text.")]
VersionOption = Annotated[
    str | None,
    typer.Option("--text-version", help="Column: its number; by time if none, or as they stand."),
]
NamedOption = Annotated[
    bool, typer.Option("--named", help="Call new candidates as the file does; else by a pseudonym.")
]
PartialOption = Annotated[
    bool, typer.Option("--partial", help="Leave out the results that have a faulty row, and list them.")
]


def results(
    file: FileArgument,
    *,
    exam: ExamOption = None,
    candidate: CandidateOption = "candidate",
    item: ItemOption = "item",
    option: OptionOption = None,
    response: ResponseOption = None,
    score: ScoreOption = None,
    max_score: MaxScoreOption = None,
    points: PointsOption = 1.0,
    seconds: SecondsOption = None,
    key: KeyOption = None,
    topics: TopicsOption = None,
    items: ItemsOption = None,
    time: TimeOption = None,
    time_format: TimeFormatOption = "iso",
    at: AtOption = None,
    mapping: MappingOption = None,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    timezone: TimezoneOption = None,
    fold: FoldOption = None,
    limit: LimitOption = None,
    named: NamedOption = False,
    dry_run: DryRunOption = False,
    partial: PartialOption = False,
    findings: FindingsOption = None,
    url: UrlOption = None,
    email: EmailOption = None,
    password: PasswordOption = None,
    password_file: PasswordFileOption = None,
    state: StateOption = None,
) -> None:
    """
    Import results: who answered which item how, with what score; the same file again changes nothing.

    A row is an answer. Columns that are called as the options are need no option: candidate, item, option or
    response, score, seconds, time, max_score, key, topics. Each exam of the file becomes an exam that is open
    to nobody; who is not there yet gets an account that nobody can sign in to. A faulty row is named with its
    line and why, and nothing is stored.

    Exits with 0 when it is done, 1 when rows are faulty, 2 when nothing could be done.
    """
    fields = {
        "option": option, "response": response, "score": score, "max_score": max_score, "seconds": seconds,
        "key": key, "topics": topics, "points": points,
    }  # fmt: skip
    names = (exam or file.name.partition(".")[0], candidate, item)
    chosen = _mapping(mapping, names, time, time_format, fields)
    options = {"encoding": encoding, "delimiter": delimiter, "zone": timezone, "fold": fold, "limit": limit}
    plan = _planned(file, chosen, items, at, options, is_mapped=mapping is not None)
    session = signed_in(url, email, password_of(password, password_file), state, {})
    _import(plan, file, session, findings, named=named, dry_run=dry_run, partial=partial)


def drafts(
    file: FileArgument,
    *,
    exam: ExamOption = None,
    candidate: CandidateOption = "candidate",
    item: ItemOption = "question",
    text: TextOption = "text",
    version: VersionOption = None,
    score: ScoreOption = None,
    points: PointsOption = 1.0,
    items: ItemsOption = None,
    time: TimeOption = None,
    time_format: TimeFormatOption = "iso",
    at: AtOption = None,
    mapping: MappingOption = None,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    timezone: TimezoneOption = None,
    fold: FoldOption = None,
    limit: LimitOption = None,
    named: NamedOption = False,
    dry_run: DryRunOption = False,
    partial: PartialOption = False,
    findings: FindingsOption = None,
    url: UrlOption = None,
    email: EmailOption = None,
    password: PasswordOption = None,
    password_file: PasswordFileOption = None,
    state: StateOption = None,
) -> None:
    """
    Import texts with their versions; the same file again changes nothing.

    A row is one version of a text; the last one is what was handed in. Columns that are called candidate,
    question, text, version, time and score need no option. Everything else is as `veritas import results` has
    it.
    """
    fields = {"text": text, "version": version, "score": score, "points": points}
    names = (exam or file.name.partition(".")[0], candidate, item)
    chosen = _mapping(mapping, names, time, time_format, fields)
    options = {"encoding": encoding, "delimiter": delimiter, "zone": timezone, "fold": fold, "limit": limit}
    plan = _planned(file, chosen, items, at, options, is_mapped=mapping is not None)
    session = signed_in(url, email, password_of(password, password_file), state, {})
    _import(plan, file, session, findings, named=named, dry_run=dry_run, partial=partial)


def _mapping(
    path: Path | None,
    names: tuple[str, str, str],
    time: str | None,
    time_format: str,
    fields: dict[str, Any],
) -> "Mapping":
    """Return the mapping of a file, or what the options say of exam, candidate, item; raises ServerError."""
    from deploy.imports.mapping import Mapping, check, read_mapping  # noqa: PLC0415
    from kernel.files.mapping import MappingError, TimeColumn  # noqa: PLC0415

    try:
        if path is not None:
            return read_mapping(path)
        exam, candidate, item = names
        chosen = Mapping(
            exam=exam,
            candidate=_template(candidate),
            item=_template(item),
            time=None if time is None else TimeColumn(column=time, format=time_format),
            **fields,
        )
        check(chosen)
    except MappingError as error:
        raise ServerError(str(error)) from error
    return chosen


def _template(text: str) -> str:
    """Return a column's name as a text with the column in it; a text that has one stays."""
    return text if "{" in text else f"{{{text}}}"


def _planned(
    file: Path,
    mapping: "Mapping",
    items: Path | None,
    at: str | None,
    options: dict[str, Any],
    *,
    is_mapped: bool,
) -> "Plan":
    """Read the file; raises ServerError where it cannot be."""
    from deploy.imports.planning import Source, plan  # noqa: PLC0415
    from kernel.files.mapping import MappingError  # noqa: PLC0415
    from kernel.files.reading import UnreadableError  # noqa: PLC0415
    from kernel.files.rows import Options  # noqa: PLC0415

    fold: Fold | None = options["fold"]
    source = Source(
        file=file,
        mapping=mapping,
        items=items,
        at=None if at is None else _moment(at),
        is_mapped=is_mapped,
        options=Options(**options | {"fold": None if fold is None else fold.value}),
    )
    try:
        return plan(source)
    except UnreadableError as error:
        raise ServerError(f"{file} cannot be read: {error}") from error
    except MappingError as error:
        raise ServerError(str(error)) from error


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ServerError("--at takes a time as 2015-01-20T10:00+01:00") from error
    if found.tzinfo is None:
        raise ServerError("--at takes a time with its zone: 2015-01-20T10:00+01:00, or Z for UTC")
    return found


def parts(exam: "Exam") -> Iterator[Sequence[Any]]:
    """Yield an exam's results some at a time, as many as one request may hold."""
    import msgspec  # noqa: PLC0415

    part: list[Any] = []
    answers = size = 0
    for each in exam.results:
        length = len(msgspec.json.encode(each))
        if part and (
            len(part) == RESULTS or answers + len(each.answers) > ANSWERS or size + length > BODY_BYTES
        ):
            yield part
            part, answers, size = [], 0, 0
        part.append(each)
        answers += len(each.answers)
        size += length
    if part:
        yield part


def _import(
    plan: "Plan",
    file: Path,
    session: Session,
    findings: Path | None,
    *,
    named: bool,
    dry_run: bool,
    partial: bool,
) -> None:
    """Try everything, then write it; print what was done, and exit."""
    requests = [
        {"file_sha256": plan.file_sha256, "exam": exam.form, "results": part, "named": named}
        for exam in plan.exams
        for part in parts(exam)
    ]
    print(f"{file.name}: {plan.rows:,} rows, {len(plan.exams):,} exams, ", end="")
    print(f"{sum(len(exam.results) for exam in plan.exams):,} results")
    if plan.unread:
        print(f"not read: {', '.join(plan.unread)}; name them with an option or a --mapping")
    tried = _sent(session, requests, "trying", dry_run=True)
    _tell(file, plan.findings, [fault for done in tried for fault in done["faults"]], findings)
    faulty = len(plan.findings) + sum(done["faulty"] for done in tried)
    if faulty and not (partial or dry_run):
        print("nothing was stored; --partial leaves these out", file=sys.stderr)
        raise typer.Exit(FAULTY)
    done = tried if dry_run else _sent(session, requests, "storing", dry_run=False)
    _conclude(done, faulty, dry_run=dry_run)


def _sent(session: Session, requests: Sequence[dict[str, Any]], what: str, *, dry_run: bool) -> list[Any]:
    """Send the requests one after another; return what they were answered."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    answered = []
    with Progress(*columns) as bar:
        task = bar.add_task(what, total=sum(len(each["results"]) for each in requests))
        for request in requests:
            answered.append(session(PATH, {**request, "dry_run": dry_run, "partial": True}))
            bar.advance(task, len(request["results"]))
    return answered


def _tell(
    file: Path, found: Sequence["Finding"], refused: Sequence[dict[str, str]], path: Path | None
) -> None:
    """Print what is wrong with rows, and write all of it where asked to."""
    import msgspec  # noqa: PLC0415

    lines = [str(each) for each in found]
    lines += [f"{each['path']}: {each['message']}" for each in refused]
    for each in lines[:SHOWN]:
        print(f"{file.name} {each}", file=sys.stderr)
    if len(lines) > SHOWN:
        print(f"and {len(lines) - SHOWN:,} more: --findings FILE gets them all", file=sys.stderr)
    if path is not None:
        path.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in (*found, *refused)))


def _conclude(done: Sequence[dict[str, Any]], faulty: int, *, dry_run: bool) -> None:
    """Print what was done, and exit."""
    would = "would be " if dry_run else ""
    made = len({each["exam_id"] for each in done if each["exam_created"]})
    created, unchanged = (sum(each[name] for each in done) for name in ("created", "unchanged"))
    print(f"exams: {made:,} {would}made")
    print(f"results: {created:,} {would}stored, {unchanged:,} there already")
    if not dry_run:
        print(f"candidates: {sum(each['candidates_created'] for each in done):,} made")
        for exam_id in dict.fromkeys(each["exam_id"] for each in done):
            print(f"exam {exam_id}")
    if faulty:
        print(f"{faulty:,} faulty", file=sys.stderr)
    raise typer.Exit(FAULTY if faulty else 0)
