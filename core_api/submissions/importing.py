"""
Results from elsewhere, brought in by an admin (spec.md W-7).

A request holds a form and some results of it. One transaction makes what is missing: the exam, accounts that
nobody can sign in to, and the results (`imported.py` beside it). A result is known by its candidate, exam and
number: sent again it changes nothing, and another one under the same name is a fault. What is imported is
never changed by an import.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api import csv_files
from core_api.actors import Actor
from core_api.authoring.items import fault_of_response
from core_api.csv_files import LineFault
from core_api.database import Connection
from core_api.ledger import entries as ledger
from core_api.ledger.entries import Personal
from core_api.submissions import imported_forms, imported_groups
from core_api.submissions.imported import GivenResult, Made, all_made, digest_of, key_of, write
from core_api.submissions.imported_forms import Form, ImportedForm
from kernel.errors import ConflictError, OverloadedError
from kernel.events import Role
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("imported")
RETRY_S: Final = 1
RESULTS_MAX: Final = 200  # of one request
ANSWERS_MAX: Final = 20_000  # of one request, in all
AT_ONCE: Final = 20  # results that are made and written together
DOMAIN: Final = "imported.invalid"  # a domain that never is one (RFC 2606)


class ImportResults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A form and results of it, from a file of that SHA-256 (hex)."""

    file_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$(?!\n)")]
    exam: ImportedForm
    results: Annotated[list[GivenResult], Meta(max_length=RESULTS_MAX)] = []
    named: Annotated[bool, Meta(description="Call new candidates as the file does; else by a pseudonym.")] = (
        False
    )
    dry_run: Annotated[bool, Meta(description="Say what would be done, and do nothing.")] = False
    partial: Annotated[bool, Meta(description="Take the good results where others are faulty.")] = False

    def __post_init__(self) -> None:
        """Bound what one request may write."""
        if sum(len(each.answers) for each in self.results) > ANSWERS_MAX:
            message = f"Expected at most {ANSWERS_MAX:,} answers in all"
            raise ValueError(message)


