"""
Finalisation: one transaction turns what was saved into a durable submission (spec.md S-1, S-2; E, section
3.1).

The attempt is locked first, then everything is written: the submission with its snapshot, items and first
scores, the subject, the attempt's outcome, the end of its proctor sessions, and on the ledger what became of
them. A crash between any two steps leaves nothing; the retry finalises, or gets the first receipt.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.attempts import answers
from core_api.attempts.answers import BATCH_MAX, Answer, SavedAnswer
from core_api.authoring.published import Key, current_of, key_of
from core_api.database import Connection, fetch_one, of_row
from core_api.ledger import entries as ledger
from core_api.ledger.entries import Entry
from core_api.sittings.clock import clock_of
from core_api.submissions.contents import content_of, item_columns, outcome_of, scored
from core_api.submissions.scoring import SCORING_VERSION
from core_api.wire import as_json, computed_as
from kernel.errors import AttemptPausedError, ConflictError, IdempotencyKeyReusedError, StoredSpoiltError
from kernel.events import AttemptStatus, Role
from kernel.ledger.event import SYSTEM, event_id_at
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("submissions")
KEYS: Final = named("idempotency")
KEYS_MAX: Final = 1000  # of one candidate; further ones are not bound, and get the first receipt

SubmittedBy = Literal["candidate", "expiry", "proctor", "import"]


class Submit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A hand-in, with the answers that were not saved yet."""

    answers: Annotated[list[Answer], Meta(max_length=BATCH_MAX)] = []


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What identifies a hand-in when it is retried."""

    idempotency_key: str | None
    body_sha256: bytes


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a candidate keeps: `content_sha256` is of the submission's exact bytes, `event_id` of its record.
    """

    submission_id: UUID
    attempt_id: UUID
    submitted_by: SubmittedBy
    finalised_at: datetime
    content_sha256: str
    event_id: UUID


