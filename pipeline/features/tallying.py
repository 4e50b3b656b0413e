"""
A form's tally from frames of submissions and their responses.

Counted is each submission that is not void and whose points are all known; one that waits for a grader is
`waiting`. Each attempt of a candidate is a submission. Every submission to a form has a row for each item.

>>> submissions, responses = sheet_of_choices(["ab", "aa", "b "], key="aa")
>>> tally = tallied(submissions, responses)["exam", "form"]
>>> tally.n, tally.sums.tolist(), tally.omitted.tolist(), tally.totals
(3, [200, 100], [0, 1], {0: 1, 100: 1, 200: 1})
>>> list(zip(tally.options, tally.chosen.tolist()))
[((0, 'a'), 2), ((0, 'b'), 1), ((1, 'a'), 1), ((1, 'b'), 1)]

Source: analytics.md, "Exam analytics".
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct, structs

from pipeline.features.frames import RESPONSES, SUBMISSIONS
from pipeline.features.moments import BANDS, HUNDREDTHS, STEPS, Ints, Item, Tally

CHOICES: Final = ("single_choice", "multiple_choice")
ITEM: Final = ("position", "question_id", "question_version_id", "kind", "key", "max_points")
TAKEN: Final = (*ITEM, "response", "points", "seconds")
# What has points was answered, also where an import knew the points alone.
_OMITTED: Final = pl.col("response").is_null() & ~(pl.col("points") > 0)
EXACT: Final = 2**53  # below it sums of floats are exact, and products of matrices fast


def tallied(
    submissions: pl.DataFrame, responses: pl.DataFrame, groups: pl.DataFrame | None = None
) -> dict[tuple[str, str], Tally]:
    """
    Return the tally of each form, by (exam, form).

    Args:
        submissions: of `frames.SUBMISSIONS`; those that are void are left out.
        responses: of `frames.RESPONSES`, to these and maybe others.
        groups: of `frames.GROUPS`, where an audit of fairness is configured.
    """
    valid = submissions.filter(~pl.col("is_void")).select("submission_id", "passed").unique("submission_id")
    if groups is None:
        valid = valid.with_columns(group=pl.lit("", pl.String))
    else:
        valid = valid.join(groups.select("submission_id", "group"), on="submission_id", how="left")
    valid = valid.sort("submission_id").with_columns(
        pl.col("group").fill_null(""), person=pl.int_range(pl.len(), dtype=pl.Int64)
    )
    rows = responses.select("submission_id", "exam_id", "form_id", *TAKEN).join(
        valid.select("submission_id", "person"), on="submission_id"
    )
    forms = rows.select("exam_id", "form_id").unique().drop_nulls().sort("exam_id", "form_id").rows()
    return {
        (exam_id, form_id): _of_form(
            rows.filter((pl.col("exam_id") == exam_id) & (pl.col("form_id") == form_id)), valid
        )
        for exam_id, form_id in forms
    }


def _of_form(rows: pl.DataFrame, valid: pl.DataFrame) -> Tally:
    """Return the tally of one form: of its responses, with `person` as `valid` numbers them."""
    items = rows.group_by("question_version_id").agg(pl.col("position").min())
    items = items.sort("position", "question_version_id").with_row_index("item")
    rows = rows.join(
        items.select("question_version_id", pl.col("item").cast(pl.Int64)), on="question_version_id"
    )
    person, is_known = rows["person"].to_numpy(), rows["points"].is_not_null().to_numpy()
    handed_in = np.bincount(person, minlength=len(valid)) > 0
    is_whole = np.bincount(person[is_known], minlength=len(valid)) == len(items)
    whole = valid.filter(pl.Series(is_whole))
    numbers = np.cumsum(is_whole) - 1
    counted = rows.with_columns(person=pl.Series(numbers[person])).filter(pl.Series(is_whole[person]))
    sheet = _sheet(counted, len(whole), len(items))
    return structs.replace(
        _sums(sheet, whole["group"].to_list()),
        layouts=_layouts(rows, int(handed_in.sum())),
        waiting=int(handed_in.sum()) - len(whole),
        passed=int(whole["passed"].sum() or 0),
        failed=int((~whole["passed"]).sum() or 0),
        totals=_counted(sheet.points.sum(axis=1)),
    )


class Sheet(Struct, frozen=True):
    """Submissions by items: points and full points in hundredths, milliseconds (-1 unknown), and choices."""

    points: Ints
    full: Ints
    milliseconds: Ints
    omitted: npt.NDArray[np.bool_]
    options: tuple[tuple[int, str], ...]
    people: Ints  # who chose: one entry for each choice
    places: Ints  # which option


def _sheet(rows: pl.DataFrame, people: int, items: int) -> Sheet:
    """Return one form's responses, with `person` and `item`, as arrays."""
    person, item = rows["person"].to_numpy().astype(np.int64), rows["item"].to_numpy()

    def spread(column: pl.Series, fill: int) -> Ints:
        values = np.full((people, items), fill, dtype=np.int64)
        values[person, item] = column.fill_null(fill).to_numpy()
        return values

    chosen = rows.filter(pl.col("kind").is_in(CHOICES) & pl.col("response").is_not_null()).select(
        "person", "item", "kind", option="response"
    )
    several = chosen.filter(pl.col("kind") == "multiple_choice").with_columns(pl.col("option").str.split(","))
    choices = pl.concat([chosen.filter(pl.col("kind") != "multiple_choice"), several.explode("option")])
    seen = choices.select("item", "option").unique().sort("item", "option").with_row_index("place")
    placed = choices.join(seen, on=["item", "option"])
    return Sheet(
        points=spread(rows.select(_hundredths("points")).to_series(), 0),
        full=spread(rows.select(_hundredths("max_points")).to_series(), 0),
        milliseconds=spread((rows["seconds"].clip(0) * 1000).round().cast(pl.Int64), -1),
        omitted=spread(rows.select(_OMITTED).to_series().cast(pl.Int64), 0).astype(np.bool_),
        options=tuple(zip(seen["item"].to_list(), seen["option"].to_list(), strict=True)),
        people=placed["person"].to_numpy().astype(np.int64),
        places=placed["place"].to_numpy().astype(np.int64),
    )


