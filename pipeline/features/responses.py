"""
What was answered to each item, in one spelling: one row per submission and item of its form.

Beside the response stand its key, its time and its topics, as `frames.RESPONSES` has them. It takes
submissions, their items as they were handed in, the keys of their forms, and what clients said of the
questions on the screen (QuestionViewed) and saved (AnswerSaved).

- `response`: two that scoring cannot tell apart are spelt alike. The chosen option's id; the ids of several
  in order, by comma; the shortest decimal of a number; a text as scoring compares it. Of an essay only the
  beginning of its SHA-256, which tells whether two are the same: what a person wrote is read where it can be
  erased. Null: nothing was answered.
- `key`: the right response in the same spelling; null where several are right (more than one accepted text, a
  tolerance), or none is.
- `seconds` = sum over the visits to the item of (next QuestionViewed of any question, at last the hand-in,
  minus its QuestionViewed); where a client says none, of (AnswerSaved minus the AnswerSaved before, at
  first the start). Null where the client says neither. Server time, or what it was corrected to. Of an
  imported result it is what was imported.

>>> spelt_as("multiple_choice", '{"choices": ["c", "a"]}', case_sensitive=False)
'a,c'
>>> spelt_as("numeric", '{"number": 3.0}', case_sensitive=False)
'3'
>>> spelt_as("short_text", '{"text": "  PhotoSynthesis "}', case_sensitive=False)
'photosynthesis'
>>> key_as("numeric", '{"number": 3.0, "tolerance": 0.1}') is None
True

Source: spec.md E-1, S-3; kernel/spelling.py.
"""

from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Final

import orjson
import polars as pl

from kernel import spelling
from kernel.events import EventType

DIGEST_LENGTH: Final = 16
SPELT_MAX: Final = 100_000  # responses that are remembered, so that ten thousand candidates' are spelt once
OWNED: Final = ("attempt_id", "exam_id", "organisation_id", "student_id", "form_id")


def spelt(
    submissions: pl.DataFrame, items: pl.DataFrame, keys: pl.DataFrame, events: pl.DataFrame
) -> pl.DataFrame:
    """
    Return one row per item that was handed in.

    Args:
        submissions: with submission_id, the ids of OWNED, started_at and finalised_at.
        items: submission_id, position, question_id, question_version_id, kind, response (JSON text), points,
            max_points, saved_at, stated_seconds (what an import said, else null).
        keys: form_id, question_id, key (JSON text) and topics.
        events: attempt_id, session_id, seq, event_type, told_at, question (its id, or its place in the form).
    """
    rows = items.join(submissions.select("submission_id", *OWNED), on="submission_id").join(
        keys, on=["form_id", "question_id"], how="left"
    )
    given = zip(rows["kind"], rows["response"], rows["key"], strict=True)
    spellings = [
        (spelt_as(kind, text, case_sensitive=_is_case_sensitive(key)), key_as(kind, key))
        for kind, text, key in given
    ]
    spelled = rows.with_columns(
        pl.Series("response", [response for response, _ in spellings], pl.String),
        pl.Series("key", [key for _, key in spellings], pl.String),
        pl.col("topics").fill_null(pl.lit([], pl.List(pl.String))),
    )
    told = _seconds(submissions, rows, events)
    return (
        spelled.join(told, on=["attempt_id", "question_id"], how="left")
        .with_columns(seconds=pl.coalesce("stated_seconds", "seconds"))
        .drop("stated_seconds")
    )


def _is_case_sensitive(key: str | None) -> bool:
    return (
        key is not None and '"case_sensitive": true' in key and bool(orjson.loads(key).get("case_sensitive"))
    )


@lru_cache(SPELT_MAX)
def spelt_as(kind: str, response: str | None, *, case_sensitive: bool) -> str | None:
    """Return a response, JSON text as it was saved, in its one spelling; None where nothing was answered."""
    given = {} if response is None else orjson.loads(response)
    if given.get("choice") is not None:
        return str(given["choice"])
    if given.get("choices"):
        return ",".join(sorted(given["choices"]))
    if given.get("number") is not None:
        return _number(given["number"])
    text = given.get("text") or ""
    if spelling.is_unseen(text):
        return None
    if kind == "essay":
        return sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
    return spelling.answer(text, case_sensitive=case_sensitive)


@lru_cache(SPELT_MAX)
def key_as(kind: str, key: str | None) -> str | None:
    """Return the one right response, spelt as responses are; None where there is none, or more than one."""
    given = {} if key is None else orjson.loads(key)
    match kind:
        case "single_choice":
            return given.get("choice")
        case "multiple_choice":
            return ",".join(sorted(given.get("choices") or ())) or None
        case "numeric":
            return None if given.get("number") is None or given.get("tolerance") else _number(given["number"])
        case "short_text":
            fold = given.get("case_sensitive", False)
            accepted = {spelling.answer(each, case_sensitive=fold) for each in given.get("accepted") or ()}
            return accepted.pop() if len(accepted) == 1 else None
        case _:
            return None


def _number(number: float) -> str:
    plain = Decimal(repr(number)).normalize()
    return "0" if plain.is_zero() else f"{plain:f}"


def _seconds(submissions: pl.DataFrame, rows: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Return attempt_id, question_id and seconds of the questions that clients spoke of."""
    places = rows.select("attempt_id", "question_id", pl.col("position").cast(pl.String).alias("place"))
    named = pl.concat(
        [
            places.select("attempt_id", "question_id", question="question_id"),
            places.select("attempt_id", "question_id", question="place"),
        ]
    )
    told = events.join(submissions.select("attempt_id", "started_at", "finalised_at"), on="attempt_id").sort(
        "attempt_id", "told_at", "session_id", "seq"
    )
    viewed = told.filter(pl.col("event_type") == int(EventType.QuestionViewed)).with_columns(
        since=pl.col("told_at"),
        until=pl.col("told_at").shift(-1).over("attempt_id").fill_null(pl.col("finalised_at")),
    )
    saved = (
        told.filter(pl.col("event_type") == int(EventType.AnswerSaved))
        .join(viewed.select("attempt_id"), on="attempt_id", how="anti")
        .with_columns(
            since=pl.col("told_at").shift(1).over("attempt_id").fill_null(pl.col("started_at")),
            until=pl.col("told_at"),
        )
    )
    return (
        pl.concat([viewed, saved])
        .with_columns(us=(pl.col("until") - pl.col("since")).dt.total_microseconds().clip(lower_bound=0))
        .join(named, on=["attempt_id", "question"])
        .group_by("attempt_id", "question_id")
        .agg(seconds=pl.col("us").sum() / 1_000_000)
    )
