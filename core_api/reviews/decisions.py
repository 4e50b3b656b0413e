"""
Decisions about proctor sessions: made, made final, overridden (spec.md C-1; P, "Decision Workflow").

A session has one decision. Whoever decides holds the session's claim, so that nobody's work is overwritten by
somebody who does not know of it; where two review it blind, what both say is the decision, or an adjudicator
makes it (`blind.py`). A final decision changes only by an admin's override. A final *Invalidated* makes the
attempt's result void in the same transaction, and whatever takes it back restores the result.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, of_row
from core_api.ledger import entries as ledger
from core_api.reviews import claims, reaching, stages
from core_api.submissions import results
from core_api.wire import invalid
from kernel.errors import ConflictError
from kernel.events import SESSION_ID_MAX, DecisionStatus
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("decisions")
DECISION_ID_MAX: Final = 2**53 - 1
REASON_LENGTH_MAX: Final = 2000
NOTES_LENGTH_MAX: Final = 4000
ACTS_SHOWN: Final = 100
SESSION_COLUMNS: Final = ("attempt_id", "exam_id", "candidate_id", "organisation_id")
# Of which a decision can be final; and which say something against a candidate, hence why.
VERDICTS: Final = frozenset({DecisionStatus.Cleared, DecisionStatus.Suspicious, DecisionStatus.Invalidated})
ACCUSING: Final = frozenset({DecisionStatus.Suspicious, DecisionStatus.Invalidated})
STATUS_NAMES_AR: Final = {
    DecisionStatus.Pending: "قيد المراجعة",
    DecisionStatus.Cleared: "سليم",
    DecisionStatus.Suspicious: "مشتبه به",
    DecisionStatus.Invalidated: "ملغى",
    DecisionStatus.Escalated: "محال إلى مستوى أعلى",
}
_SAYS_SOMETHING: Final = r"^[^\x00]*[^\s\x00][^\x00]*$"
Reason = Annotated[str, Meta(min_length=1, max_length=REASON_LENGTH_MAX, pattern=_SAYS_SOMETHING)]
Notes = Annotated[str, Meta(min_length=1, max_length=NOTES_LENGTH_MAX, pattern=_SAYS_SOMETHING)]
Status = Annotated[
    DecisionStatus, Meta(description="1 Pending, 2 Cleared, 3 Suspicious, 4 Invalidated, 5 Escalated.")
]


Act = Literal["made", "finalised", "overridden", "agreed"]


class Said(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What somebody says of a session. Suspicious and Invalidated need a reason in English or Arabic."""

    status: Status
    decision_reason_en: Reason | None = None
    decision_reason_ar: Reason | None = None
    internal_notes: Notes | None = None


