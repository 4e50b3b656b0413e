"""
What was handed in, and what it came to.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

SUBMISSIONS: Final = describe(
    "submissions",
    1,
    grain="one row per submission of an attempt",
    partition_key="exam_id",
    group=slice(-2, None),
    sort=("exam_id", "submission_id"),
    columns=[
        column("submission_id", pa.string(), "The submission.", "UUID as text"),
        column("attempt_id", pa.string(), "Its attempt; one submission each.", "UUID as text"),
        column("exam_id", pa.string(), "Its exam.", "UUID as text"),
        column("organisation_id", pa.string(), "The exam's organisation.", "UUID as text"),
        column("student_id", pa.string(), "Its candidate.", "UUID as text"),
        column(
            "form_id",
            pa.string(),
            "The evaluation version: candidates of one form had the same items and key.",
            "UUID as text",
            null="the exam asks nothing here",
        ),
        column("kind", pa.string(), "`attempt`, or `imported` from elsewhere."),
        column(
            "submitted_by", pa.string(), "Who handed it in: `candidate`, `expiry`, `proctor` or `import`."
        ),
        column("started_at", TIME, "When the attempt began.", "UTC"),
        column("finalised_at", TIME, "When it was handed in.", "UTC"),
        column(
            "revision",
            pa.int32(),
            "Which score counts: 1, and one more each time that it was scored again.",
            "place",
        ),
        column("scored_at", TIME, "When that score was given.", "UTC"),
        column("scoring_version", pa.string(), "Version of the rules that scored it."),
        column("ungraded", pa.int32(), "Items that wait for a grader.", "items"),
        column(
            "points", pa.float64(), "Points of all its items.", "points", null="an item waits for a grader"
        ),
        column("max_points", pa.float64(), "What they could have been.", "points"),
        column(
            "score",
            pa.float64(),
            "The points on the exam's scale.",
            "points",
            null="an item waits for a grader",
        ),
        column(
            "percentage",
            pa.float64(),
            "The points, of a hundred.",
            "0 to 100",
            null="an item waits for a grader",
        ),
        column(
            "passed",
            pa.bool_(),
            "The score is the exam's passing score at least.",
            null="an item waits for a grader",
        ),
        column("is_void", pa.bool_(), "A final decision has voided the result: it counts in no statistics."),
        column("as_of", TIME, "Its last score, or the last change of whether it counts.", "UTC"),
    ],
)
