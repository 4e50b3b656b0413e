"""
Exams in bulk: a file of them in, each made, assigned to its groups and published (spec.md A-8).

An exam is known by its title, among those that the caller made: a file changes nobody else's. The same file
again changes nothing; a changed row changes the exam, and the terms of the groups that it names. Nothing is
taken back by a file: no assignment, no permission.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.inspect import IntType, ListType, Metadata, StrType, StructType, UnionType

from core_api import csv_files
from core_api.actors import Actor
from core_api.csv_files import Columns, LineFault, Row
from core_api.database import Connection
from core_api.exams import assignments, exams, permissions
from core_api.exams.assignments import Assign
from core_api.exams.exams import NewExam, UpdateExam
from core_api.exams.permissions import Grant
from core_api.ledger import entries as ledger
from core_api.wire import check_moments
from kernel import spelling
from kernel.errors import DomainError, UnavailableError
from kernel.events import Role
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("exam_files")
HELD: Final = named("users")
EXAMS_MAX: Final = 200  # of one file: each is some twenty statements
LETTERS_MAX: Final = 1 << 19  # of one file
EVERYBODY: Final = "*"  # in place of groups
FIELDS: Final = (
    "title", "durationMinutes", "groups", "opensAt", "closesAt", "evaluation", "teachers", "attemptsAllowed",
    "subject", "topic", "description", "published",
)  # fmt: skip
REQUIRED: Final = ("title", "durationMinutes", "groups")
# What a refusal calls a value, by the column that it came from.
COLUMN_OF: Final[Mapping[str, str]] = {
    "duration_minutes": "durationMinutes",
    "opens_at": "opensAt",
    "closes_at": "closesAt",
    "attempts_allowed": "attemptsAllowed",
    "evaluation_version_id": "evaluation",
    "group_ids": "groups",
    "user_id": "teachers",
}


class ImportExams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of exams, and what to do with it."""

    exams: Annotated[
        str,
        Meta(
            max_length=LETTERS_MAX,
            description="The text of a CSV file: a header, then an exam a line; comma, semicolon or tab.",
        ),
    ]
    columns: Columns = {}
    dry_run: Annotated[bool, Meta(description="Say what would be done, and do nothing.")] = False
    partial: Annotated[bool, Meta(description="Take the good rows where others are faulty.")] = False


class ImportedExam(msgspec.Struct, frozen=True, kw_only=True):
    """An exam of the file; in a dry run the `id` of one that would be made is null."""

    id: UUID | None
    title: str


