"""
Programmes and their versions, as staff make them: drafted, published, retired by the next (spec.md M-3).

A version's requirements are written with it and never change; who is enrolled stays in theirs.
"""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, fetch_page, of_row
from core_api.ledger import entries as ledger
from core_api.programmes.states import Party, VersionState, require_version_move
from core_api.wire import NO_NUL, ListPage, Page, check_moments, shown_as
from kernel.errors import ConflictError, InvalidInputError, NotFoundError
from kernel.ledger.kinds import Kind
from kernel.programmes import REQUIREMENTS_MAX, AnyRequirement, exams_of, faults_of
from sql import named

QUERIES: Final = named("programmes")

Title = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)]
Requirements = Annotated[list[AnyRequirement], Meta(min_length=1, max_length=REQUIREMENTS_MAX)]


class NewProgrammeVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the version asks: all of these."""

    requirements: Requirements

    def __post_init__(self) -> None:
        """Hold the moments to what can be counted with."""
        check_moments(*(each.before for each in self.requirements))


class NewProgramme(NewProgrammeVersion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A programme with the draft of its first version."""

    title: Title
    title_ar: Title | None = None


class ListedProgramme(msgspec.Struct, frozen=True, kw_only=True):
    """A programme in the list; people are enrolled in its published version."""

    programme_id: UUID
    title: str
    title_ar: str | None
    creator_id: UUID
    created_at: datetime
    published_version: int | None


class Programmes(Page, frozen=True, kw_only=True):
    """A page of programmes, newest first; `next_cursor` is null on the last page."""

    programmes: list[ListedProgramme]


class ProgrammeVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version, with what it asks."""

    version: int
    state: VersionState
    drafted_at: datetime
    published_at: datetime | None
    requirements: list[AnyRequirement]


class Programme(msgspec.Struct, frozen=True, kw_only=True):
    """A programme with its versions, newest first."""

    programme_id: UUID
    title: str
    title_ar: str | None
    creator_id: UUID
    created_at: datetime
    versions: list[ProgrammeVersion]


async def create(conn: Connection, actor: Actor, command: NewProgramme, *, now: datetime) -> Programme:
    """
    Create a programme; its first version is a draft.

    Raises:
        InvalidInputError: a requirement that cannot be asked.
        NotFoundError: it is of an exam that the caller may not edit.
    """
    async with conn.transaction():
        programme_id = uuid7()
        await QUERIES.run(
            conn.execute, "insert_programme", id=programme_id, organisation=actor.organisation_id,
            creator_id=actor.user_id, title=command.title, title_ar=command.title_ar, now=now,
        )  # fmt: skip
        await _draft(conn, actor, programme_id, command, now=now)
        await ledger.record(conn, ledger.by(actor, Kind.programme_created, programme_id, now=now))
        return await fetch(conn, actor, programme_id)


async def draft(
    conn: Connection, actor: Actor, programme_id: UUID, command: NewProgrammeVersion, *, now: datetime
) -> Programme:
    """
    Draft a further version.

    Raises:
        NotFoundError: not the caller's programme, or an exam that they may not edit.
        InvalidInputError: a requirement that cannot be asked.
    """
    async with conn.transaction():
        await require(conn, actor, programme_id)
        await conn.fetch(QUERIES["hold_versions"], programme_id)
        version = await _draft(conn, actor, programme_id, command, now=now)
        detail = {"version": version}
        await ledger.record(
            conn, ledger.by(actor, Kind.programme_drafted, programme_id, now=now, detail=detail)
        )
        return await fetch(conn, actor, programme_id)


async def publish(conn: Connection, actor: Actor, programme_id: UUID, *, now: datetime) -> Programme:
    """
    Publish the newest version; all others are retired.

    Raises:
        NotFoundError: not the caller's programme.
        ConflictError: the newest is no draft any more.
    """
    async with conn.transaction():
        await require(conn, actor, programme_id)
        *others, newest = await conn.fetch(QUERIES["hold_versions"], programme_id)
        require_version_move(VersionState(newest["state"]), VersionState.published, Party.staff)
        retired = [each for each in others if each["state"] != VersionState.retired]
        for each in retired:
            await _move(conn, programme_id, each["version"], VersionState.retired, None)
        await _move(conn, programme_id, newest["version"], VersionState.published, now)
        detail = {"version": newest["version"], "retired": [each["version"] for each in retired]}
        await ledger.record(
            conn, ledger.by(actor, Kind.programme_published, programme_id, now=now, detail=detail)
        )
        return await fetch(conn, actor, programme_id)


async def list_visible(conn: Connection, actor: Actor, query: ListPage) -> Programmes:
    """Return a page of the caller's programmes, or of all of the organisation."""
    page, following = await fetch_page(
        conn, query, QUERIES, "list_programmes", key="programme_id", **actor.reach
    )
    return Programmes(programmes=[of_row(row, ListedProgramme) for row in page], next_cursor=following)


async def fetch(conn: Connection, actor: Actor, programme_id: UUID) -> Programme:
    """Return a programme; raises NotFoundError when it is not the caller's."""
    row = await require(conn, actor, programme_id)
    versions = await conn.fetch(QUERIES["list_versions"], programme_id)
    return of_row(
        row,
        Programme,
        versions=[
            of_row(each, ProgrammeVersion, requirements=asked(each["requirements"])) for each in versions
        ],
    )


async def require(conn: Connection, actor: Actor, programme_id: UUID) -> Any:  # noqa: ANN401  a row
    """Return a programme's row; raises NotFoundError when it is not the caller's."""
    return await fetch_one(
        conn, "programme", *QUERIES.bind("fetch_programme", id=programme_id, **actor.reach)
    )


async def published(conn: Connection, programme_id: UUID) -> int:
    """Return the version that is published, locked; raises ConflictError where none is."""
    for each in await conn.fetch(QUERIES["hold_versions"], programme_id):
        if each["state"] == VersionState.published:
            return int(each["version"])
    raise ConflictError("No version of this programme is published.")


def asked(stored: Any) -> list[AnyRequirement]:  # noqa: ANN401  JSON
    """Return requirements as they are stored, for a reply."""
    return shown_as(stored, list[AnyRequirement])  # type: ignore[no-any-return]


async def _draft(
    conn: Connection, actor: Actor, programme_id: UUID, command: NewProgrammeVersion, *, now: datetime
) -> int:
    if faults := list(faults_of(command.requirements)):
        raise InvalidInputError(
            "These requirements cannot be asked.",
            errors=[{"path": f"requirements{path}", "message": message} for path, message in faults],
        )
    exams = {exam_id for each in command.requirements for exam_id in exams_of(each)}
    reach = {name: actor.reach[name] for name in ("organisation", "sees_organisation")}
    if await QUERIES.run(conn.fetch, "list_closed_exams", exam_ids=sorted(exams), **reach):
        raise NotFoundError("There is no such exam, or none that you may edit.")
    version: int = await QUERIES.run(conn.fetchval, "insert_version", programme_id=programme_id, now=now)
    stored = msgspec.json.encode(command.requirements).decode()
    await QUERIES.run(
        conn.execute, "insert_requirements", programme_id=programme_id, version=version, requirements=stored
    )
    return version


async def _move(
    conn: Connection, programme_id: UUID, version: int, state: VersionState, published_at: datetime | None
) -> None:
    await QUERIES.run(
        conn.execute, "set_version_state", programme_id=programme_id, version=version, state=state,
        published_at=published_at,
    )  # fmt: skip
