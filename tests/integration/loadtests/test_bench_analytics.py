"""The analytics benchmark in small: an organisation is computed, asked, gone on with (spec.md W-2, W-3)."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from core_api import seeding
from deploy.local.postgres import Postgres
from kernel.settings import Settings
from loadtests.bench.analytics import AnalyticsFigures, judged
from loadtests.bench.analytics_steps import aggregation_s, one_more_cpu_ms, question_s, rebuild_whole
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.organisation import Extent, Organisation
from tests.kits.pipeline_world import rows_of

EXTENT = Extent(exams=4, students=12, attempts=16, largest=6, small=4, items=4, events=6, late=3)


def test_an_organisation_is_made_computed_asked_and_gone_on_with(
    postgres: Postgres, database: str, database_as: Callable[[str], str], tmp_path: Path
) -> None:
    settings = Settings(database_url=database_as("veritas_pipeline"), warehouse=str(tmp_path))
    with seeding.connect(database) as owner:
        made = Organisation(owner, EXTENT)
        made.fill(Screen(Console(quiet=True)))

        assert set(rebuild_whole(settings)) == {
            "archive",
            "sessions",
            "attempt",
            "exam",
            "student",
            "publish",
            "settle",
        }
        assert aggregation_s(owner, EXTENT.attempts * EXTENT.events) > 0
        assert set(question_s(tmp_path)) == {"events_by_hour", "hardest_topics", "violations_and_results"}
        assert set(one_more_cpu_ms(settings, made, postgres.pid)) == {"of_6", "of_4"}

    counted = "SELECT count(*) FROM reporting.submissions"
    assert rows_of(database, counted) == [(EXTENT.attempts + 2 * (EXTENT.late - 1),)]
    assert rows_of(database, "SELECT sum(events)::int FROM reporting.attempt_activity") == [(96,)]


def test_what_misses_its_bar_is_said() -> None:
    answers = {"p50": 1.0, "p95": 26.0, "p99": 30.0}
    figures = judged(
        AnalyticsFigures(
            events_to_parquet_s=59.0,
            peak_rss_mib=2_048.0,
            rebuild_s={},
            sql_aggregation_s=1.0,
            ratio_to_sql=1.0,
            similarity_pairs_per_s=499_999.0,
            student_dashboard_ms=answers | {"p95": 10.0},
            exam_analytics_ms=answers,
            flagged_students_ms=answers,
            finalise_to_visible_ms={"p50": 1.0, "p99": 5_000.0},
            one_more_cpu_ms={},
            one_more_submission_cost_ratio=3.1,
            analyst_queries_s={},
            bars={},
            passes={},
            size=EXTENT,
            machine={},
        )
    )

    assert sorted(name for name, passes in figures.passes.items() if not passes) == [
        "exam_analytics_ms.p95", "one_more_submission_cost_ratio", "similarity_pairs_per_s",
    ]  # fmt: skip
    assert figures.bars["student_dashboard_ms.p95"] == pytest.approx(10.0)
