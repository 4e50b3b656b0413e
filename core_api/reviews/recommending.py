"""
What a session's numbers speak for, beside the people who decide (spec.md R-7; P, "Automated Decision
Recommendations"). Pure.

It never decides and never says *Invalidated*: that rests on what somebody has seen. How much a rule is worth
is learnt from final decisions alone: of the sessions that met it, how many were upheld (Suspicious or
Invalidated) and how many cleared.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from kernel.events import DecisionStatus

COVERAGE_MIN: Final = 0.5  # of the heartbeats: below it silence says more than the score
DECIDED_MIN: Final = 5  # sessions that met a rule: with fewer its worth is a guess
QUIET: Final = "Low"


class FiredRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that the session met: how often at most, and what became of all sessions that met it."""

    name_en: str
    name_ar: str
    triggers: int
    upheld: int
    cleared: int

    @property
    def worth(self) -> float:
        """How likely the next session that meets it is upheld, by Laplace's rule: a half without any."""
        return (self.upheld + 1) / (self.upheld + self.cleared + 2)


class Grounds(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to judge a session by; `level` is the peak's, `coverage` the share of heartbeats."""

    level: str | None
    total_events: int
    coverage: float | None
    unexplained_gaps: int
    network_gaps: int
    rules: Sequence[FiredRule]


class Recommendation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    What the numbers speak for, how sure that is (0 to 1), and why. It decides nothing.

    Cleared, Suspicious, or Escalated where they contradict one another.
    """

    recommended_status: DecisionStatus
    recommended_status_name: str
    confidence: Annotated[float, Meta(ge=0, le=1)]
    reasons: list[str]
    reasons_ar: list[str]


def recommend(grounds: Grounds) -> Recommendation | None:
    """
    Return what the grounds speak for; None where there is too little of it to say anything.

    Too little is: no score, no event, or less than half of the heartbeats without a rule that was met.
    """
    seen = 1.0 if grounds.coverage is None else min(1.0, grounds.coverage)
    if grounds.level is None or not grounds.total_events or (seen < COVERAGE_MIN and not grounds.rules):
        return None
    worth = max((rule.worth for rule in grounds.rules), default=0.0)
    if grounds.level == QUIET and not grounds.unexplained_gaps:
        return _of(DecisionStatus.Cleared, (1 - worth) * seen, grounds)
    if worth >= 0.5 and grounds.level != QUIET:
        return _of(DecisionStatus.Suspicious, worth, grounds)
    # A high score by what reviewers rarely uphold, or silence that nothing explains: somebody has to look.
    return _of(DecisionStatus.Escalated, 0.5, grounds)


def _of(status: DecisionStatus, confidence: float, grounds: Grounds) -> Recommendation:
    told = [_level(grounds), *(_rule(each) for each in grounds.rules), *_silences(grounds)]
    return Recommendation(
        recommended_status=status,
        recommended_status_name=status.name,
        confidence=round(confidence, 3),
        reasons=[english for english, _ in told],
        reasons_ar=[arabic for _, arabic in told],
    )


_LEVELS_AR: Final = {"Low": "منخفض", "Medium": "متوسط", "High": "مرتفع", "Critical": "حرج"}


def _level(grounds: Grounds) -> tuple[str, str]:
    level = grounds.level or ""
    return f"The peak of the score is {level}.", f"أعلى درجة للمخاطر: {_LEVELS_AR[level]}."


def _rule(rule: FiredRule) -> tuple[str, str]:
    decided = rule.upheld + rule.cleared
    met = f"{rule.name_en} was met {rule.triggers} times", f"تحققت قاعدة {rule.name_ar} {rule.triggers} مرات"
    if decided < DECIDED_MIN:
        return (
            f"{met[0]}; too few decisions to know its worth ({decided}).",
            f"{met[1]}؛ القرارات السابقة قليلة ({decided}).",
        )
    return (
        f"{met[0]}; upheld in {rule.upheld} of {decided} decided sessions.",
        f"{met[1]}؛ تم تأييدها في {rule.upheld} من {decided} جلسة.",
    )


def _silences(grounds: Grounds) -> list[tuple[str, str]]:
    told = []
    if grounds.unexplained_gaps:
        told.append(
            (
                f"{grounds.unexplained_gaps} silences that nothing explains.",
                f"فترات انقطاع غير مفسرة: {grounds.unexplained_gaps}.",
            )
        )
    if grounds.network_gaps:
        told.append(
            (
                f"{grounds.network_gaps} silences of the network, filled later.",
                f"فترات انقطاع للشبكة استكملت لاحقا: {grounds.network_gaps}.",
            )
        )
    return told
