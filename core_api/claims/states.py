"""
How far a claim is, and who may move it where. Pure (spec.md M-2).

The same table stands in the database (`claim_moves`), which refuses what is not in it. A claim that staff do
not answer in time is disputed by itself; one that its candidate is asked about and leaves unanswered expires.
The first resolution may be disputed once, for some days; the second is the last word.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from kernel.errors import ConflictError
from kernel.settings import Settings


class ClaimState(StrEnum):
    """How far a claim is; the last three are the end, but for a first resolution while it may be disputed."""

    opened = "opened"
    acknowledged = "acknowledged"
    asked = "asked"  # the candidate, who has to answer
    under_dispute = "under_dispute"  # somebody else looks a second time
    resolved = "resolved"
    withdrawn = "withdrawn"
    expired = "expired"


class ClaimAct(StrEnum):
    """What moves a claim."""

    acknowledge = "acknowledge"
    ask = "ask"
    answer = "answer"
    escalate = "escalate"
    resolve = "resolve"
    withdraw = "withdraw"
    expire = "expire"


class Party(StrEnum):
    """Who moves it; the system when a deadline has passed."""

    candidate = "candidate"
    staff = "staff"
    system = "system"


MOVES: Final[Mapping[tuple[ClaimState, ClaimAct], tuple[ClaimState, frozenset[Party]]]] = {
    (before, act): (after, frozenset(parties))
    for before, act, after, *parties in (
        (ClaimState.opened, ClaimAct.acknowledge, ClaimState.acknowledged, Party.staff),
        (ClaimState.opened, ClaimAct.escalate, ClaimState.under_dispute, Party.staff, Party.system),
        (ClaimState.opened, ClaimAct.withdraw, ClaimState.withdrawn, Party.candidate),
        (ClaimState.acknowledged, ClaimAct.ask, ClaimState.asked, Party.staff),
        (ClaimState.acknowledged, ClaimAct.escalate, ClaimState.under_dispute, Party.staff, Party.system),
        (ClaimState.acknowledged, ClaimAct.resolve, ClaimState.resolved, Party.staff),
        (ClaimState.acknowledged, ClaimAct.withdraw, ClaimState.withdrawn, Party.candidate),
        (ClaimState.asked, ClaimAct.answer, ClaimState.acknowledged, Party.candidate),
        (ClaimState.asked, ClaimAct.withdraw, ClaimState.withdrawn, Party.candidate),
        (ClaimState.asked, ClaimAct.expire, ClaimState.expired, Party.system),
        (ClaimState.under_dispute, ClaimAct.resolve, ClaimState.resolved, Party.staff),
        (ClaimState.under_dispute, ClaimAct.withdraw, ClaimState.withdrawn, Party.candidate),
        (ClaimState.resolved, ClaimAct.escalate, ClaimState.under_dispute, Party.candidate),
    )
}
OPEN: Final = frozenset(
    {ClaimState.opened, ClaimState.acknowledged, ClaimState.asked, ClaimState.under_dispute}
)


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Until when a claim is to leave its state, and when who has to act is reminded; None: no more."""

    deadline_at: datetime | None
    remind_at: datetime | None


def moved(before: ClaimState, act: ClaimAct, party: Party) -> ClaimState:
    """Return the state that an act leads to; raises ConflictError where the table does not have it."""
    after, parties = MOVES.get((before, act), (before, frozenset()))
    if party not in parties:
        raise ConflictError(f"The claim is {before}: that does not go with it.")
    return after


def timing(state: ClaimState, settings: Settings, *, now: datetime, disputed: bool = False) -> Timing:
    """
    Return the timing of a state that a claim comes to.

    Args:
        state: the claim's new one.
        settings: how many days each may last.
        now: when it comes to it.
        disputed: whether it was: then a resolution is the last word.
    """
    days = {
        ClaimState.opened: settings.claim_acknowledge_days,
        ClaimState.acknowledged: settings.claim_resolve_days,
        ClaimState.asked: settings.claim_answer_days,
        ClaimState.under_dispute: settings.claim_dispute_days,
        ClaimState.resolved: None if disputed else settings.claim_disputable_days,
    }.get(state)
    if days is None:
        return Timing(deadline_at=None, remind_at=None)
    deadline_at = now + timedelta(days=days)
    remind_at = max(now, deadline_at - timedelta(days=settings.claim_remind_days))
    return Timing(deadline_at=deadline_at, remind_at=remind_at if state in OPEN else None)