class Finalised(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt, and whether this call made the submission."""

    receipt: Receipt
    created: bool


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt with the very text that was hashed (UTF-8); null once the organisation keeps it no longer."""

    receipt: Receipt
    content: str | None


async def submit(
    conn: Connection, actor: Actor, attempt_id: UUID, command: Submit, request: Request, *, now: datetime
) -> Finalised:
    """
    Finalise the caller's attempt; the first receipt comes back to whoever asks again.

    After its end an attempt is finalised with what was saved before, and the answers of the hand-in are left
    out.

    Raises:
        NotFoundError: not the caller's attempt.
        ConflictError: it was abandoned, or it ended without a saved answer.
        AttemptPausedError: it is paused.
        IdempotencyKeyReusedError: the key came with another body, or for another attempt.
        InvalidInputError: an answer cannot be saved; nothing was finalised.
        StoredSpoiltError: key or answers cannot be read: the attempt goes on, with the answers of the
            hand-in, until the hand-in comes again or its end finalises it.
    """
    try:
        async with conn.transaction():
            finalised = await _submit(conn, actor, attempt_id, command, request, now=now)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "submissions_key":
            raise
        raise _reused() from error
    if finalised is None:
        raise ConflictError("Your attempt at this exam ended without a saved answer.")
    if isinstance(finalised, StoredSpoiltError):
        raise finalised
    return finalised


async def _submit(
    conn: Connection, actor: Actor, attempt_id: UUID, command: Submit, request: Request, *, now: datetime
) -> Finalised | StoredSpoiltError | None:
    """
    Return as `submit` does; what must be committed: None where the attempt is abandoned, an error where the
    answers are stored and cannot be scored.
    """
    attempt = await fetch_one(conn, "attempt", QUERIES["hold_attempt"], attempt_id, actor.user_id)
    if attempt["status"] != AttemptStatus.in_progress:
        await _check_key(conn, actor, attempt_id, request, now=now)
        return await _first(conn, attempt_id)
    in_time = now < attempt["expires_at"]
    if in_time and clock_of(attempt).is_paused(now):
        raise AttemptPausedError("Your exam is paused; hand it in when it goes on.")
    if in_time and command.answers:
        await answers.store(conn, attempt, command.answers, now=now)
    try:
        receipt = await finalise(
            conn, attempt, "candidate" if in_time else "expiry", request, actor=actor, now=now
        )
    except StoredSpoiltError as error:
        return error
    return None if receipt is None else Finalised(receipt=receipt, created=True)


async def _check_key(
    conn: Connection, actor: Actor, attempt_id: UUID, request: Request, *, now: datetime
) -> None:
    """Raise IdempotencyKeyReusedError for a key of another hand-in; bind a key that is new to this one."""
    if request.idempotency_key is None:
        return
    known = await conn.fetchrow(QUERIES["find_by_key"], actor.user_id, request.idempotency_key)
    if known is not None and (known["attempt_id"], known["body_sha256"]) != (attempt_id, request.body_sha256):
        raise _reused()
    if known is None:
        asked = hashlib.sha256(attempt_id.bytes + request.body_sha256).digest()
        key = {"user_id": actor.user_id, "key": request.idempotency_key, "exam_id": actor.exam_id}
        await KEYS.run(conn.execute, "claim_key", **key, request=asked, now=now, keys_max=KEYS_MAX)
        bound = await KEYS.run(conn.fetchrow, "fetch_key", **key)
        if bound is not None and bound["request"] != asked:
            raise _reused()


def _reused() -> IdempotencyKeyReusedError:
    return IdempotencyKeyReusedError("The Idempotency-Key was used for another hand-in.")


async def _first(conn: Connection, attempt_id: UUID) -> Finalised | None:
    row = await conn.fetchrow(QUERIES["fetch_receipt"], attempt_id, None)
    return None if row is None else Finalised(receipt=_receipt(row), created=False)


def _receipt(row: asyncpg.Record) -> Receipt:
    return of_row(row, Receipt)


async def finalise(
    conn: Connection,
    attempt: asyncpg.Record,
    submitted_by: SubmittedBy,
    request: Request | None,
    *,
    actor: Actor | None = None,
    now: datetime,
) -> Receipt | None:
    """
    Write the outcome of an attempt that the caller holds, in the caller's transaction.

    Args:
        conn: in a transaction.
        attempt: a running attempt's row of `hold_attempt`.
        submitted_by: where it is not the candidate and nothing is saved, the attempt is abandoned, and None
            comes back.
        request: the hand-in; None from the sweep.
        actor: who hands in; None from the sweep.
        now: becomes `finalised_at`.

    Raises:
        StoredSpoiltError: key or answers cannot be read; nothing was written.
    """
    assert attempt["status"] == AttemptStatus.in_progress, "an outcome is written once"
    rows = await conn.fetch(QUERIES["list_saved"], attempt["id"])
    saved = {row["question_id"]: computed_as(dict(row), SavedAnswer, "an answer") for row in rows}
    if submitted_by != "candidate" and not saved:
        ended = await conn.fetch(QUERIES["abandon_attempt"], attempt["id"], now, submitted_by)
        abandoned = _entry(attempt, Kind.attempt_abandoned, attempt["id"], None, now=now)
        await _record(conn, attempt, abandoned, ended)
        return None
    key = await key_of(conn, attempt["evaluation_version_id"])
    score = scored(
        key,
        await current_of(conn, attempt["evaluation_version_id"]),
        {question_id: each.response for question_id, each in saved.items()},
        max_score=Decimal(attempt["max_score"] or 100),
        passing_score=Decimal(attempt["passing_score"]),
    )
    made = _made(attempt, submitted_by, key, saved, now=now)
    await _write(conn, attempt, made, request)
    submission_id = made.receipt.submission_id
    await QUERIES.run(
        conn.execute,
        "insert_parts",
        submission_id=submission_id,
        attempt_id=attempt["id"],
        author_id=attempt["student_id"],
        finalised_at=now,
        **item_columns(key, score.as_published),
        **score.columns,
    )
    ended = await QUERIES.run(
        conn.fetch,
        "complete_attempt",
        id=attempt["id"],
        submitted_by=submitted_by,
        at=now,
        **outcome_of(score.totals),
        submission_data=as_json({"submission_id": submission_id}),
    )
    await _record(conn, attempt, _finalisation(attempt, made.receipt, actor), ended)
    return made.receipt


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes durable of an attempt: the exact bytes, what they were made with, and the receipt."""

    receipt: Receipt
    content: bytes
    snapshot: dict[str, Any]


def _made(
    attempt: asyncpg.Record,
    submitted_by: SubmittedBy,
    key: Key,
    saved: Mapping[UUID, SavedAnswer],
    *,
    now: datetime,
) -> _Made:
    """Return an attempt's submission, with a new id and the id of its event."""
    submission_id = uuid7()
    snapshot = {**key.snapshot, "scoring_version": SCORING_VERSION, "policy": attempt["policy"]}
    head = {
        "submission_id": submission_id,
        "kind": "attempt",
        "attempt_id": attempt["id"],
        "exam_id": attempt["exam_id"],
        "candidate_id": attempt["student_id"],
        "submitted_by": submitted_by,
        "finalised_at": now,
        "version_snapshot": snapshot,
    }
    content = content_of(head, key.items, "answer", saved)
    receipt = Receipt(
        submission_id=submission_id,
        attempt_id=attempt["id"],
        submitted_by=submitted_by,
        finalised_at=now,
        content_sha256=hashlib.sha256(content).hexdigest(),
        event_id=event_id_at(now),
    )
    return _Made(receipt=receipt, content=content, snapshot=snapshot)


async def _write(conn: Connection, attempt: asyncpg.Record, made: _Made, request: Request | None) -> None:
    """Insert the submission itself; raises UniqueViolationError where its key is another hand-in's."""
    receipt = made.receipt
    await QUERIES.run(
        conn.execute,
        "insert_submission",
        id=receipt.submission_id,
        organisation=attempt["organisation_id"],
        exam_id=attempt["exam_id"],
        attempt_id=attempt["id"],
        author_id=attempt["student_id"],
        submitted_by=receipt.submitted_by,
        idempotency_key=None if request is None else request.idempotency_key,
        body_sha256=None if request is None else request.body_sha256,
        version_snapshot=as_json(made.snapshot),
        content=made.content,
        content_sha256=bytes.fromhex(receipt.content_sha256),
        event_id=receipt.event_id,
        finalised_at=receipt.finalised_at,
    )


def _finalisation(attempt: asyncpg.Record, receipt: Receipt, actor: Actor | None) -> Entry:
    """Return the event that says what was handed in, by whom and from where."""
    detail: dict[str, Any] = {"attempt_id": str(attempt["id"]), "content_sha256": receipt.content_sha256}
    if actor is not None and actor.exam_id is not None:
        detail["by_link"] = True
    entry = _entry(
        attempt,
        Kind.submission_finalised,
        receipt.submission_id,
        attempt["student_id"] if receipt.submitted_by == "candidate" else None,
        now=receipt.finalised_at,
        detail=detail,
    )
    came_from = {} if actor is None else ledger.origin_of(actor)
    return msgspec.structs.replace(entry, event_id=receipt.event_id, personal=came_from)


async def _record(
    conn: Connection, attempt: asyncpg.Record, outcome: Entry, ended: Sequence[asyncpg.Record]
) -> None:
    """Append what became of the attempt, for workers too, and the end of each of its sessions."""
    at, detail = outcome.occurred_at, {"attempt_id": str(attempt["id"]), "by": outcome.kind}
    ends = [
        _entry(attempt, Kind.session_ended, row["id"], outcome.actor_id, now=at, detail=detail)
        for row in ended
    ]
    await ledger.record(conn, outcome, *ends)


def _entry(
    attempt: asyncpg.Record,
    kind: str,
    resource_id: UUID | int,
    actor_id: UUID | None,
    *,
    now: datetime,
    detail: Mapping[str, Any] | None = None,
) -> Entry:
    return Entry(
        kind=kind,
        aggregate_id=str(resource_id),
        organisation_id=attempt["organisation_id"],
        occurred_at=now,
        actor_id=actor_id,
        actor_role=SYSTEM if actor_id is None else Role.student.value,
        subject_id=attempt["student_id"],
        detail=detail or {},
    )


async def fetch_own(conn: Connection, actor: Actor, attempt_id: UUID) -> Submission:
    """Return the caller's submission of an attempt; raises NotFoundError when there is none of theirs."""
    row = await fetch_one(conn, "submission", QUERIES["fetch_receipt"], attempt_id, actor.user_id)
    content: str | None = await conn.fetchval(QUERIES["fetch_content"], attempt_id, actor.user_id)
    return Submission(receipt=_receipt(row), content=content)
