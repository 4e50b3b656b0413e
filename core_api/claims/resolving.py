"""
Resolving a claim: upheld or rejected, with reasons; and what an upheld one leads to, another decision, a
grade or a remediation, in the same transaction (spec.md M-2).

Whoever decided on the attempt, graded or proctored it resolves no claim about it, and of a dispute neither
who handled the claim before: refused here, and in the database (`had_hand`). The resolution is written before
what it leads to, so that what the resolver does by it is no hand of theirs.
"""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.claims import handling, moving
from core_api.claims.handling import ClaimForStaff
from core_api.claims.moving import Consequence, Text
from core_api.claims.states import ClaimAct, ClaimState, Party, moved
from core_api.database import Connection
from core_api.remediations import applying
from core_api.reviews import decisions
from core_api.reviews.decisions import DECISION_ID_MAX, OverrideDecision
from core_api.submissions import grading
from core_api.submissions.grading import GRADES_MAX, Grade, ItemGrade
from core_api.wire import invalid
from kernel.access import Action, scope_of
from kernel.errors import ForbiddenError
from kernel.events import DecisionStatus
from kernel.ledger.kinds import Kind
from kernel.settings import Settings

QUERIES: Final = handling.QUERIES
REASON_LENGTH_MAX: Final = 1000  # of a grade and of an override, which take the resolution's


class NewDecision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision about a session of the attempt, and what it becomes by an admin's override."""

    decision_id: Annotated[int, Meta(ge=1, le=DECISION_ID_MAX)]
    new_status: Annotated[DecisionStatus, Meta(description="2 Cleared, 3 Suspicious, 4 Invalidated.")]


class ResolveClaim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The resolution, with reasons in English or Arabic, which the candidate reads. One that is upheld may lead
    to another decision, to points for what people grade, or to a remediation for all who took the exam.
    """

    outcome: Literal["upheld", "rejected"]
    text_en: Text | None = None
    text_ar: Text | None = None
    decision: NewDecision | None = None
    grades: Annotated[list[ItemGrade], Meta(min_length=1, max_length=GRADES_MAX)] | None = None
    remediation_id: Annotated[
        UUID | None,
        Meta(description="Of the exam's evaluation: a draft, which is applied with this, or one that was."),
    ] = None


async def resolve(
    conn: Connection,
    actor: Actor,
    claim_id: UUID,
    command: ResolveClaim,
    *,
    settings: Settings,
    now: datetime,
) -> ClaimForStaff:
    """
    Resolve a claim: one that was acknowledged, or one that is disputed, for good.

    Raises:
        NotFoundError: its exam is not visible to the caller.
        ForbiddenError: it is, and they may only look at it; or they had a hand in it; or it is disputed, and
            they do not adjudicate; or they may not override the decision, grade, or change every exam that
            the remediation reaches.
        ConflictError: the claim is not there yet, or is over; or the decision has that status already; or
            the remediation was cancelled, or cannot be applied now.
        InvalidInputError: no reason is given, or what it leads to does not go with it.
    """
    _check(command)
    async with conn.transaction():
        claim = await handling.hold(conn, actor, claim_id)
        moved(ClaimState(claim["state"]), ClaimAct.resolve, Party.staff)
        await _check_hands(conn, actor, claim_id)
        if command.remediation_id is not None:
            await _remediate(conn, actor, claim, command.remediation_id, now=now)
        await _write(conn, actor, claim, command, now=now)
        await moving.move(conn, claim, ClaimAct.resolve, Party.staff, settings=settings, now=now)
        if command.decision is not None:
            await _decide(conn, actor, command, command.decision, now=now)
        if command.grades is not None:
            grade = Grade(grades=command.grades, reason=_reason(command))
            await grading.grade(conn, actor, claim["submission_id"], grade, now=now)
        await moving.record(
            conn,
            claim,
            actor,
            Kind.claim_resolved,
            now=now,
            outcome=command.outcome,
            led_to=_leads_to(command),
        )
        return await handling.fetch(conn, actor, claim_id)


async def _check_hands(conn: Connection, actor: Actor, claim_id: UUID) -> None:
    """Check who resolves, under the claim's lock; raises ForbiddenError."""
    found = await handling.find(conn, actor, claim_id)
    if found["had_hand"]:
        raise ForbiddenError(
            "You had a hand in what this claim is about, or in the claim: somebody else has to resolve it."
        )
    if found["state"] == ClaimState.under_dispute and not found["may_settle"]:
        raise ForbiddenError("This claim is disputed: an admin resolves it, or who adjudicates its exam.")


