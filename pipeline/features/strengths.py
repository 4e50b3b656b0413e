"""
Which topics a candidate does better in than others, and which worse: at most three each.

Grain: one row per candidate. Takes responses of a whole cohort (`frames.RESPONSES`) and their submissions
(`frames.SUBMISSIONS`), of any exams; void ones count nothing. With d = share of the points less the item's
mean share among all, a response counts in each of its question's topics:

- effect of a topic = w · (mean of d) + (1 - w) · m, with w = τ² / (τ² + σ²/n) for n responses: what was seen
  is shrunken towards the topic's mean m among candidates, the more the fewer responses there are. σ² is the
  variance of d within candidates, τ² that of the effects between them, both from the cohort by analysis of
  variance (empirical Bayes).
- `p` = P(effect > 0) = Φ(effect / √(w·σ²/n)); 0.5 where candidates differ by no more than chance (τ² = 0).
- a topic is a strength where p ≥ 0.90, a weakness where p ≤ 0.10, with 10 responses or 2 attempts; the surest
  come first.
- `coverage`: share of the candidate's responses that count: to an item with topics and points known, which
  10 candidates or more have answered.

Item means (to a hundredth) and priors (to three digits) are an exam's `topic_norms`: one candidate more among
thousands moves few of them, and a candidate is judged by these and by their own responses alone. Over several
exams the prior is the mean of theirs, weighted by the candidate's responses.

Null: both lists where no topic has 10 responses or 2 attempts, and a prior of 10 candidates; an empty list
says that nothing stands out. d is in whole millionths before it is summed; sums of squares are rounded once.

Of twelve candidates half know their algebra, and nobody knows more geometry than the others:

>>> from pipeline.features.tallying import sheet_of_choices
>>> know, do_not = "a" * 12 + "ab" * 6, "b" * 12 + "ba" * 6
>>> submissions, responses = sheet_of_choices([know] * 6 + [do_not] * 6, key="a" * 24)
>>> topic = pl.when(pl.col("position") <= 12).then(pl.lit("Algebra")).otherwise(pl.lit("Geometry"))
>>> row = strengths(submissions, responses.with_columns(topics=pl.concat_list(topic))).row(0, named=True)
>>> [(each["topic"], round(each["effect"], 3), each["n"]) for each in orjson.loads(row["strengths"])]
[('Algebra', 0.5, 12)]
>>> row["weaknesses"], row["coverage"]
('[]', 1.0)

Source: analytics.md, strengths and weaknesses; Efron and Morris (1975), Data analysis using Stein's estimator
and its generalizations, JASA 70, 311-319; Searle, Casella and McCulloch (1992), Variance Components, ch. 3.
"""

from collections.abc import Sequence
from math import fsum, sqrt
from typing import Any, Final

import orjson
import polars as pl
from msgspec import Struct, structs
from scipy.special import ndtr

from pipeline.features.frames import as_json, reason

METRIC_VERSION: Final = "strengths-2"
MILLIONTHS: Final = 1_000_000
HUNDREDTHS: Final = 100
SURE: Final = 0.90
RESPONSES_MIN: Final = 10
ATTEMPTS_MIN: Final = 2
COHORT_MIN: Final = 10
TOPICS_MAX: Final = 3
BETTER_TEXT: Final = "{}: {:.0f} points of a hundred more than others on the same {} items."
WORSE_TEXT: Final = "{}: {:.0f} points of a hundred less than others on the same {} items."
_TYPES: Final[dict[str, Any]] = {
    "student_id": pl.String,
    "strengths": pl.String,
    "weaknesses": pl.String,
    "metric_version": pl.String,
    "coverage": pl.Float64,
    "reasons": pl.String,
}
COLUMNS: Final = pl.Schema(_TYPES)
_NORMS: Final[dict[str, Any]] = {
    "exam_id": pl.String,
    "organisation_id": pl.String,
    "item_means": pl.String,
    "topic_priors": pl.String,
    "metric_version": pl.String,
}
NORMS: Final = pl.Schema(_NORMS)
_USUAL: Final[dict[str, Any]] = {
    "exam_id": pl.String,
    "form_id": pl.String,
    "question_version_id": pl.String,
    "usual": pl.Int64,
}
USUAL: Final = pl.Schema(_USUAL)


class Prior(Struct, frozen=True):
    """What effects of a topic are among candidates: their mean, their variance, and the variance of one d."""

    mean: float
    between: float
    within: float


