"""The limits on tests: what takes too long says why, or fails."""

from typing import Any

import pytest

from tests.kits import budget
from tests.kits.budget import CALL_S_MAX, SHARED_S_MAX, SLOW_S_MAX, fault_of


@pytest.mark.parametrize(
    ("when", "reason", "limit"),
    [
        ("call", None, CALL_S_MAX),
        ("call", "kills forty processes", SLOW_S_MAX),
        ("setup", None, SHARED_S_MAX),
        ("teardown", "kills forty processes", SHARED_S_MAX),
    ],
)
def test_what_takes_longer_than_its_limit_fails_and_a_crowded_machine_moves_it(
    when: str, reason: str | None, limit: float
) -> None:
    assert fault_of(when, limit, reason, 1.0) is None
    assert fault_of(when, limit * 3, reason, 3.0) is None
    assert f"its {when} took {limit * 2:.1f} s of {limit:.0f} s" in str(
        fault_of(when, limit * 2, reason, 1.0)
    )


@pytest.mark.parametrize(("lasted_s", "passes"), [(CALL_S_MAX / 2, True), (CALL_S_MAX * 2, False)])
def test_a_test_that_passed_too_late_is_reported_as_failed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, lasted_s: float, *, passes: bool
) -> None:
    monkeypatch.setattr(budget, "crowding", lambda: 1.0)
    told: Any = {"nodeid": "a test", "location": ("", 0, ""), "keywords": {}, "longrepr": None}
    report = pytest.TestReport(**told, outcome="passed", when="call", duration=lasted_s)
    budget.hold(request.node, report)

    assert report.passed is passes
    assert (report.longrepr is None) is passes


def test_every_slow_test_says_why(request: pytest.FixtureRequest) -> None:
    marked = {item.nodeid: item.get_closest_marker("slow") for item in request.session.items}

    assert {
        node: mark.args for node, mark in marked.items() if mark and not (mark.args and mark.args[0])
    } == {}
