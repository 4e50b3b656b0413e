"""What a session's numbers speak for (spec.md R-7)."""

import re
from itertools import product
from typing import Any

import pytest

from core_api.reviews.recommending import Exempt, FiredRule, Grounds, recommend
from kernel.events import DecisionStatus


def rule(upheld: int = 0, cleared: int = 0) -> FiredRule:
    return FiredRule(name_en="No Face", name_ar="عدم ظهور الوجه", triggers=2, upheld=upheld, cleared=cleared)


def exempt(percent: int) -> Exempt:
    return Exempt(name_en="Two Faces", name_ar="وجهان", percent=percent)


def grounds(**more: Any) -> Grounds:
    known: dict[str, Any] = {
        "level": "Low", "total_events": 100, "coverage": 1.0, "unexplained_gaps": 0, "network_gaps": 0,
        "rules": [], "stored": 1,
    }  # fmt: skip
    return Grounds(**known | more)


@pytest.mark.parametrize(
    ("given", "status", "confidence"),
    [
        ({}, DecisionStatus.Cleared, 1.0),
        ({"coverage": 0.8}, DecisionStatus.Cleared, 0.8),
        ({"rules": [rule(cleared=8)]}, DecisionStatus.Cleared, 0.9),
        ({"network_gaps": 3}, DecisionStatus.Cleared, 1.0),
        ({"unexplained_gaps": 1}, DecisionStatus.Escalated, 0.5),
        ({"level": "High", "rules": [rule(upheld=8)]}, DecisionStatus.Suspicious, 0.9),
        ({"level": "Medium", "rules": [rule(cleared=8), rule()]}, DecisionStatus.Suspicious, 0.5),
        ({"level": "Critical", "rules": [rule(cleared=8)]}, DecisionStatus.Escalated, 0.5),
        # what there is to see
        ({"stored": 0}, DecisionStatus.Cleared, 1.0),
        ({"stored": 3, "missing": 1}, DecisionStatus.Cleared, 0.75),
        ({"stored": 0, "missing": 1}, DecisionStatus.Cleared, 0.0),
        ({"level": "High", "rules": [rule(upheld=8)], "stored": 0}, DecisionStatus.Suspicious, 0.75),
        ({"level": "High", "rules": [rule()], "stored": 0}, DecisionStatus.Suspicious, 0.5),
        ({"level": "High", "rules": [rule(upheld=8)], "missing": 2}, DecisionStatus.Suspicious, 0.9),
        ({"level": "High", "rules": [rule(upheld=8)], "damaged": 1}, DecisionStatus.Escalated, 0.5),
        ({"damaged": 1}, DecisionStatus.Escalated, 0.5),
        # what somebody has seen
        ({"is_flagged": True}, DecisionStatus.Escalated, 0.5),
        ({"findings": 2}, DecisionStatus.Escalated, 0.5),
        ({"findings": 2, "level": None, "total_events": 0}, DecisionStatus.Escalated, 0.5),
        ({"is_flagged": True, "coverage": 0.1}, DecisionStatus.Escalated, 0.5),
        ({"is_flagged": True, "level": "High", "rules": [rule(upheld=8)]}, DecisionStatus.Suspicious, 0.9),
        # what does not count changes nothing but the reasons
        ({"exempt": [exempt(0)], "level": "High", "rules": [rule(upheld=8)]}, DecisionStatus.Suspicious, 0.9),
    ],
)
def test_the_worth_of_rules_and_the_silences_decide_what_is_recommended_r7(
    given: dict[str, Any], status: DecisionStatus, confidence: float
) -> None:
    found = recommend(grounds(**given))

    assert found is not None
    assert (found.recommended_status, found.confidence) == (status, confidence)


@pytest.mark.parametrize("missing", [{"level": None}, {"total_events": 0}, {"coverage": 0.4}])
def test_too_little_evidence_recommends_nothing_r7(missing: dict[str, Any]) -> None:
    assert recommend(grounds(**missing)) is None


SAID = (
    ({"unexplained_gaps": 2}, "Silences that nothing explains: 2."),
    ({"network_gaps": 3}, "Silences of the network, filled later: 3."),
    ({"is_flagged": True}, "A proctor's flag stands."),
    ({"findings": 1}, "Findings by observers at this exam: 1."),
    ({"damaged": 1}, "Evidence whose bytes are not what was stored: 1."),
    ({"missing": 4}, "Evidence announced and not there: 4."),
    ({"stored": 5}, "Evidence to look at: 5."),
    ({"stored": 0}, "There is no evidence to look at."),
    ({"rules": [rule(upheld=6, cleared=2)]}, "No Face was met 2 times; upheld in 6 of 8 decided sessions."),
    (
        {"rules": [rule(upheld=1)]},
        "No Face was met 2 times; too few decisions to know its worth (1).",
    ),
    ({"exempt": [exempt(0)]}, "Two Faces does not count for this candidate."),
    ({"exempt": [exempt(50)]}, "Two Faces counts 50% for this candidate."),
    ({"level": None, "findings": 1}, "Nothing was scored."),
)


@pytest.mark.parametrize(("given", "reason"), SAID)
def test_every_ground_is_a_reason_in_both_languages_r7(given: dict[str, Any], reason: str) -> None:
    found, before = recommend(grounds(**given)), recommend(grounds())

    assert found is not None
    assert before is not None
    assert reason in found.reasons
    arabic = found.reasons_ar[found.reasons.index(reason)]
    assert re.search(r"[\u0600-\u06ff]", arabic)
    assert re.findall(r"\d+", arabic) == re.findall(r"\d+", reason), "the same numbers"


def test_whatever_the_numbers_are_nothing_is_invalidated_and_every_reason_has_both_languages_r7() -> None:
    for level, upheld, cleared, gaps, coverage in product(
        ("Low", "Medium", "High", "Critical"), (0, 3, 90), (0, 3, 90), (0, 2), (None, 0.2, 0.9, 1.0)
    ):
        given = grounds(
            level=level,
            rules=[rule(upheld, cleared)],
            unexplained_gaps=gaps,
            network_gaps=gaps,
            coverage=coverage,
        )
        found = recommend(given)
        assert found is not None
        assert found.recommended_status not in {DecisionStatus.Invalidated, DecisionStatus.Pending}
        assert 0 <= found.confidence <= 1
        assert len(found.reasons) == len(found.reasons_ar) == 3 + 2 * bool(gaps)