def _hundredths(points: str) -> pl.Expr:
    return (pl.col(points) * HUNDREDTHS).round().cast(pl.Int64)


def _sums(sheet: Sheet, groups: Sequence[str | None]) -> Tally:
    """Return what adds up of a sheet, `groups` the group of each submission."""
    points, (n, items) = sheet.points, sheet.points.shape
    chose = np.zeros((n, len(sheet.options)), dtype=np.int64)
    chose[sheet.people, sheet.places] = 1
    full = sheet.full.sum(axis=1)
    bands = np.clip(points.sum(axis=1) * BANDS // np.maximum(full, 1), 0, BANDS)
    people, banded = {}, {}
    for group in sorted({each or "" for each in groups}):
        own = np.flatnonzero(np.array([(each or "") == group for each in groups], dtype=np.bool_))
        at = np.zeros((len(own), BANDS + 1), dtype=np.int64)
        at[np.arange(len(own)), bands[own]] = 1
        people[group], banded[group] = at.sum(axis=0), _product(at, points[own])
    timed = sheet.milliseconds >= 0
    steps = np.searchsorted(STEPS, sheet.milliseconds // 100, side="right") - 1
    where = (np.arange(items) * len(STEPS) + steps)[timed]
    return Tally(
        layouts={}, n=n, waiting=0, passed=0, failed=0, totals={},
        sums=points.sum(axis=0),
        cross=_product(points, points),
        omitted=sheet.omitted.sum(axis=0).astype(np.int64),
        partly=((points > 0) & (points < sheet.full)).sum(axis=0).astype(np.int64),
        options=sheet.options,
        chosen=chose.sum(axis=0),
        chosen_points=_product(chose, points),
        people=people,
        points=banded,
        times=np.bincount(where, minlength=items * len(STEPS)).reshape(items, len(STEPS)).astype(np.int64),
        milliseconds=np.where(timed, sheet.milliseconds, 0).sum(axis=0),
    )  # fmt: skip


def _product(left: Ints, right: Ints) -> Ints:
    """Return leftᵀ·right of whole numbers, exactly: by floats where these are."""
    bound = int(np.abs(left).max(initial=0)) * int(np.abs(right).max(initial=0)) * max(len(left), 1)
    if bound < EXACT:
        return (left.astype(np.float64).T @ right.astype(np.float64)).astype(np.int64)
    product: Ints = left.T @ right
    return product


def _layouts(rows: pl.DataFrame, people: int) -> dict[str, int]:
    """Return the items as each submission had them, with how many did."""
    about = [name for name in ITEM if name != "question_version_id"]
    items = rows.group_by("question_version_id").agg(
        *(pl.col(name).first() for name in about),
        pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).first()).any() for name in about).alias(
            "varies"
        ),
    )
    if not items["varies"].any():  # as ever: all had the same
        return {_layout(items): people}
    texts = [_layout(part) for part in rows.partition_by("person")]
    return dict(sorted(Counter(texts).items()))


def _layout(items: pl.DataFrame) -> str:
    hundredths = items.with_columns(max_points=_hundredths("max_points"))
    ordered = hundredths.select(ITEM).sort("position", "question_version_id").iter_rows()
    return msgspec.json.encode([Item(*row) for row in ordered]).decode()


def _counted(values: Ints) -> dict[int, int]:
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def sheet_of_choices(
    choices: Sequence[str], *, key: str, seconds: float | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """
    Return submissions and responses to a form of single choices worth a point each.

    Args:
        choices: of each candidate, a letter for each item, a space where it was omitted.
        key: the right ones.
        seconds: on each item.
    """
    owned = [
        {"submission_id": f"s{n}", "attempt_id": f"a{n}", "student_id": f"p{n}", "exam_id": "exam"}
        for n in range(len(choices))
    ]
    responses: list[dict[str, object]] = [
        {
            **owner, "form_id": "form", "position": place, "question_id": f"q{place}",
            "question_version_id": f"v{place}", "kind": "single_choice", "key": right, "topics": [],
            "response": choice.strip() or None, "points": float(choice == right), "max_points": 1.0,
            "seconds": seconds,
        }
        for owner, own in zip(owned, choices, strict=True)
        for place, (choice, right) in enumerate(zip(own, key, strict=True), start=1)
    ]  # fmt: skip
    submissions = [{**owner, "organisation_id": "o", "is_void": False} for owner in owned]
    return pl.DataFrame(submissions, SUBMISSIONS.schema), pl.DataFrame(responses, RESPONSES.schema)
