"""
Simulated exams, whose truth is known: who was honest, who copied from whom, who knew which items before.

Answers follow a two-parameter logistic model with wrong options of unequal appeal, which depends on ability;
time per item is lognormal, and the able are somewhat faster. Everything comes from one seed, so a cohort
can be made again anywhere. What is measured on such cohorts holds as far as this model does.

>>> exam = cohort(5, Plan(candidates=30, items=10, copiers=1, insiders=2))
>>> len(exam.submissions), len(exam.responses), len(exam.copies), len(exam.insiders), len(exam.leaked)
(30, 300, 1, 2, 3)
>>> exam.responses.equals(cohort(5, Plan(candidates=30, items=10, copiers=1, insiders=2)).responses)
True

Source: van der Linden 2007 (Psychometrika 72, 287) for time beside ability; Bock 1972 (Psychometrika 37, 29)
for the appeal of options.
"""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from pipeline.features.frames import RESPONSES, SUBMISSIONS, Frame

BEGIN: Final = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
OMITTED: Final = -1
SPEED_AND_ABILITY: Final = 0.4  # their correlation
PASS_SHARE: Final = 0.5
LETTERS: Final = "ABCDEFGHIJ"
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class Plan(Struct, frozen=True, kw_only=True):
    """
    What is simulated.

    Attributes:
        candidates: how many, at least 2.
        items: of the one form.
        options: of each item, 2 to 10; the first is the key.
        difficulty: mean of the items', in standard deviations of ability; negative is easy.
        omitted: chance that an answer is left out.
        copiers: how many copy, each from a source of its own who is honest.
        copied: share of the items that a copier takes over as they are.
        insiders: how many knew items before, all of them the same.
        leaked: share of the items that they knew.
        recall: chance that an insider remembers the right answer of a leaked item.
    """

    candidates: int = 200
    items: int = 40
    options: int = 4
    difficulty: float = -0.6
    omitted: float = 0.01
    copiers: int = 0
    copied: float = 0.5
    insiders: int = 0
    leaked: float = 0.3
    recall: float = 0.95


class Cohort(Struct, frozen=True, kw_only=True):
    """
    One simulated exam.

    Attributes:
        submissions: as `frames.SUBMISSIONS` describes them.
        responses: as `frames.RESPONSES` describes them.
        copies: pairs of attempts: copier and source.
        insiders: attempts of those who knew items before.
        leaked: questions that those knew.
    """

    submissions: pl.DataFrame
    responses: pl.DataFrame
    copies: tuple[tuple[str, str], ...]
    insiders: tuple[str, ...]
    leaked: tuple[str, ...]


def cohort(seed: int, plan: Plan | None = None) -> Cohort:
    """Return the exam of this seed: the same for the same seed and plan, whatever else runs."""
    plan = Plan() if plan is None else plan
    random = np.random.default_rng(seed)
    chosen, seconds = _honest(random, plan)
    roles = random.permutation(plan.candidates)
    copiers, rest = roles[: plan.copiers], roles[plan.copiers :]
    sources, rest = rest[: plan.copiers], rest[plan.copiers :]
    insiders = rest[: plan.insiders]
    if len(insiders) < plan.insiders:
        raise ValueError("a copier, a source and an insider are three people each")
    leaked = np.sort(random.permutation(plan.items)[: round(plan.leaked * plan.items)])
    known = random.random((plan.insiders, len(leaked))) < plan.recall
    chosen[np.ix_(insiders, leaked)] = np.where(known, 0, chosen[np.ix_(insiders, leaked)])
    seconds[np.ix_(insiders, leaked)] *= np.where(known, 0.5, 1.0)
    for copier, source in zip(copiers, sources, strict=True):
        taken = random.permutation(plan.items)[: round(plan.copied * plan.items)]
        chosen[copier, taken] = chosen[source, taken]
    people = [_id(seed, 1, number) for number in range(plan.candidates)]
    return Cohort(
        submissions=_submissions(seed, plan, chosen, seconds),
        responses=_responses(seed, plan, chosen, seconds),
        copies=tuple((people[c], people[s]) for c, s in zip(copiers, sources, strict=True)),
        insiders=tuple(people[number] for number in insiders),
        leaked=tuple(_id(seed, 5, number) for number in leaked),
    )


