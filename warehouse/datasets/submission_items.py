"""
What was answered to each item, and what it earned.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

SUBMISSION_ITEMS: Final = describe(
    "submission_items",
    1,
    grain="one row per submission and item of its form",
    partition_key="exam_id",
    group=slice(-2, None),
    sort=("exam_id", "submission_id", "position"),
    columns=[
        column("submission_id", pa.string(), "The submission.", "UUID as text"),
        column("attempt_id", pa.string(), "Its attempt.", "UUID as text"),
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
        column("position", pa.int32(), "Place in the form, from 1.", "place"),
        column("question_id", pa.string(), "The question, the same in all its versions.", "UUID as text"),
        column("question_version_id", pa.string(), "Its version.", "UUID as text"),
        column(
            "kind",
            pa.string(),
            "`single_choice`, `multiple_choice`, `numeric`, `short_text`, `essay` or `finding`.",
        ),
        column(
            "response",
            pa.string(),
            "The response in one spelling: the chosen option's id; several in order, by comma; the shortest"
            " decimal number; a text folded as scoring compares it; of an essay the start of its SHA-256.",
            null="not answered, or, with points, not known: an import had the points alone",
        ),
        column(
            "key",
            pa.string(),
            "The right response in the same spelling.",
            null="there is none, or more than one",
        ),
        column("points", pa.float64(), "Points.", "points", null="waits for a grader"),
        column("max_points", pa.float64(), "What they could have been.", "points"),
        column(
            "seconds",
            pa.float64(),
            "Time that the item was on the screen, all visits together.",
            "seconds",
            null="the client did not say",
        ),
        column(
            "topics",
            pa.list_(pa.field("element", pa.string())),
            "Taxonomy terms of the question as it was published, by name; empty without any.",
        ),
        column(
            "saved_at",
            TIME,
            "When the response was last saved.",
            "UTC",
            null="not answered, or not known: an import has only when all was handed in",
        ),
    ],
)