class ImportedExams(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, or would be done in a dry run; `faults` are the first hundred of `faulty`."""

    dry_run: bool
    created: int
    updated: int
    unchanged: int
    exams: list[ImportedExam]
    faulty: int
    faults: list[LineFault]


class _Outcome(msgspec.Struct, frozen=True):
    """What became of a row."""

    exam_id: UUID
    created: bool
    changed: bool


class _UndoneError(Exception):
    """Nothing of what was done is to stay."""


class _FaultError(Exception):
    """A column of a row is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


async def import_exams(
    conn: Connection, actor: Actor, command: ImportExams, *, settings: Settings, now: datetime
) -> ImportedExams:
    """
    Make and change exams as the file says, all or none unless the good rows are asked for.

    Raises:
        InvalidInputError: the file cannot be read, or rows are faulty; nothing was written.
    """
    csv_files.check_columns(command.columns, FIELDS)
    limits = csv_files.Limits(
        lines=min(settings.import_lines_max, EXAMS_MAX), characters=settings.import_field_chars_max
    )
    sheet = await asyncio.to_thread(
        csv_files.read,
        command.exams,
        "exams.csv",
        FIELDS,
        required=REQUIRED,
        columns=command.columns,
        limits=limits,
    )
    faults, done = list(sheet.faults), []
    lines: dict[str, int] = {}
    with suppress(_UndoneError):
        async with conn.transaction():
            # Of two imports at once the second finds what the first has made.
            await conn.execute(HELD["hold_organisation"], actor.organisation_id)
            for row in sheet.rows:
                try:
                    done.append((row, await _one(conn, actor, row, lines, now=now)))
                except _FaultError as fault:
                    faults.append(row.fault(fault.field, fault.message))
            if command.dry_run or (faults and not command.partial):
                raise _UndoneError
    if faults and not (command.dry_run or command.partial):
        raise csv_files.refusal(faults)
    made = [outcome for _, outcome in done if outcome.created]
    changed = [outcome for _, outcome in done if outcome.changed and not outcome.created]
    return ImportedExams(
        dry_run=command.dry_run,
        created=len(made),
        updated=len(changed),
        unchanged=len(done) - len(made) - len(changed),
        exams=[
            ImportedExam(id=None if command.dry_run and made.created else made.exam_id, title=row["title"])
            for row, made in done
        ],
        faulty=len(faults),
        faults=csv_files.shown_of(faults),
    )


async def _one(conn: Connection, actor: Actor, row: Row, lines: dict[str, int], *, now: datetime) -> _Outcome:
    """Make or change the exam of a row; raises _FaultError, and then nothing of it was done."""
    if row["title"] in lines:
        raise _FaultError("title", f"the same title as in line {lines[row['title']]}")
    lines[row["title"]] = row.line
    try:
        async with conn.transaction():
            with ledger.appended() as told:
                exam_id, created = await _exam(conn, actor, row, now=now)
                await _assign(conn, actor, exam_id, row, now=now)
                await _permit(conn, actor, exam_id, row, now=now)
                await _publish(conn, actor, exam_id, row, created=created, now=now)
            return _Outcome(exam_id, created, changed=bool(told))
    except UnavailableError:
        raise
    except DomainError as error:
        first = (error.errors or [{"path": "", "message": error.detail}])[0]
        raise _FaultError(COLUMN_OF.get(first["path"], first["path"]), first["message"]) from error


async def _exam(conn: Connection, actor: Actor, row: Row, *, now: datetime) -> tuple[UUID, bool]:
    found = await QUERIES.run(conn.fetch, "find_exams_titled", title=row["title"], **actor.reach)
    own = [each["id"] for each in found if each["is_own"]]
    if len(own) > 1:
        raise _FaultError("title", "several of your exams have this title")
    if found and not own:
        message = "an exam that somebody else made has this title; a file changes none but yours"
        raise _FaultError("title", message)
    given: dict[str, Any] = {
        "title": row["title"],
        "duration_minutes": row["durationMinutes"],
        **{field: row[field] for field in ("subject", "topic", "description") if row[field]},
    }
    new = _converted(given, NewExam)
    if not own:
        version = await _version(conn, actor, row, None)
        made = msgspec.structs.replace(new, evaluation_version_id=version or None)
        return (await exams.create(conn, actor, made, now=now)).id, True
    exam_id: UUID = own[0]
    current = (await exams.fetch(conn, actor, exam_id)).evaluation_version_id
    changes = UpdateExam(
        **{name: getattr(new, name) for name in given},
        evaluation_version_id=await _version(conn, actor, row, current),
    )
    await exams.update(conn, actor, exam_id, changes, now=now)
    return exam_id, False


async def _version(conn: Connection, actor: Actor, row: Row, current: UUID | None) -> UUID | UnsetType:
    """Return the newest version of the evaluation of that title; UNSET where the exam has one of it."""
    title = row["evaluation"]
    if not title:
        return UNSET
    rows = await QUERIES.run(conn.fetch, "list_versions_titled", title=title, **actor.reach)
    if not rows:
        raise _FaultError("evaluation", "no published evaluation of this title that you may use")
    if len({each["evaluation_id"] for each in rows}) > 1:
        raise _FaultError("evaluation", "several evaluations have this title")
    if current in {each["id"] for each in rows}:
        return UNSET
    newest: UUID = rows[0]["id"]
    return newest


async def _assign(conn: Connection, actor: Actor, exam_id: UUID, row: Row, *, now: datetime) -> None:
    if not row["groups"]:
        raise _FaultError("groups", f"name a group, or {EVERYBODY} for every student of the organisation")
    terms = {
        "opens_at": _moment(row, "opensAt"),
        "closes_at": _moment(row, "closesAt"),
        "attempts_allowed": row["attemptsAllowed"] or None,
    }
    if row["groups"] == EVERYBODY:
        if any(terms.values()):
            raise _FaultError("groups", "a window and attempts are of groups: name them")
        return
    names = csv_files.listed(row["groups"])
    rows = await conn.fetch(QUERIES["find_groups_named"], actor.organisation_id, names)
    groups = {each["name"]: each["id"] for each in rows}
    if missing := [each for each in names if each not in groups]:
        raise _FaultError("groups", f"no group is called {missing[0][:100]}; import the people first")
    command = _converted({**terms, "group_ids": [*groups.values()]}, Assign)
    await assignments.assign(conn, actor, exam_id, command, now=now)


async def _permit(conn: Connection, actor: Actor, exam_id: UUID, row: Row, *, now: datetime) -> None:
    """Let the teachers of a row edit the exam and see its analytics, other staff look at it."""
    addresses = list(map(spelling.looked_up, csv_files.listed(row["teachers"])))
    if not addresses:
        return
    if not actor.sees_organisation:
        raise _FaultError("teachers", "only an admin lets others reach an exam; leave it empty")
    found = await conn.fetch(QUERIES["find_staff_at"], actor.organisation_id, addresses)
    staff = {each["email"]: each for each in found}
    if any(each not in staff for each in addresses):
        raise _FaultError("teachers", "somebody is no teacher, reviewer or observer of your organisation")
    for each in staff.values():
        teaches = each["role"] == Role.teacher
        grant = Grant(user_id=each["id"], can_edit=teaches, can_view_analytics=teaches)
        await permissions.grant(conn, actor, exam_id, grant, now=now)


async def _publish(
    conn: Connection, actor: Actor, exam_id: UUID, row: Row, *, created: bool, now: datetime
) -> None:
    """Open or close the exam as the row says; where it says nothing, one that is new is opened."""
    word = row["published"].lower()
    if word not in csv_files.YES | csv_files.NO | {""}:
        raise _FaultError("published", "Expected yes or no")
    if word or created:
        await exams.set_published(conn, actor, exam_id, published=word not in csv_files.NO, now=now)


def _moment(row: Row, field: str) -> datetime | None:
    text = row[field]
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise _FaultError(field, "Expected a time as 2026-12-01T09:00+01:00") from error
    if found.tzinfo is None:
        raise _FaultError(field, "Expected a time zone behind the time: 2026-12-01T09:00+01:00, or Z for UTC")
    try:
        check_moments(found)
    except ValueError as error:
        raise _FaultError(field, str(error)) from error
    return found


def _converted(given: Mapping[str, Any], kind: type[csv_files.T]) -> csv_files.T:
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        name = path.rstrip("`")
        raise _FaultError(COLUMN_OF.get(name, name), _expected(kind, name) or message) from error


def _expected(kind: type, name: str) -> str | None:
    """Return what a column holds, in words for whoever has a sheet before them; None where no type says."""
    struct = msgspec.inspect.type_info(kind)
    assert isinstance(struct, StructType), "rows are made of structs"
    found = {field.name: field.type for field in struct.fields}.get(name)
    if isinstance(found, Metadata):
        found = found.type
    for each in found.types if isinstance(found, UnionType) else [found]:
        match each:
            case IntType(ge=least, le=most):
                return f"Expected a whole number from {least} to {most:,}"
            case StrType(min_length=least, max_length=most):
                return f"Expected {least or 0} to {most:,} characters"
            case ListType(max_length=most):
                return f"Expected at most {most:,} names"
    return None
