"""
Items known before the exam: who did far better on questions that got out than on the others.

**Grain.** One row per attempt that is compared.

**Takes.** `RESPONSES` of whole forms, rows in any order, and the questions that are thought to have got
out: found on somebody's phone, or used before. Which those are is not guessed here.

**Definition.** X is the number right among the listed questions, S among all of the form. Given S, X has
the distribution that people of one total have: listed and other items are right independently, each with
its chance at that total (`pipeline.features.chances`):

    P(X = x | S) ∝ P(x of the listed are right) · P(S - x of the others are right)

This is exact, by convolution. p = P(X ≥ observed | S), and q is Benjamini-Hochberg's over the candidates
of the form. `is_striking` when q ≤ 0.01. Whoever is good at everything is not striking, nor is who is bad
at everything.

**Units.** Counts of items; p and q are probabilities; coverage is the share of listed items with an
answer.

**NULL.** No row under 30 candidates, 5 listed or 5 other items, nor for who answered less than half of
the form.

>>> from pipeline.features.simulated import Plan, cohort
>>> exam = cohort(3, Plan(candidates=120, items=50, insiders=3, leaked=0.5, difficulty=0.5))
>>> found = known_beforehand(exam.responses, exam.leaked).filter("is_striking")
>>> set(found["attempt_id"]) <= set(exam.insiders)
True
>>> found.select("right_listed", "listed", "right_rest", "rest", pl.col("expected_listed").round(1)).row(0)
(25, 25, 4, 25, 15.9)

Source: Sinharay 2017 (Journal of Educational and Behavioral Statistics 42, 46), who compares both parts'
scores by a likelihood ratio of abilities; conditioning on the total does without a model of ability, as
Fisher's exact test does.
"""

from collections.abc import Collection
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.features.forms import Form, forms_of
from pipeline.features.frames import RESPONSES, as_json, checked, reason, schema
from pipeline.features.similarity import ANSWERED_MIN, CANDIDATES_MIN, adjusted, chances_of

METRIC_VERSION: Final = "beforehand-1"
Q: Final = 0.01
PART_MIN: Final = 5  # items, of the listed and of the others
Floats = npt.NDArray[np.float64]
TEXT: Final = (
    "{right_listed} of the {listed} questions that may have been known are right, and {right_rest} of the"
    " {rest} others. Who has {total} right in all has {expected_listed:.1f} of the former on average."
)
SCHEMA: Final = schema(
    exam_id=pl.String,
    form_id=pl.String,
    attempt_id=pl.String,
    student_id=pl.String,
    listed=pl.Int64,
    right_listed=pl.Int64,
    expected_listed=pl.Float64,
    rest=pl.Int64,
    right_rest=pl.Int64,
    p=pl.Float64,
    q=pl.Float64,
    is_striking=pl.Boolean,
    metric_version=pl.String,
    coverage=pl.Float64,
    reasons=pl.String,
)


def known_beforehand(responses: pl.DataFrame, questions: Collection[str]) -> pl.DataFrame:
    """
    Return what each attempt did on the listed questions, as SCHEMA has it, by (exam, form, attempt).

    Args:
        responses: of `frames.RESPONSES`: all of each form.
        questions: question ids that are thought to have been known.
    """
    forms = forms_of(checked(responses, RESPONSES), answered_min=ANSWERED_MIN)
    rows = [row for form in forms for row in _rows(form, np.isin(form.questions, list(questions)))]
    return pl.DataFrame(rows, schema=SCHEMA).sort("exam_id", "form_id", "attempt_id")


def _rows(form: Form, is_listed: npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
    listed, rest = int(is_listed.sum()), int((~is_listed).sum())
    if len(form.attempts) < CANDIDATES_MIN or min(listed, rest) < PART_MIN:
        return []
    scores, place = np.unique(form.score, return_inverse=True)
    right = chances_of(form, scores, place).right
    given = [
        _given(_counts(each[is_listed]), _counts(each[~is_listed]), int(score))
        for each, score in zip(right, scores, strict=True)
    ]
    found = (form.right & is_listed).sum(axis=1)
    answered = (form.answered & is_listed).sum(axis=1)
    p = np.array([given[at][x:].sum() for at, x in zip(place, found, strict=True)]).clip(0, 1)
    q = adjusted(p, np.ones(len(p), dtype=np.int64))
    rows = []
    for number, attempt in enumerate(form.attempts):
        x, total = int(found[number]), int(form.score[number])
        row: dict[str, Any] = {
            "exam_id": form.exam_id,
            "form_id": form.form_id,
            "attempt_id": attempt,
            "student_id": form.students[number],
            "listed": listed,
            "right_listed": x,
            "expected_listed": float((given[place[number]] * np.arange(listed + 1)).sum()),
            "rest": rest,
            "right_rest": total - x,
            "p": float(p[number]),
            "q": float(q[number]),
            "is_striking": bool(q[number] <= Q),
            "metric_version": METRIC_VERSION,
            "coverage": int(answered[number]) / listed,
        }
        text = TEXT.format(total=total, **row)
        told = reason("LISTED_ITEMS", x, row["expected_listed"], listed, text)
        rows.append(row | {"reasons": as_json([told])})
    return rows


def _counts(chances: Floats) -> Floats:
    """Return the chance of each number right, of items with these chances (Poisson binomial)."""
    ways = np.ones(1)
    for chance in chances:
        ways = np.append(ways, 0.0) * (1 - chance) + np.append(0.0, ways) * chance
    return ways


def _given(listed: Floats, rest: Floats, total: int) -> Floats:
    """Return the chance of each number right among the listed, given the total."""
    x = np.arange(len(listed))
    other = total - x
    joint = np.where((other >= 0) & (other < len(rest)), listed * rest[other.clip(0, len(rest) - 1)], 0.0)
    given: Floats = joint / joint.sum()
    return given
