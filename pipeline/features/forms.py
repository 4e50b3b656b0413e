"""
Answers to a form as numbers: who chose which option of which item.

Candidates ascend by number right, options of an item by how often they were chosen, the right one first. What
nobody else answered can match nothing, and counts as wrong or omitted does.

>>> from pipeline.features.simulated import Plan, cohort
>>> [form] = forms_of(cohort(1, Plan(candidates=40, items=12)).responses, answered_min=0.5)
>>> form.chosen.shape, form.is_right[0].tolist(), form.score[[0, -1]].tolist()
((40, 12), [True, False, False, False], [2, 12])

Source: analytics.md, "collusion".
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

Ints = npt.NDArray[np.int64]
COMPARED: Final = ("single_choice", "multiple_choice", "numeric", "short_text")
OPTIONS_MAX: Final = 40  # of an item that are told apart: the right ones, then the most frequent
NONE: Final = -1  # omitted, or an answer that nobody else gave


class Form(Struct, frozen=True, kw_only=True):
    """
    Who answered what. Candidates ascend by (number right, attempt), items by position.

    Attributes:
        exam_id: the exam.
        form_id: the form; None of an exam without: then all of it is one.
        attempts: attempt of each candidate.
        students: student of each.
        questions: question of each item.
        chosen: (candidates, items): number of the option, NONE where nothing can match.
        answered: (candidates, items): whether there is an answer.
        is_right: (items, options): whether that option is right.
        score: number right of each candidate.
    """

    exam_id: str
    form_id: str | None
    attempts: list[str]
    students: list[str]
    questions: list[str]
    chosen: npt.NDArray[np.int16]
    answered: npt.NDArray[np.bool_]
    is_right: npt.NDArray[np.bool_]
    score: Ints

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Return whether each answer is right: (candidates, items)."""
        is_right = self.is_right[np.arange(self.chosen.shape[1]), self.chosen]
        return np.where(self.chosen == NONE, np.False_, is_right)


def forms_of(responses: pl.DataFrame, *, answered_min: float) -> Iterator[Form]:
    """
    Yield each form with a response, in the order of (exam, form).

    Args:
        responses: of `frames.RESPONSES`, any order; kinds that are graded by reading are left out.
        answered_min: share of the form's items that a candidate must have answered to be in it.

    An answer is right when it is the key; where the key is not one response, when at least half of those who
    gave it got full points.
    """
    kept = responses.filter(pl.col("kind").is_in(COMPARED)).select(
        "exam_id", "form_id", "attempt_id", "student_id", "position", "question_id", "question_version_id",
        "response",
        is_full=(
            pl.when(pl.col("key").is_not_null())
            .then(pl.col("response") == pl.col("key"))
            .otherwise(pl.col("points") >= pl.col("max_points"))
            .fill_null(value=False)
        ),
    )  # fmt: skip
    forms = kept.partition_by("exam_id", "form_id", as_dict=True)
    for exam_id, form_id in sorted(forms, key=lambda ids: (ids[0], ids[1] or "")):
        form = _form(exam_id, form_id, forms[exam_id, form_id], answered_min)
        if form is not None:
            yield form


def _form(exam_id: str, form_id: str | None, rows: pl.DataFrame, answered_min: float) -> Form | None:
    items = rows.group_by("question_version_id").agg(pl.col("position", "question_id").min())
    items = items.sort("position", "question_version_id").with_row_index("item")
    enough = rows.group_by("attempt_id", "student_id").agg(pl.col("response").count().alias("answered"))
    people = enough.filter(pl.col("answered") >= max(1.0, answered_min * len(items))).sort("attempt_id")
    if not len(people):
        return None
    people = people.with_row_index("person")
    places = items.select("question_version_id", "item")
    rows = rows.join(people, on="attempt_id").join(places, on="question_version_id")
    options = _options(rows)
    cells = rows.join(options, on=["item", "response"], how="left")
    person, item = cells["person"].to_numpy(), cells["item"].to_numpy()
    chosen = np.full((len(people), len(items)), NONE, dtype=np.int16)
    chosen[person, item] = cells["option"].fill_null(NONE).to_numpy()
    answered = np.zeros(chosen.shape, dtype=np.bool_)
    answered[person, item] = cells["response"].is_not_null().to_numpy()
    top = options["option"].max()
    is_right = np.zeros((len(items), 1 + (int(top) if isinstance(top, int) else 0)), dtype=np.bool_)
    is_right[options["item"].to_numpy(), options["option"].to_numpy()] = options["is_right"].to_numpy()
    score = ((chosen != NONE) & is_right[np.arange(len(items)), chosen]).sum(axis=1)
    order = np.argsort(score, kind="stable")
    return Form(
        exam_id=exam_id,
        form_id=form_id,
        attempts=people["attempt_id"].gather(order).to_list(),
        students=people["student_id"].gather(order).to_list(),
        questions=items["question_id"].to_list(),
        chosen=chosen[order],
        answered=answered[order],
        is_right=is_right,
        score=score[order],
    )


def _options(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the options of each item that are told apart, numbered: right ones, then by frequency."""
    return (
        rows.filter(pl.col("response").is_not_null())
        .group_by("item", "response")
        .agg(pl.len().alias("people"), (2 * pl.col("is_full").sum() >= pl.len()).alias("is_right"))
        .filter((pl.col("people") > 1) | pl.col("is_right"))
        .sort("item", "is_right", "people", "response", descending=[False, True, True, False])
        .with_columns(option=pl.int_range(pl.len(), dtype=pl.Int64).over("item"))
        .filter(pl.col("option") < OPTIONS_MAX)
        .select("item", "response", "option", "is_right")
    )