class ImportedResults(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was done, or would be done in a dry run: `exam_id` is null where the exam would be made. `faults` are
    the first hundred of `faulty`.
    """

    dry_run: bool
    exam_id: UUID | None
    exam_created: bool
    candidates_created: int
    created: int
    unchanged: int
    faulty: int
    faults: list[LineFault]


class _UndoneError(Exception):
    """Nothing of what was done is to stay."""


async def import_results(
    conn: Connection, actor: Actor, command: ImportResults, *, now: datetime
) -> ImportedResults:
    """
    Make the exam and its results durable, all or none of the request unless the good ones are asked for.

    Raises:
        InvalidInputError: the form cannot be one or is another one than before, or results are faulty;
            nothing was written.
        ConflictError: several imported exams have the title; somebody else imports the same.
        OverloadedError: another import of the organisation is under way.
        StoredSpoiltError: the key cannot be read.
    """
    imported_forms.check(command.exam)
    done: ImportedResults | None = None
    with suppress(_UndoneError):
        async with conn.transaction():
            # Of two imports at once the second finds what the first has made.
            if await conn.fetchval(QUERIES["hold_organisation"], actor.organisation_id) is None:
                raise OverloadedError("Another import is under way; send it again.", retry_after_s=RETRY_S)
            try:
                done, faults = await _import(conn, actor, command, now=now)
            except asyncpg.UniqueViolationError as error:
                raise ConflictError("Somebody else wrote the same meanwhile; send it again.") from error
            if faults and not (command.dry_run or command.partial):
                raise csv_files.refusal(faults)
            if command.dry_run:
                raise _UndoneError
    assert done is not None, "it is undone after it was done"
    return done


async def _import(
    conn: Connection, actor: Actor, command: ImportResults, *, now: datetime
) -> tuple[ImportedResults, list[LineFault]]:
    found = await imported_forms.find(conn, actor, command.exam)
    form, groups = found, dict[str, UUID]()
    if not command.dry_run:
        groups = await imported_groups.known(conn, actor, command.exam, command.results, now=now)
    if form is None:
        if command.dry_run:
            form = imported_forms.planned(command.exam)
        else:
            form = await imported_forms.make(conn, actor, command.exam, groups, now=now)
    faults: list[LineFault] = []
    sound = [each for each in command.results if not _judged(each, form, faults)]
    people, created = await _people(conn, actor, command, sound, faults, now=now)
    sound = [each for each in sound if each.candidate in people]
    if not command.dry_run:
        await imported_groups.join(conn, actor, groups, sound, people, now=now)
    fresh, unchanged = await _fresh(conn, form, sound, people, faults)
    if fresh and not command.dry_run:
        await _store(conn, actor, command.file_sha256, form, fresh, people, now=now)
    report = ImportedResults(
        dry_run=command.dry_run,
        exam_id=form.exam_id,
        exam_created=found is None,
        candidates_created=created,
        created=len(fresh),
        unchanged=unchanged,
        faulty=len(faults),
        faults=csv_files.shown_of(faults),
    )
    return report, faults


async def _store(
    conn: Connection,
    actor: Actor,
    file_sha256: str,
    form: Form,
    fresh: Sequence[GivenResult],
    people: Mapping[str, UUID],
    *,
    now: datetime,
) -> None:
    """Write results, some at a time: those that follow are made while PostgreSQL writes."""

    async def making(some: Sequence[GivenResult]) -> list[Made]:
        return await asyncio.to_thread(all_made, some, form, people, actor, file_sha256, now)

    made = await making(fresh[:AT_ONCE])
    for start in range(AT_ONCE, len(fresh) + AT_ONCE, AT_ONCE):
        following = fresh[start : start + AT_ONCE]
        writing = write(conn, actor, file_sha256, form, made, now=now)
        _, made = await asyncio.gather(writing, making(following))


def _judged(given: GivenResult, form: Form, faults: list[LineFault]) -> bool:
    """Tell whether a result does not fit the form; each reason is one fault more."""
    before, names = len(faults), set[str]()
    for each in given.answers:
        keyed = form.by_name.get(each.item)
        wrong = None
        if keyed is None:
            wrong = "no such item in the form"
        elif each.item in names:
            wrong = "the item stands twice"
        elif each.response is not None:
            wrong = fault_of_response(keyed.item, each.response)
        if keyed is not None and each.points is not None and each.points > keyed.points:
            wrong = wrong or f"{each.points:g} points, and the item has {keyed.points.normalize():f}"
        names.add(each.item)
        if wrong is not None:
            shown = f"line {given.line}, {each.item[:60]}"
            faults.append(LineFault(path=shown, message=wrong))
    return len(faults) > before


def address_of(organisation_id: UUID, label: str) -> str:
    """Return the address of the account that stands for a candidate: the same again, and says nothing."""
    digest = hashlib.sha256(f"{organisation_id}\n{label}".encode()).hexdigest()
    return f"{digest[:32]}@{DOMAIN}"


async def _people(
    conn: Connection,
    actor: Actor,
    command: ImportResults,
    results: Sequence[GivenResult],
    faults: list[LineFault],
    *,
    now: datetime,
) -> tuple[dict[str, UUID], int]:
    """Return who each candidate is, and how many of them are new; whoever is no candidate is a fault."""
    addresses = {each.candidate: address_of(actor.organisation_id, each.candidate) for each in results}
    rows = await QUERIES.run(
        conn.fetch,
        "find_candidates",
        organisation=actor.organisation_id,
        labels=list(addresses),
        addresses=list(addresses.values()),
    )
    others = {row["label"] for row in rows if row["role"] != Role.student}
    faults += [
        LineFault(path=f"line {each.line}", message="the account of that name is no student's")
        for each in results
        if each.candidate in others
    ]
    people = {row["label"]: row["id"] for row in rows if row["label"] not in others}
    new = {label: uuid7() for label in addresses if label not in people and label not in others}
    if new and not command.dry_run:
        await QUERIES.run(
            conn.execute,
            "insert_candidates",
            organisation=actor.organisation_id,
            ids=list(new.values()),
            addresses=[addresses[each] for each in new],
            usernames=[addresses[each] for each in new],
            full_names=[each if command.named else f"Candidate {addresses[each][:8]}" for each in new],
            created_at=now,
        )
        created = [
            ledger.by(
                actor,
                Kind.user_created,
                user_id,
                now=now,
                subject_id=user_id,
                detail={"role": Role.student, "imported": True, "file_sha256": command.file_sha256},
                personal={"email": Personal(addresses[label], user_id)},
            )
            for label, user_id in new.items()
        ]
        await ledger.record(conn, *created)
    return people | new, len(new)


async def _fresh(
    conn: Connection,
    form: Form,
    results: Sequence[GivenResult],
    people: Mapping[str, UUID],
    faults: list[LineFault],
) -> tuple[list[GivenResult], int]:
    """Return the results that are not there yet, and how many are; another under the same name is a fault."""
    keys = [(people[each.candidate], key_of(form, each)) for each in results]
    rows = await conn.fetch(QUERIES["list_known"], [each for each, _ in keys], [each for _, each in keys])
    known = {(row["author_id"], row["idempotency_key"]): row["body_sha256"] for row in rows}
    fresh, unchanged, lines = [], 0, dict[tuple[UUID, str], int]()
    for given, key in zip(results, keys, strict=True):
        message = None
        if key in lines:
            message = f"the same candidate and attempt as in line {lines[key]}"
        elif key not in known:
            fresh.append(given)
        elif known[key] == digest_of(given):
            unchanged += 1
        else:
            message = "the candidate has another result here; what was imported is not changed by an import"
        lines.setdefault(key, given.line)
        if message is not None:
            faults.append(LineFault(path=f"line {given.line}", message=message))
    return fresh, unchanged
