"""What a session's numbers speak for (spec.md R-7)."""

from itertools import product
from typing import Any

import pytest

from core_api.reviews.recommending import FiredRule, Grounds, recommend
from kernel.events import DecisionStatus


def rule(upheld: int = 0, cleared: int = 0) -> FiredRule:
    return FiredRule(name_en="No Face", name_ar="عدم ظهور الوجه", triggers=2, upheld=upheld, cleared=cleared)


def grounds(**more: Any) -> Grounds:
    known: dict[str, Any] = {
        "level": "Low", "total_events": 100, "coverage": 1.0, "unexplained_gaps": 0, "network_gaps": 0,
        "rules": [],
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
        assert len(found.reasons) == len(found.reasons_ar) == 2 + 2 * bool(gaps)
