"""
Observations: an observer finalises what they found, once (spec.md S-1, M-4; E, sections 3.1, 4).

The same boundary as a hand-in has: one transaction with the ledger's event, the submission and its exact
bytes, items, first score and subjects. There is no attempt that could be handed in twice, so the
Idempotency-Key is asked for: it is what a retry is known by. What turns out to be wrong is amended by a
further observation that names the one before it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.authoring.items import Item, Response, fault_of_response
from core_api.authoring.published import Key, current_of, key_of
from core_api.database import Connection, fetch_one, of_row
from core_api.ledger import entries as ledger
from core_api.observations import views
from core_api.observations.views import WholeObservation
from core_api.submissions.contents import content_of, item_columns, scored
from core_api.submissions.scoring import SCORING_VERSION
from core_api.submissions.submissions import Request
from core_api.wire import NO_NUL, SEQUENCE_63_MAX, as_json, invalid
from kernel.errors import ConflictError, IdempotencyKeyReusedError, InvalidInputError
from kernel.ledger.event import event_id_at
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("observations")
SUBJECTS_MAX: Final = 100
ITEMS_MAX: Final = 500
EVIDENCE_MAX: Final = 100
TAKEN: Final = "your own, of this exam, confirmed, and of no other observation"


class Observed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was found for one item of the form."""

    question_id: UUID
    response: Response


