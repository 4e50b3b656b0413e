"""What behavior is projected from (spec.md W-1)."""

from datetime import UTC, datetime

import polars as pl
from msgspec import json

from kernel.settings import Settings
from pipeline.features.event_norms import CELLS, NORMS
from pipeline.projections.behavior import judged

MOMENT = pl.Datetime("us", "UTC")
AT = datetime(2026, 9, 1, tzinfo=UTC)
WATCHED = pl.DataFrame({
    "attempt_id": ["a", "b"], "exam_id": ["e", "e"], "student_id": ["s", "t"], "completed_at": [AT, AT],
    "is_decided": [False, False], "has_flag": [False, False], "peak_risk": [50.0, 50.0],
    "unexplained_silences": [0, 0], "unexplained_silence_s": [0.0, 0.0], "damaged_evidence": [0, 0],
    "said_at": [None, None],
}, schema_overrides={"said_at": MOMENT, "completed_at": MOMENT})  # fmt: skip
ACTIVITY = pl.DataFrame(
    schema={
        "attempt_id": pl.String, "events": pl.Int64, "by_severity": pl.String, "as_of": MOMENT,
    }
)  # fmt: skip
PARTNERS = pl.DataFrame(
    schema={"attempt_id": pl.String, "similarity_p": pl.Float64, "has_second_factor": pl.Boolean}
)
ITEMS = pl.DataFrame({"attempt_id": ["a", "b"], "topics": [["Algebra"], ["Geometry", "Algebra"]]})
WEAK = pl.DataFrame(
    {"attempt_id": ["b"], "weaknesses": ['[{"topic":"Geometry","n":12},{"topic":"Sets","n":20}]']}
)
TIMES = pl.DataFrame(
    schema=dict.fromkeys(("times_p", "rapid_share", "speed"), pl.Float64) | {"attempt_id": pl.String}
)
TEXTS = pl.DataFrame(
    schema={
        "attempt_id": pl.String, "facts_sha256": pl.String, "summary": pl.String,
        "recommendations": pl.String, "model_version": pl.String,
    }
)  # fmt: skip

LEAVING = pl.DataFrame(
    schema={"attempt_id": pl.String, "probability_reasons": pl.String, "model_version": pl.String}
    | dict.fromkeys(("probability", "done_share", "done_share_p10"), pl.Float64)
)
DRAFTS = pl.DataFrame(schema={"attempt_id": pl.String, "question_id": pl.String, "indicators": pl.String})
MOMENTA = pl.DataFrame(
    {"attempt_id": ["a", "b"], "lmi_score": [None, 20.0], "improvement_trend": [None, "declining"],
     "indicators": ["[]", '[{"code":"SUDDEN_JUMP"}]']},
    schema_overrides={"lmi_score": pl.Float64, "improvement_trend": pl.String},
)  # fmt: skip
GIVEN = {
    "watched": WATCHED,
    "submission_items": ITEMS,
    "weaknesses": WEAK,
    "attempt_activity": ACTIVITY,
    "session_cells": pl.DataFrame(schema=CELLS),
    "anomaly_norms": pl.DataFrame(schema=NORMS),
    "best_partners": PARTNERS,
    "times": TIMES,
    "momenta": MOMENTA,
    "draft_analysis": DRAFTS,
    "written_texts": TEXTS,
    "leaving_scores": LEAVING,
}


def test_momentum_gives_the_label_and_a_jump_counts_among_the_indicators() -> None:
    rows = judged(GIVEN, Settings())
    [first, moved] = rows.sort("attempt_id").to_dicts()

    assert (first["lmi_score"], first["dropout_label"], first["originality_indicators"]) == (None, None, None)
    assert (moved["lmi_score"], moved["improvement_trend"]) == (20.0, "declining")
    assert moved["dropout_label"] == "incapable", "integrity from 0.4 on, and little momentum"
    assert [each["code"] for each in json.decode(moved["originality_indicators"])] == ["SUDDEN_JUMP"]


def test_the_indicators_of_all_texts_of_an_attempt_count_together() -> None:
    drafts = pl.DataFrame(
        {
            "attempt_id": ["a", "a"],
            "question_id": ["1", "2"],
            "indicators": ['[{"code":"LARGE_PASTE"}]', '[{"code":"LOW_REVISION"}]'],
        }
    )
    rows = judged(GIVEN | {"momenta": MOMENTA.clear(), "draft_analysis": drafts}, Settings())
    [written, other] = rows.sort("attempt_id").to_dicts()

    assert [each["code"] for each in json.decode(written["originality_indicators"])] == [
        "LARGE_PASTE",
        "LOW_REVISION",
    ]
    assert written["integrity_score"] == 0.625 * (1 - 0.4 * (1 - 0.7 * 0.9))
    assert (other["originality_indicators"], other["integrity_score"]) == (None, 0.625)
    assert other["coverage"] == 0.75 / 2.35 < written["coverage"]


def test_a_recap_is_asked_for_where_the_exam_has_a_topic_that_is_weak() -> None:
    [unknown, weak] = judged(GIVEN, Settings()).sort("attempt_id").to_dicts()

    assert (unknown["requires_recap"], weak["requires_recap"]) == (None, True)
    recap = [each for each in json.decode(weak["reasons"]) if each["code"] == "WEAK_TOPICS"]
    assert [(each["value"], each["n"]) for each in recap] == [(1, 12)], "Sets are not in the exam"


def test_a_row_says_with_which_weights_it_was_made() -> None:
    versions = [
        judged(GIVEN, Settings(integrity_rules_weight=weight))["metric_version"].unique().to_list()
        for weight in (0.75, 0.5, 0.5, 0.25)
    ]

    assert versions[0] == ["behavior-1"]
    assert versions[1] == versions[2]
    assert len({each for (each,) in versions}) == 3