async def _write(
    conn: Connection, actor: Actor, claim: asyncpg.Record, command: ResolveClaim, *, now: datetime
) -> None:
    """Write the resolution, before what it leads to."""
    if command.decision is not None:
        scope_of(actor.role, Action.decision_override)
        known = await conn.fetchval(
            QUERIES["has_decision"], command.decision.decision_id, claim["attempt_id"]
        )
        if not known:
            raise invalid("decision.decision_id", "no decision about a session of this attempt")
    if command.grades is not None:
        scope_of(actor.role, Action.submission_grade)
        await conn.execute(QUERIES["hold_graded"], claim["attempt_id"])
    try:
        await QUERIES.run(
            conn.execute,
            "insert_resolution",
            claim_id=claim["id"],
            number=2 if claim["is_disputed"] else 1,
            outcome=command.outcome,
            led_to=_leads_to(command),
            decision_id=None if command.decision is None else command.decision.decision_id,
            submission_id=claim["submission_id"],
            remediation_id=command.remediation_id,
            text_en=command.text_en,
            text_ar=command.text_ar,
            resolved_by=actor.user_id,
            now=now,
        )
    except asyncpg.InsufficientPrivilegeError as error:
        raise ForbiddenError("You may not resolve this claim: somebody else has to.") from error


async def _decide(
    conn: Connection, actor: Actor, command: ResolveClaim, new: NewDecision, *, now: datetime
) -> None:
    override = OverrideDecision(
        decision_id=new.decision_id,
        new_status=new.new_status,
        override_reason=_reason(command),
        decision_reason_en=_cut(command.text_en),
        decision_reason_ar=_cut(command.text_ar),
    )
    await decisions.override(conn, actor, override, now=now)


async def _remediate(
    conn: Connection, actor: Actor, claim: asyncpg.Record, remediation_id: UUID, *, now: datetime
) -> None:
    """Apply the remediation, where that was not done; the steps that rescore follow."""
    scope_of(actor.role, Action.remediation_write)
    if not await conn.fetchval(QUERIES["reaches"], remediation_id, claim["exam_id"]):
        raise invalid("remediation_id", "no remediation of this exam's evaluation")
    await applying.begin(conn, actor, remediation_id, now=now)


def _leads_to(command: ResolveClaim) -> Consequence:
    if command.decision is not None:
        return "decision"
    if command.remediation_id is not None:
        return "remediation"
    return "nothing" if command.grades is None else "grade"


def _reason(command: ResolveClaim) -> str:
    """Return the reasons as those of an override or a grade, in English where there are some."""
    return _cut(command.text_en or command.text_ar) or ""


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:REASON_LENGTH_MAX]


def _check(command: ResolveClaim) -> None:
    """Check what a resolution says; raises InvalidInputError."""
    if command.text_en is None and command.text_ar is None:
        raise invalid("text_en", "A resolution has its reasons, here or in text_ar")
    if sum(each is not None for each in (command.decision, command.grades, command.remediation_id)) > 1:
        raise invalid("outcome", "A resolution leads to a decision, to a grade or to a remediation: to one")
    if command.outcome == "rejected" and _leads_to(command) != "nothing":
        raise invalid("outcome", "What is rejected leads to nothing")