class MakeDecision(Said, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    What is decided about a session, replacing what was decided before. Suspicious and Invalidated need a
    reason in English or Arabic; with `finalize` only an admin's override changes it any more.
    """

    proctor_session_id: Annotated[int, Meta(ge=1, le=SESSION_ID_MAX)]
    finalize: bool = False


class OverrideDecision(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    What a decision becomes by an admin, and why. The status before is kept. Reasons that are left out are
    taken over where none is given at all.
    """

    decision_id: Annotated[int, Meta(ge=1, le=DECISION_ID_MAX)]
    new_status: Annotated[DecisionStatus, Meta(description="2 Cleared, 3 Suspicious, 4 Invalidated.")]
    override_reason: Reason
    decision_reason_en: Reason | None = None
    decision_reason_ar: Reason | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    What was decided about a session. `decidedBy` and `decidedAt` are those of the newest act: after an
    override, of the admin.
    """

    id: int
    proctor_session_id: int
    attempt_id: UUID
    status: DecisionStatus
    status_name: str
    status_name_ar: str
    decision_reason_en: str | None
    decision_reason_ar: str | None
    internal_notes: str | None
    decided_by: UUID
    decided_by_name: str
    decided_at: datetime
    is_finalized: bool
    previous_status: DecisionStatus | None
    previous_status_name: str | None
    was_overridden: bool
    override_reason: str | None


class DecisionAct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One step of a decision's history, which only grows. `agreed`: two blind reviews said the same."""

    number: int
    act: Act
    status: DecisionStatus
    status_name: str
    decision_reason_en: str | None
    decision_reason_ar: str | None
    internal_notes: str | None
    override_reason: str | None
    acted_by: UUID
    acted_by_name: str
    acted_at: datetime


class DecisionWithHistory(Decision, frozen=True, kw_only=True, rename="camel"):
    """A decision with how it came about, oldest act first."""

    history: list[DecisionAct]


async def make(
    conn: Connection, actor: Actor, command: MakeDecision, *, settings: Settings, now: datetime
) -> Decision:
    """
    Decide about a session, or change what is not final yet. The same again changes nothing.

    Raises:
        NotFoundError: the session is not visible to the caller.
        ForbiddenError: it is, and they may only look at its exam, or it is their own, or an adjudicator's.
        ConflictError: the attempt has not ended, somebody else is at it, its two reviews are not in, or the
            decision is final.
        InvalidInputError: a reason is missing, or the status cannot be final.
    """
    _check(command)
    async with conn.transaction():
        session = await reaching.hold(conn, actor, command.proctor_session_id)
        before = await conn.fetchrow(QUERIES["fetch_decision"], session["id"])
        if before is not None and _says_the_same(before, command, actor):
            return _shown(before)
        if before is not None and before["is_finalized"]:
            raise ConflictError(_final(before))
        stages.check_decides(await stages.read(conn, actor, session))
        await claims.take(conn, actor, session, settings=settings, now=now)
        await save(conn, actor, session, command, "finalised" if command.finalize else "made", now=now)
        return await _fetch(conn, session["id"])


async def save(
    conn: Connection, actor: Actor, session: asyncpg.Record, said: Said, act: Act, *, now: datetime
) -> None:
    """Write the decision on a session that the caller holds; every act but `made` is final."""
    row = await QUERIES.run(
        conn.fetchrow,
        "save_decision",
        **{name: session[name] for name in SESSION_COLUMNS},
        session_id=session["id"],
        status=said.status,
        reason_en=said.decision_reason_en,
        reason_ar=said.decision_reason_ar,
        internal_notes=said.internal_notes,
        decided_by=actor.user_id,
        decided_at=now,
        is_finalized=act != "made",
    )
    assert row is not None, "the lock keeps others out"
    if act != "made" or said.status is DecisionStatus.Escalated:
        await claims.end(conn, session["id"])
    kind = Kind.decision_made if act == "made" else Kind.decision_finalised
    await _record(conn, actor, session, row["id"], act, kind, said.status, now=now)


async def override(conn: Connection, actor: Actor, command: OverrideDecision, *, now: datetime) -> Decision:
    """
    Change a decision for good, final or not; its status before is kept.

    Raises:
        NotFoundError: there is no such decision in the organisation.
        ForbiddenError: it is about the caller.
        ConflictError: it has that status already.
        InvalidInputError: a reason is missing, or the status is no verdict.
    """
    if command.new_status not in VERDICTS:
        raise invalid("newStatus", "Expected a verdict: 2 Cleared, 3 Suspicious or 4 Invalidated")
    async with conn.transaction():
        found = await fetch_one(
            conn, "decision", QUERIES["find_session_of"], command.decision_id, actor.organisation_id
        )
        session = await reaching.hold(conn, actor, found["session_id"])
        before = await _fetch_row(conn, session["id"])
        if before["status"] == command.new_status and before["is_finalized"]:
            raise ConflictError(f"The decision is {command.new_status.name} and final already.")
        reason_en, reason_ar = command.decision_reason_en, command.decision_reason_ar
        if reason_en is None and reason_ar is None:
            reason_en, reason_ar = before["decision_reason_en"], before["decision_reason_ar"]
        check_reason(command.new_status, reason_en, reason_ar)
        await QUERIES.run(
            conn.execute,
            "override_decision",
            id=command.decision_id,
            status=command.new_status,
            reason_en=reason_en,
            reason_ar=reason_ar,
            overridden_by=actor.user_id,
            overridden_at=now,
            override_reason=command.override_reason,
        )
        await claims.end(conn, session["id"])
        await _record(
            conn, actor, session, command.decision_id, "overridden", Kind.decision_overridden,
            command.new_status, now=now,
        )  # fmt: skip
        return await _fetch(conn, session["id"])


async def fetch(conn: Connection, actor: Actor, session_id: int) -> DecisionWithHistory:
    """Return a session's decision; raises NotFoundError when there is none that the caller may see."""
    await reaching.require_visible(conn, actor, session_id)
    row = await _fetch_row(conn, session_id)
    acts = await conn.fetch(QUERIES["list_acts"], row["id"], ACTS_SHOWN)
    history = [
        of_row(act, DecisionAct, status_name=DecisionStatus(act["status"]).name) for act in reversed(acts)
    ]
    return DecisionWithHistory(**msgspec.structs.asdict(_shown(row)), history=history)


async def _record(
    conn: Connection,
    actor: Actor,
    session: asyncpg.Record,
    decision_id: int,
    act: Act,
    kind: Kind,
    status: DecisionStatus,
    *,
    now: datetime,
) -> None:
    """Append the act to the history, let the result follow from the decisions, and record both."""
    await QUERIES.run(
        conn.execute, "insert_act", decision_id=decision_id, act=act, acted_by=actor.user_id, acted_at=now
    )
    is_void = await conn.fetchval(QUERIES["is_invalidated"], session["attempt_id"])
    told = await results.set_void(
        conn, actor, session["attempt_id"], is_void=is_void, because_of=decision_id, now=now
    )
    detail = {"session_id": session["id"], "attempt_id": str(session["attempt_id"]), "status": status}
    await ledger.record(conn, ledger.by(actor, kind, decision_id, now=now, detail=detail), *told)


async def _fetch_row(conn: Connection, session_id: int) -> asyncpg.Record:
    return await fetch_one(conn, "decision", QUERIES["fetch_decision"], session_id)


async def _fetch(conn: Connection, session_id: int) -> Decision:
    return _shown(await _fetch_row(conn, session_id))


def _shown(row: asyncpg.Record) -> Decision:
    status, previous = DecisionStatus(row["status"]), row["previous_status"]
    further: dict[str, Any] = {
        "status_name": status.name,
        "status_name_ar": STATUS_NAMES_AR[status],
        "previous_status_name": None if previous is None else DecisionStatus(previous).name,
    }
    return of_row(row, Decision, **further)


def _final(row: asyncpg.Record) -> str:
    """Return the sentence for whoever comes after a final decision."""
    status, since = DecisionStatus(row["status"]).name, f"{row['decided_at']:%Y-%m-%d %H:%M} UTC"
    return (
        f"{row['decided_by_name']} has decided on this session: {status}, final since {since}."
        " Only an admin's override changes it."
    )


def _check(command: MakeDecision) -> None:
    """Check what a decision says; raises InvalidInputError."""
    if command.finalize and command.status not in VERDICTS:
        raise invalid("status", "Expected a verdict with finalize: 2 Cleared, 3 Suspicious or 4 Invalidated")
    check_reason(command.status, command.decision_reason_en, command.decision_reason_ar)


def check_reason(status: DecisionStatus, reason_en: str | None, reason_ar: str | None) -> None:
    """Check that what accuses somebody says why; raises InvalidInputError."""
    if status in ACCUSING and reason_en is None and reason_ar is None:
        raise invalid("decisionReasonEn", f"{status.name} needs a reason, here or in decisionReasonAr")


def _says_the_same(row: asyncpg.Record, command: MakeDecision, actor: Actor) -> bool:
    """Tell whether the caller has decided just this before, with nothing in between."""
    told = (command.status, command.decision_reason_en, command.decision_reason_ar, command.internal_notes)
    stands = (row["status"], row["decision_reason_en"], row["decision_reason_ar"], row["internal_notes"])
    by = (row["decided_by"], row["is_finalized"], row["was_overridden"])
    return told == stands and by == (actor.user_id, command.finalize, False)
