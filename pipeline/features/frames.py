"""
The frames that features take: what each column is, in which unit, and what null says.

A feature is a function from frames to a frame; nothing need run for it. Rows come in any order, and ids are
UUIDs as text. Whoever makes such a frame from elsewhere calls `checked` on it first.

>>> whole = pl.DataFrame(schema=DRAFTS.schema)
>>> checked(whole, DRAFTS).columns == list(DRAFTS.about)
True
>>> checked(whole.drop("text"), DRAFTS)
Traceback (most recent call last):
...
pipeline.features.frames.FrameError: text is missing

Source: spec.md W-1.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
import orjson
import polars as pl
from msgspec import Struct

UTC: Final = pl.Datetime("us", "UTC")


class FrameError(ValueError):
    """A frame has not the columns that a feature takes; the message names what differs."""


class Frame(Struct, frozen=True):
    """
    What a frame is.

    Attributes:
        grain: what a row is.
        schema: name and type of each column.
        about: what each column means, by name; null is allowed where it says so.
    """

    grain: str
    schema: pl.Schema
    about: dict[str, str]


def frame(grain: str, columns: dict[str, tuple[Any, str]]) -> Frame:
    """Return the frame of these columns: name to (type, meaning)."""
    return Frame(
        grain,
        pl.Schema({name: kind for name, (kind, _) in columns.items()}),
        {name: about for name, (_, about) in columns.items()},
    )


SUBMISSIONS: Final = frame(
    "one row per submission",
    {
        "submission_id": (pl.String, "The submission."),
        "attempt_id": (pl.String, "Its attempt."),
        "exam_id": (pl.String, "Its exam."),
        "organisation_id": (pl.String, "The exam's organisation."),
        "student_id": (pl.String, "Its candidate."),
        "kind": (pl.String, "`attempt` or `imported`."),
        "submitted_by": (pl.String, "`candidate`, `expiry`, or `import`."),
        "started_at": (UTC, "When the attempt began."),
        "finalised_at": (UTC, "When it was handed in."),
        "points": (pl.Float64, "Points of all scored items; null while any waits for a grader."),
        "max_points": (pl.Float64, "What they could have been."),
        "score": (pl.Float64, "On the exam's scale; null while any item waits for a grader."),
        "percentage": (pl.Float64, "0 to 100; null like the score."),
        "passed": (pl.Boolean, "Null like the score."),
        "is_void": (pl.Boolean, "A final decision has voided the result: it counts in no statistics."),
    },
)

RESPONSES: Final = frame(
    "one row per submission and item of its form",
    {
        "submission_id": (pl.String, "The submission."),
        "attempt_id": (pl.String, "Its attempt."),
        "exam_id": (pl.String, "Its exam."),
        "student_id": (pl.String, "Its candidate."),
        "form_id": (pl.String, "The evaluation version: candidates of one form had the same items and key."),
        "position": (pl.Int32, "Place in the form, from 1."),
        "question_id": (pl.String, "The question, the same in all its versions."),
        "question_version_id": (pl.String, "Its version."),
        "kind": (
            pl.String,
            "`single_choice`, `multiple_choice`, `numeric`, `short_text`, `essay`, `finding`.",
        ),
        "response": (
            pl.String,
            "In one spelling; a chosen option is its key. Null: omitted, or, where it has points, unknown.",
        ),
        "key": (
            pl.String,
            "The right response in the same spelling; null where there is none, or more than one.",
        ),
        "points": (pl.Float64, "Points; null while it waits for a grader."),
        "max_points": (pl.Float64, "What they could have been."),
        "seconds": (pl.Float64, "Time on the item; null where it is not known."),
        "topics": (
            pl.List(pl.String),
            "Taxonomy terms of the question, empty without any.",
        ),
    },
)

DRAFTS: Final = frame(
    "one row per saved version of a text",
    {
        "attempt_id": (pl.String, "The attempt."),
        "exam_id": (pl.String, "Its exam."),
        "student_id": (pl.String, "Its candidate."),
        "question_id": (pl.String, "The essay's question."),
        "version": (pl.Int32, "From 1, in the order that they were saved; the last is what was handed in."),
        "text": (pl.String, "All of it."),
        "saved_at": (UTC, "Server time."),
    },
)

PROGRESS: Final = frame(
    "one row per attempt",
    {
        "student_id": (pl.String, "The candidate."),
        "attempt_id": (pl.String, "The attempt."),
        "finalised_at": (UTC, "When it was handed in; attempts follow in this order, then by id."),
        "normal_score": (pl.Float64, "Of its result; null without one, or a cohort of 10."),
        "draft_z": (pl.Float64, "Mean z of its texts' thinking quality; null without one."),
    },
)

POINTS: Final = frame(
    "one row per value of a person",
    {
        "student_id": (pl.String, "The person."),
        "occurred_at": (UTC, "When it was made, by the server."),
        "sequence": (pl.Int64, "Place among values of one moment; 0 where there is none."),
        "id": (pl.String, "Of the attempt: what settles the order at last."),
        "value": (pl.Float64, "The value; null is left out."),
    },
)

GROUPS: Final = frame(
    "one row per submission that an audit of fairness looks at",
    {
        "submission_id": (pl.String, "The submission."),
        "group": (pl.String, "`reference` or `focal`."),
    },
)

EVENTS: Final = frame(
    "one row per event: columns of the dataset `events` that features read",
    {
        "session_id": (pl.Int64, "The proctor session."),
        "seq": (pl.Int32, "Its place in the session, from 1."),
        "attempt_id": (pl.String, "The attempt."),
        "exam_id": (pl.String, "Its exam."),
        "occurred_at": (UTC, "Server time."),
        "effective_at": (UTC, "Corrected client time of a back-filled event, else null."),
        "event_type": (pl.Int16, "Its wire number."),
        "severity": (pl.Int16, "0 to 5."),
        "is_violation": (pl.Boolean, "Counts as a violation."),
        "is_late": (pl.Boolean, "Arrived after the session had ended."),
        "payload": (pl.String, "Metadata as JSON text; null where none was sent."),
    },
)

CONTACTS: Final = frame(
    "one row per attempt and address or device that it was taken from",
    {
        "attempt_id": (pl.String, "The attempt."),
        "kind": (pl.String, "`address` or `device`."),
        "value": (pl.String, "Equal where they are the same; need not be readable."),
    },
)


def schema(**columns: Any) -> pl.Schema:  # noqa: ANN401  polars takes a type, or an instance of one
    """Return the schema of these columns, in this order."""
    return pl.Schema(columns)


def checked(given: pl.DataFrame, wanted: Frame) -> pl.DataFrame:
    """
    Return the columns that the frame names, in its order; others are left out.

    Raises:
        FrameError: a column is missing or of another type.
    """
    faults = [
        f"{name} is {given.schema[name]}, not {kind}" if name in given.schema else f"{name} is missing"
        for name, kind in wanted.schema.items()
        if given.schema.get(name) != kind
    ]
    if faults:
        raise FrameError("; ".join(faults))
    return given.select(wanted.schema.names())


def reason(code: str, value: float, threshold: float, n: int, text: str) -> dict[str, Any]:
    """Return one contribution to a number: what it is called, its value, the bar, of how many, in words."""
    return {"code": code, "value": value, "threshold": threshold, "n": n, "text": text}


def version_of(version: str, given: Struct, usual: Struct) -> str:
    """Return a definition's version; where weights or bars are others than usual, with a hash of these."""
    if given == usual:
        return version
    return f"{version}+{sha256(msgspec.json.encode(given)).hexdigest()[:8]}"


def as_json(reasons: Sequence[dict[str, Any]]) -> str:
    """Return reasons as a column holds them."""
    return orjson.dumps(list(reasons)).decode()