class Attached(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece of evidence that the observer has sent, and the item that it belongs to; null: all of it."""

    evidence_id: Annotated[int, Meta(ge=1, le=SEQUENCE_63_MAX)]
    question_id: UUID | None = None


class Observation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What an observer found about candidates and things; items left out are stored as not answered. `evidence`
    was sent for this exam and confirmed, and belongs to no other observation.
    """

    subject_ids: Annotated[list[UUID], Meta(min_length=1, max_length=SUBJECTS_MAX)]
    items: Annotated[list[Observed], Meta(max_length=ITEMS_MAX)]
    evidence: Annotated[list[Attached], Meta(max_length=EVIDENCE_MAX)] = []


Reason = Annotated[str, Meta(min_length=1, max_length=2000, pattern=NO_NUL)]


class Amendment(Observation, frozen=True, kw_only=True):
    """
    An observation in the place of another, whole, and why. `evidence` is what comes on top: that of the one
    before stays attached to it, and is shown with this one.
    """

    reason: Reason


class ObservationReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """`content_sha256` is of the submission's exact bytes, `event_id` of its record on the ledger."""

    submission_id: UUID
    exam_id: UUID
    finalised_at: datetime
    content_sha256: str
    event_id: UUID


class StoredObservation(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt with the very text that was hashed (UTF-8), and the observation to read."""

    receipt: ObservationReceipt
    content: str
    observation: WholeObservation


async def finalise(
    conn: Connection, actor: Actor, exam_id: UUID, command: Observation, request: Request, *, now: datetime
) -> tuple[ObservationReceipt, bool]:
    """
    Make an observation durable, and tell whether this call did; the first receipt comes back to whoever asks
    again with the same key.

    Raises:
        NotFoundError: the exam was not granted to the observer.
        ConflictError: it is not published, or has no evaluation.
        InvalidInputError: no key; a subject that cannot be observed here; an item that does not fit; evidence
            that is not the observer's, is not confirmed, or belongs to another observation.
        IdempotencyKeyReusedError: the key came with another body, or for another exam.
        StoredSpoiltError: the key cannot be read.
    """
    _check_key(request)
    return await made_once(conn, actor, exam_id, None, command, request, now=now)


async def amend(
    conn: Connection,
    actor: Actor,
    submission_id: UUID,
    command: Amendment,
    request: Request,
    *,
    now: datetime,
) -> tuple[ObservationReceipt, bool]:
    """
    Make an observation in the place of one's own, and tell whether this call did; retries as of `finalise`.

    Raises:
        NotFoundError: the observation is not the caller's, or its exam is not granted to them any more.
        ConflictError: it was amended: the newest one is; or the exam is not published.
        InvalidInputError: as of `finalise`.
        IdempotencyKeyReusedError: as of `finalise`.
        StoredSpoiltError: the key cannot be read.
    """
    _check_key(request)
    first = await fetch_one(conn, "observation", QUERIES["fetch_own"], submission_id, actor.user_id)
    return await made_once(conn, actor, first["exam_id"], submission_id, command, request, now=now)


def _check_key(request: Request) -> None:
    if request.idempotency_key is None:
        raise invalid("Idempotency-Key", "An observation is finalised with a key")


async def made_once(
    conn: Connection,
    actor: Actor,
    exam_id: UUID,
    amends: UUID | None,
    command: Observation,
    request: Request,
    *,
    now: datetime,
) -> tuple[ObservationReceipt, bool]:
    """Make an observation durable, as `finalise` and `amend` do and raise; in a transaction of its own."""
    try:
        async with conn.transaction():
            first = await _first(conn, actor, exam_id, request)
            if first is None:
                return await _finalise(conn, actor, exam_id, amends, command, request, now=now), True
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != "observation_step":
            raise
        raise ConflictError("The observation was amended already; amend the one in its place.") from error
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "submission_evidence_once":
            raise invalid("evidence", TAKEN) from error
        if error.constraint_name != "submissions_key":
            raise
        first = await _first(conn, actor, exam_id, request)
        assert first is not None, "whoever met the key waited for the other one's commit"
    return first, False


async def fetch_receipt(conn: Connection, actor: Actor, key: str) -> ObservationReceipt | None:
    """Return the receipt of what the observer finalised under a key; None: nothing."""
    row = await conn.fetchrow(QUERIES["find_by_key"], actor.user_id, key)
    return None if row is None else _receipt(row)


async def _first(
    conn: Connection, actor: Actor, exam_id: UUID, request: Request
) -> ObservationReceipt | None:
    row = await conn.fetchrow(QUERIES["find_by_key"], actor.user_id, request.idempotency_key)
    if row is None:
        return None
    if (row["exam_id"], row["body_sha256"]) != (exam_id, request.body_sha256):
        raise IdempotencyKeyReusedError("The Idempotency-Key was used for another observation.")
    return _receipt(row)


def _receipt(row: asyncpg.Record) -> ObservationReceipt:
    return of_row(row, ObservationReceipt)


async def _finalise(
    conn: Connection,
    actor: Actor,
    exam_id: UUID,
    amends: UUID | None,
    command: Observation,
    request: Request,
    *,
    now: datetime,
) -> ObservationReceipt:
    who = (actor.organisation_id, actor.user_id)
    exam = await fetch_one(conn, "exam", QUERIES["hold_observable"], exam_id, *who)
    if not exam["is_published"] or exam["evaluation_version_id"] is None:
        raise ConflictError("The exam is not open for observations.")
    kinds = await _kinds_of_subjects(conn, actor, amends, command.subject_ids)
    key = await key_of(conn, exam["evaluation_version_id"])
    found = _checked(key.asked, command.items)
    hashes = await _check_evidence(conn, actor, exam_id, key.asked, command.evidence)
    score = scored(
        key,
        await current_of(conn, exam["evaluation_version_id"]),
        found,
        max_score=Decimal(exam["max_score"] or 100),
        passing_score=Decimal(exam["passing_score"]),
    )
    made = _made(actor, exam_id, amends, command, key, found, hashes, now=now)
    receipt = made.receipt
    await QUERIES.run(
        conn.execute,
        "insert_observation",
        id=receipt.submission_id,
        organisation=actor.organisation_id,
        exam_id=exam_id,
        observer_id=actor.user_id,
        amends=amends,
        idempotency_key=request.idempotency_key,
        body_sha256=request.body_sha256,
        version_snapshot=as_json(made.snapshot),
        content=made.content,
        content_sha256=bytes.fromhex(receipt.content_sha256),
        event_id=receipt.event_id,
        finalised_at=now,
    )
    await QUERIES.run(
        conn.execute,
        "insert_parts",
        submission_id=receipt.submission_id,
        finalised_at=now,
        subject_kinds=kinds,
        **_columns(command, found, item_columns(key, score.as_published)),
        **score.columns,
    )
    entry = ledger.by(
        actor,
        Kind.observation_finalised,
        receipt.submission_id,
        now=now,
        subject_id=command.subject_ids[0] if kinds == ["user"] else None,
        detail={
            "exam_id": str(exam_id),
            "content_sha256": receipt.content_sha256,
            **({} if amends is None else {"amends": str(amends)}),
        },
    )
    await ledger.record(conn, msgspec.structs.replace(entry, event_id=receipt.event_id))
    return receipt


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes durable of an observation: the exact bytes, what they were made with, and the receipt."""

    receipt: ObservationReceipt
    content: bytes
    snapshot: dict[str, Any]


def _made(
    actor: Actor,
    exam_id: UUID,
    amends: UUID | None,
    command: Observation,
    key: Key,
    found: Mapping[UUID, Response],
    hashes: Mapping[int, str],
    *,
    now: datetime,
) -> _Made:
    """Return the observation as it is kept, with a new id and the id of its event."""
    submission_id = uuid7()
    snapshot = {**key.snapshot, "scoring_version": SCORING_VERSION}
    head = {
        "submission_id": submission_id,
        "kind": "observation",
        "exam_id": exam_id,
        "observer_id": actor.user_id,
        "subject_ids": command.subject_ids,
        "submitted_by": "observer",
        "finalised_at": now,
        "version_snapshot": snapshot,
    }
    if isinstance(command, Amendment):
        head |= {"amends": amends, "amendment_reason": command.reason}
    if command.evidence:
        head["evidence"] = [
            {**msgspec.to_builtins(each), "sha256": hashes[each.evidence_id]} for each in command.evidence
        ]
    content = content_of(head, key.items, "response", found)
    receipt = ObservationReceipt(
        submission_id=submission_id,
        exam_id=exam_id,
        finalised_at=now,
        content_sha256=hashlib.sha256(content).hexdigest(),
        event_id=event_id_at(now),
    )
    return _Made(receipt=receipt, content=content, snapshot=snapshot)


def _columns(
    command: Observation, found: Mapping[UUID, Response], items: Mapping[str, list[Any]]
) -> dict[str, list[Any]]:
    """Return subjects, evidence and items, with what was found for each, as `insert_parts` takes them."""
    places = dict(zip(items["question_ids"], items["positions"], strict=True))
    given = [found.get(each) for each in items["question_ids"]]
    return {
        **items,
        "subject_ids": list(command.subject_ids),
        "evidence_ids": [each.evidence_id for each in command.evidence],
        "evidence_positions": [
            None if each.question_id is None else places[each.question_id] for each in command.evidence
        ],
        "responses": [None if each is None else as_json(each) for each in given],
    }


async def _kinds_of_subjects(
    conn: Connection, actor: Actor, amends: UUID | None, subject_ids: Sequence[UUID]
) -> list[str]:
    """Return what each subject is, `user` or `entity`; raises InvalidInputError for one that is neither."""
    if len(set(subject_ids)) != len(subject_ids):
        raise invalid("subject_ids", "a subject stands twice")
    rows = await conn.fetch(QUERIES["list_subject_kinds"], actor.organisation_id, subject_ids, amends)
    kinds = {row["id"]: row["kind"] for row in rows}
    for n, each in enumerate(subject_ids):
        if each not in kinds:
            raise invalid(f"subject_ids[{n}]", "no candidate or active subject of your organisation")
    return [kinds[each] for each in subject_ids]


async def _check_evidence(
    conn: Connection,
    actor: Actor,
    exam_id: UUID,
    asked: Mapping[UUID, Item],
    attached: Sequence[Attached],
) -> dict[int, str]:
    """Return the hash of each piece that may be attached; raises InvalidInputError for one that may not."""
    ids = [each.evidence_id for each in attached]
    rows = await conn.fetch(QUERIES["hold_evidence"], exam_id, actor.user_id, ids) if ids else []
    found = {row["id"]: row["sha256"] for row in rows}
    for n, each in enumerate(attached):
        if each.evidence_id not in found or ids.index(each.evidence_id) != n:
            raise invalid(f"evidence[{n}].evidence_id", f"Expected evidence that is {TAKEN}, once")
        if each.question_id is not None and each.question_id not in asked:
            raise invalid(f"evidence[{n}].question_id", "a question of the form")
    return found


def _checked(asked: Mapping[UUID, Item], observed: Sequence[Observed]) -> dict[UUID, Response]:
    """Return what was found by question; raises InvalidInputError that names every item that does not fit."""
    found: dict[UUID, Response] = {}
    faults = []
    for n, each in enumerate(observed):
        item = asked.get(each.question_id)
        if item is None or each.question_id in found:
            faults.append({"path": f"items[{n}].question_id", "message": "a question of the form, once"})
        elif (fault := fault_of_response(item, each.response)) is not None:
            faults.append({"path": f"items[{n}].response", "message": fault})
        found[each.question_id] = each.response
    if faults:
        raise InvalidInputError("Some items cannot be stored; nothing was finalised.", errors=faults)
    return found


async def fetch_own(conn: Connection, actor: Actor, submission_id: UUID) -> StoredObservation:
    """Return one of the observer's own observations; raises NotFoundError for any other."""
    row = await fetch_one(conn, "observation", QUERIES["fetch_own"], submission_id, actor.user_id)
    whole = await views.fetch(conn, actor, submission_id)
    return StoredObservation(receipt=_receipt(row), content=row["content"], observation=whole)
