"""
What a session's numbers speak for, beside the people who decide (spec.md R-7; P, "Automated Decision
Recommendations"). Pure.

It never decides and never says *Invalidated*: that rests on what somebody has seen. How much a rule is worth
is learnt from final decisions alone: of the sessions that met it, how many were upheld (Suspicious or
Invalidated) and how many cleared. Beside the numbers stands what there is to see: a session that somebody on
the spot has flagged, that an observer has written about, or whose evidence is not what was stored is for
somebody to look at, whatever its score; without any evidence nothing is nearly certain; and evidence that was
announced and is not there makes *Cleared* as uncertain as it is missing.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from kernel.events import DecisionStatus

COVERAGE_MIN: Final = 0.5  # of the heartbeats: below it silence says more than the score
DECIDED_MIN: Final = 5  # sessions that met a rule: with fewer its worth is a guess
QUIET: Final = "Low"
UNSEEN_MAX: Final = 0.75  # of the confidence in Suspicious where there is no evidence to see it by


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


class Exempt(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the session that weighs less in its attempt, or nothing."""

    name_en: str
    name_ar: str
    percent: int


class Grounds(msgspec.Struct, frozen=True, kw_only=True):
    """
    What there is to judge a session by.

    `level` is the peak's, `coverage` the share of heartbeats. Of its pieces of evidence some are `stored`,
    others `missing` (announced, and not there as a whole), some `damaged` (their hash is not what it was);
    those whose file went by policy are none of the stored. `findings` are observers', about the candidate at
    this exam. `exempt` names the rules that weigh less or nothing in this attempt, in English and Arabic,
    with the percent that is left.
    """

    level: str | None
    total_events: int
    coverage: float | None
    unexplained_gaps: int
    network_gaps: int
    rules: Sequence[FiredRule]
    stored: int = 0
    missing: int = 0
    damaged: int = 0
    is_flagged: bool = False
    findings: int = 0
    exempt: Sequence[Exempt] = ()

    @property
    def is_told_of(self) -> bool:
        """True where somebody has seen something, or something was done to what they could see it by."""
        return self.is_flagged or self.findings > 0 or self.damaged > 0


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

    Too little is: no score, no event, or less than half of the heartbeats without a rule that was met; but
    what somebody has seen is always enough.
    """
    seen = 1.0 if grounds.coverage is None else min(1.0, grounds.coverage)
    is_blank = grounds.level is None or not grounds.total_events
    if (is_blank or (seen < COVERAGE_MIN and not grounds.rules)) and not grounds.is_told_of:
        return None
    worth = max((rule.worth for rule in grounds.rules), default=0.0)
    if grounds.level == QUIET and not grounds.unexplained_gaps and not grounds.is_told_of:
        there = grounds.stored / (grounds.stored + grounds.missing) if grounds.missing else 1.0
        return _of(DecisionStatus.Cleared, (1 - worth) * seen * there, grounds)
    if worth >= 0.5 and grounds.level not in {None, QUIET} and not grounds.damaged:
        return _of(DecisionStatus.Suspicious, worth if grounds.stored else min(worth, UNSEEN_MAX), grounds)
    # A high score by what reviewers rarely uphold, silence that nothing explains, or what somebody has seen.
    return _of(DecisionStatus.Escalated, 0.5, grounds)


def _of(status: DecisionStatus, confidence: float, grounds: Grounds) -> Recommendation:
    told = [
        _level(grounds),
        *(_rule(each) for each in grounds.rules),
        *(_exempt(each) for each in grounds.exempt),
        *_counted(grounds),
    ]
    return Recommendation(
        recommended_status=status,
        recommended_status_name=status.name,
        confidence=round(confidence, 3),
        reasons=[english for english, _ in told],
        reasons_ar=[arabic for _, arabic in told],
    )


_LEVELS_AR: Final = {"Low": "منخفض", "Medium": "متوسط", "High": "مرتفع", "Critical": "حرج"}


def _level(grounds: Grounds) -> tuple[str, str]:
    if grounds.level is None:
        return "Nothing was scored.", "لم تحسب أي درجة للمخاطر."
    return (
        f"The peak of the score is {grounds.level}.",
        f"أعلى درجة للمخاطر: {_LEVELS_AR[grounds.level]}.",
    )


def _rule(rule: FiredRule) -> tuple[str, str]:
    decided = rule.upheld + rule.cleared
    once = rule.triggers == 1
    met = (
        f"{rule.name_en} was met {'once' if once else f'{rule.triggers} times'}",
        f"تحققت قاعدة {rule.name_ar} {'مرة واحدة' if once else f'{rule.triggers} مرات'}",
    )
    if decided < DECIDED_MIN:
        return (
            f"{met[0]}; too few decisions to know its worth ({decided}).",
            f"{met[1]}؛ القرارات السابقة قليلة ({decided}).",
        )
    return (
        f"{met[0]}; upheld in {rule.upheld} of {decided} decided sessions.",
        f"{met[1]}؛ تم تأييدها في {rule.upheld} من {decided} جلسة.",
    )


def _exempt(rule: Exempt) -> tuple[str, str]:
    if rule.percent == 0:
        return (
            f"{rule.name_en} does not count for this candidate.",
            f"لا تحتسب قاعدة {rule.name_ar} لهذا الممتحن.",
        )
    return (
        f"{rule.name_en} counts {rule.percent}% for this candidate.",
        f"تحتسب قاعدة {rule.name_ar} بنسبة {rule.percent}% لهذا الممتحن.",
    )


def _counted(grounds: Grounds) -> list[tuple[str, str]]:
    """Return what is said of everything that is counted, where there is any of it."""
    gaps, lost, missing = grounds.unexplained_gaps, grounds.network_gaps, grounds.missing
    damaged, findings, stored = grounds.damaged, grounds.findings, grounds.stored
    said = (
        (gaps, f"Silences that nothing explains: {gaps}.", f"فترات انقطاع غير مفسرة: {gaps}."),
        (
            lost,
            f"Silences of the network, filled later: {lost}.",
            f"فترات انقطاع للشبكة استكملت لاحقا: {lost}.",
        ),
        (grounds.is_flagged, "A proctor's flag stands.", "علامة المراقب ما زالت قائمة."),
        (findings, f"Findings by observers at this exam: {findings}.", f"ملاحظات المراقبين: {findings}."),
        (
            damaged,
            f"Evidence whose bytes are not what was stored: {damaged}.",
            f"أدلة تغير محتواها بعد حفظها: {damaged}.",
        ),
        (missing, f"Evidence announced and not there: {missing}.", f"أدلة معلنة وغير موجودة: {missing}."),
        (stored, f"Evidence to look at: {stored}.", f"أدلة متاحة للاطلاع: {stored}."),
        (not stored, "There is no evidence to look at.", "لا توجد أدلة للاطلاع عليها."),
    )
    return [(english, arabic) for some, english, arabic in said if some]