def _honest(random: np.random.Generator, plan: Plan) -> tuple[Codes, Floats]:
    """Return the options chosen, the key being 0, and the seconds taken: (candidates, items) each."""
    n, items = plan.candidates, plan.items
    ability = random.normal(size=n)
    speed = SPEED_AND_ABILITY * ability + np.sqrt(1 - SPEED_AND_ABILITY**2) * random.normal(size=n)
    discrimination = random.lognormal(0.0, 0.3, size=items)
    difficulty = random.normal(plan.difficulty, 1.0, size=items)
    chance = 1 / (1 + np.exp(-discrimination * (ability[:, None] - difficulty)))
    appeal = random.normal(0.0, 0.8, size=(items, plan.options - 1))
    slope = random.normal(0.0, 0.3, size=(items, plan.options - 1))
    drawn = random.gumbel(size=(n, items, plan.options - 1))
    wrong = 1 + np.argmax(appeal + slope * ability[:, None, None] + drawn, axis=2)
    chosen = np.where(random.random((n, items)) < chance, 0, wrong)
    chosen[random.random((n, items)) < plan.omitted] = OMITTED
    length = random.normal(3.8, 0.4, size=items)
    seconds = np.exp(length - 0.3 * speed[:, None] + random.normal(0.0, 0.4, size=(n, items)))
    return chosen.astype(np.int64), np.round(seconds, 3)


def _submissions(seed: int, plan: Plan, chosen: Codes, seconds: Floats) -> pl.DataFrame:
    points = (chosen == 0).sum(axis=1).astype(np.float64)
    ends = [BEGIN + timedelta(seconds=float(each)) for each in seconds.sum(axis=1)]
    return _cast(
        _persons(seed, plan.candidates).with_columns(
            pl.Series("finalised_at", ends),
            pl.Series("points", points),
            pl.Series("score", points),
            organisation_id=pl.lit(_id(seed, 3, 0)),
            kind=pl.lit("attempt"),
            submitted_by=pl.lit("candidate"),
            started_at=pl.lit(BEGIN),
            max_points=pl.lit(float(plan.items)),
            percentage=pl.Series(100 * points / plan.items),
            passed=pl.Series(points >= PASS_SHARE * plan.items),
            is_void=pl.lit(value=False),
        ),
        SUBMISSIONS,
    )


def _responses(seed: int, plan: Plan, chosen: Codes, seconds: Floats) -> pl.DataFrame:
    items = pl.DataFrame(
        {
            "position": range(1, plan.items + 1),
            "question_id": [_id(seed, 5, number) for number in range(plan.items)],
            "question_version_id": [_id(seed, 6, number) for number in range(plan.items)],
        }
    )
    letters = pl.Series([*LETTERS, None], dtype=pl.String)  # the last is OMITTED's
    return _cast(
        _persons(seed, plan.candidates)
        .join(items, how="cross", maintain_order="left_right")
        .with_columns(
            letters.gather(np.where(chosen == OMITTED, len(LETTERS), chosen).ravel()).alias("response"),
            pl.Series("points", (chosen == 0).ravel().astype(np.float64)),
            pl.Series("seconds", seconds.ravel()),
            form_id=pl.lit(_id(seed, 4, 0)),
            kind=pl.lit("single_choice"),
            key=pl.lit(LETTERS[0]),
            max_points=pl.lit(1.0),
            topics=pl.lit([], dtype=pl.List(pl.String)),
        ),
        RESPONSES,
    )


def _persons(seed: int, candidates: int) -> pl.DataFrame:
    """Return the ids of each candidate, attempt, submission and exam."""
    numbers = range(candidates)
    return pl.DataFrame(
        {
            "submission_id": [_id(seed, 2, number) for number in numbers],
            "attempt_id": [_id(seed, 1, number) for number in numbers],
            "student_id": [_id(seed, 7, number) for number in numbers],
        }
    ).with_columns(exam_id=pl.lit(_id(seed, 3, 1)))


def _cast(given: pl.DataFrame, wanted: Frame) -> pl.DataFrame:
    return given.select(wanted.schema.names()).cast(wanted.schema)


def _id(seed: int, kind: int, number: int) -> str:
    return str(UUID(int=seed << 64 | kind << 48 | int(number)))