class Effect(Struct, frozen=True):
    """A candidate's effect in a topic, -1 to 1, and how probably it is above 0."""

    topic: str
    effect: float
    p: float
    n: int
    attempts: int


def strengths(submissions: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each candidate with a submission that is not void, by candidate."""
    return strengths_by(topic_norms(submissions, responses), submissions, responses)


def topic_norms(submissions: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """Return a row of `NORMS` for each exam with a submission that is not void; of whole exams."""
    rows = _valid(submissions, responses)
    usual = usual_of(rows)
    seen = topic_sums(rows, usual)
    owners = submissions.select("exam_id", "organisation_id").unique()
    found = []
    for exam_id, organisation_id in owners.sort("exam_id").iter_rows():
        topics = {}
        for (topic,), part in seen.filter(exam_id=exam_id).group_by("topic", maintain_order=True):
            if (prior := prior_of(part)) is not None:
                topics[topic] = [_short(each) for each in (prior.mean, prior.between, prior.within)]
        items: dict[str, dict[str, int]] = {}
        for form_id, item, mean in (
            usual.filter(exam_id=exam_id).select("form_id", "question_version_id", "usual").iter_rows()
        ):
            items.setdefault(form_id, {})[item] = mean
        texts = (orjson.dumps(each).decode() for each in (items, topics))
        found.append((exam_id, organisation_id, *texts, METRIC_VERSION))
    return pl.DataFrame(found, NORMS, orient="row")


def strengths_by(norms: pl.DataFrame, submissions: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """
    Return a row for each candidate with a submission that is not void, by candidate.

    Args:
        norms: of the candidates' exams, `NORMS`.
        submissions: all of each candidate.
        responses: to these.
    """
    rows = _valid(submissions, responses)
    usual = pl.DataFrame(
        [
            (exam_id, form_id, item, mean)
            for exam_id, text in norms.select("exam_id", "item_means").iter_rows()
            for form_id, items in orjson.loads(text).items()
            for item, mean in items.items()
        ],
        USUAL,
        orient="row",
    )
    priors = {
        (exam_id, topic): Prior(*numbers)
        for exam_id, text in norms.select("exam_id", "topic_priors").iter_rows()
        for topic, numbers in orjson.loads(text).items()
    }
    known = differences(rows, usual).select("submission_id", "question_version_id").unique()
    counted = rows.join(known, on=["submission_id", "question_version_id"], how="semi")
    coverage = (
        rows.group_by("student_id")
        .len("all")
        .join(counted.group_by("student_id").len("counted"), on="student_id", how="left")
        .select("student_id", coverage=pl.col("counted").fill_null(0) / pl.col("all"))
    )
    by_topic: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in topic_sums(rows, usual).iter_rows(named=True):
        if (row["exam_id"], row["topic"]) in priors:
            by_topic.setdefault((row["student_id"], row["topic"]), []).append(row)
    effects: dict[str, list[Effect]] = {}
    for (student_id, topic), parts in by_topic.items():
        prior = _mean_of([(row["n"], priors[row["exam_id"], topic]) for row in parts])
        whole = parts[0] | {name: sum(row[name] for row in parts) for name in ("n", "attempts", "sum")}
        effects.setdefault(student_id, []).append(effect_of(whole, prior))
    found = [
        _row(student_id, share, effects.get(student_id, []))
        for student_id, share in coverage.sort("student_id").iter_rows()
    ]
    return pl.DataFrame(found, COLUMNS, orient="row")


def _valid(submissions: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    valid = submissions.filter(~pl.col("is_void")).select("submission_id")
    return responses.join(valid, on="submission_id", how="semi").filter(pl.col("form_id").is_not_null())


def _mean_of(priors: Sequence[tuple[int, Prior]]) -> Prior:
    """Return the mean of priors, weighted by how many responses went by each."""
    whole = sum(n for n, _ in priors)
    weighted = [(n, structs.astuple(prior)) for n, prior in priors]
    return Prior(*(fsum(n * numbers[place] for n, numbers in weighted) / whole for place in range(3)))


def _short(value: float) -> float:
    """Return a number in three significant digits."""
    return float(f"{value:.2e}")


def _shares(rows: pl.DataFrame) -> pl.DataFrame:
    known = rows.filter(pl.col("points").is_not_null() & (pl.col("max_points") > 0))
    share = (pl.col("points") / pl.col("max_points") * MILLIONTHS).round().cast(pl.Int64)
    return known.with_columns(share=share)


def usual_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the mean share of each item that COHORT_MIN have answered: `USUAL`, to a hundredth."""
    mean = pl.col("share").sum() * HUNDREDTHS / (pl.len() * MILLIONTHS)
    return (
        _shares(rows)
        .group_by("exam_id", "form_id", "question_version_id")
        .agg(usual=mean.round().cast(pl.Int64), people=pl.len())
        .filter(pl.col("people") >= COHORT_MIN)
        .select(USUAL.names())
        .sort("exam_id", "form_id", "question_version_id")
    )


def differences(rows: pl.DataFrame, usual: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each response that counts and each of its topics, with d in millionths."""
    d = pl.col("share") - pl.col("usual") * (MILLIONTHS // HUNDREDTHS)
    return (
        _shares(rows)
        .join(usual, on=["exam_id", "form_id", "question_version_id"])
        .with_columns(d=d, topic=pl.col("topics").list.unique())
        .explode("topic")
        .drop_nulls("topic")
    )


def topic_sums(rows: pl.DataFrame, usual: pl.DataFrame) -> pl.DataFrame:
    """
    Return, of each candidate, exam and topic, how many responses and attempts, and Σd and Σd² in
    millionths.
    """
    return (
        differences(rows, usual)
        .group_by("student_id", "exam_id", "topic")
        .agg(
            n=pl.len().cast(pl.Int64),
            attempts=pl.col("attempt_id").n_unique().cast(pl.Int64),
            sum=pl.col("d").sum(),
            squares=(pl.col("d") * pl.col("d")).sum(),
        )
        .sort("topic", "student_id", "exam_id")
    )


def prior_of(people: pl.DataFrame) -> Prior | None:
    """Return the prior of one topic, of `topic_sums`; None with too few candidates, or one response each."""
    rows = list(people.select("n", "sum", "squares").iter_rows())
    n, candidates = sum(count for count, _, _ in rows), len(rows)
    if candidates < COHORT_MIN or n == candidates:
        return None
    means = fsum(total * total / count for count, total, _ in rows)
    whole, squares = sum(total for _, total, _ in rows), sum(square for _, _, square in rows)
    within = max(squares - means, 0.0) / (n - candidates)
    size = (n - sum(count * count for count, _, _ in rows) / n) / (candidates - 1)
    spread = (means - whole * whole / n) / (candidates - 1)
    between = max(spread - within, 0.0) / size
    return Prior(whole / n / MILLIONTHS, between / MILLIONTHS**2, within / MILLIONTHS**2)


def effect_of(row: dict[str, Any], prior: Prior) -> Effect:
    """Return a candidate's effect from what was seen and what effects are among candidates."""
    n, mean = row["n"], row["sum"] / row["n"] / MILLIONTHS
    noise = prior.within / n
    if not prior.between:  # candidates differ by no more than chance
        return Effect(row["topic"], prior.mean, 0.5, n, row["attempts"])
    weight = prior.between / (prior.between + noise)
    effect, spread = prior.mean + weight * (mean - prior.mean), sqrt(weight * noise)
    p = float(ndtr(effect / spread)) if spread else 0.5 * (1 + (effect > 0) - (effect < 0))
    return Effect(row["topic"], effect, p, n, row["attempts"])


def _row(student_id: str, coverage: float, effects: list[Effect]) -> dict[str, Any]:
    enough = [each for each in effects if each.n >= RESPONSES_MIN or each.attempts >= ATTEMPTS_MIN]
    better = sorted((-each.p, -each.effect, each.topic, each) for each in enough if each.p >= SURE)
    worse = sorted((each.p, each.effect, each.topic, each) for each in enough if each.p <= 1 - SURE)
    most, least = ([each for *_, each in found[:TOPICS_MAX]] for found in (better, worse))
    return {
        "student_id": student_id,
        "strengths": _listed(most) if enough else None,
        "weaknesses": _listed(least) if enough else None,
        "metric_version": METRIC_VERSION,
        "coverage": coverage,
        "reasons": as_json(
            [_reason("STRENGTH", each, SURE, BETTER_TEXT) for each in most]
            + [_reason("WEAKNESS", each, 1 - SURE, WORSE_TEXT) for each in least]
        ),
    }


def _listed(effects: list[Effect]) -> str:
    return orjson.dumps([structs.asdict(each) for each in effects]).decode()


def _reason(code: str, each: Effect, threshold: float, text: str) -> dict[str, Any]:
    return reason(code, each.p, threshold, each.n, text.format(each.topic, abs(each.effect) * 100, each.n))
