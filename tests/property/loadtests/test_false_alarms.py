"""How often honest people are accused is counted on exams whose truth is known (spec.md W-1)."""

import pytest
from typer.testing import CliRunner

from deploy.commands.cli import app
from loadtests.false_alarms import ALARMS, KNOWN, Alarm, Rate, Search, honest, planted
from pipeline.features.simulated import Plan

ALWAYS = Alarm("always", "exams", lambda _: (1, 1))


def test_the_command_counts_alarms_on_honest_exams() -> None:
    shown = CliRunner().invoke(app, ["analytics", "false-alarms", "--exams", "4", "--planted", "0"])

    assert shown.exit_code == 0, shown.output
    assert "0 of 4" in " ".join(shown.output.split())


def test_alarms_are_counted_beside_one_another() -> None:
    *_, rates = honest((ALWAYS, *ALARMS), 2, seed=5)

    assert [(each.exams, each.found, each.among) for each in rates] == [(2, 2, 2), *[(2, 0, 2)] * len(ALARMS)]
    assert [each.is_too_high for each in rates] == [True, *[False] * len(ALARMS)]


@pytest.mark.parametrize(
    ("found", "among", "low", "high"), [(0, 300, 0.0, 0.0122), (3, 300, 0.0021, 0.0289), (1, 1, 0.025, 1.0)]
)
def test_a_rate_says_how_sure_it_is(found: int, among: int, low: float, high: float) -> None:
    assert Rate(ALWAYS, "", among, found, among).bounds == pytest.approx((low, high), abs=1e-4)


def test_who_knew_hard_items_is_found_by_these_items() -> None:
    plan = Plan(candidates=200, items=40, insiders=8, leaked=0.5, difficulty=1.0)

    *_, rate = planted(Search(plan, KNOWN), 1, seed=2)

    assert rate.among == 8
    assert rate.found >= 4
