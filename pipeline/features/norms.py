"""
Norms of an exam: what a result, and the work on a text, is worth among those of the others.

Grain: one row per exam. Takes how many reached each percentage, and the thinking quality of each text. Gives
two tables: for each percentage its normal score (`momentum`), and for each essay median and MAD of thinking
quality. Both are rounded, to 0.1 and to 0.01: one result more among ten thousand moves most of them by less,
so a person's momentum is computed again only where an entry changes. Void results, and those that wait for a
grader, do not count. Under a cohort of 10 a table is empty.

>>> results = pl.DataFrame(
...     {"exam_id": ["e"] * 3, "organisation_id": ["o"] * 3, "percentage": [50.0, 75.0, 100.0],
...      "n": [5, 10, 5]})
>>> no_texts = pl.DataFrame(schema=QUALITIES)
>>> row = exam_norms(results, no_texts).row(0, named=True)
>>> row["cohort"], row["scores"], row["qualities"]
(20, '{"50.0":-1.2,"75.0":0.0,"100.0":1.2}', '{}')

Source: analytics.md, "LMI": the common scale. Norm tables: Angoff, "Scales, Norms, and Equivalent Scores"
(1971).
"""

from collections.abc import Mapping
from statistics import median
from typing import Any, Final

import orjson
import polars as pl

from pipeline.features.momentum import COHORT_MIN, normal_score

METRIC_VERSION: Final = "norms-1"
_COLUMNS: Final[dict[str, Any]] = {
    "exam_id": pl.String,
    "organisation_id": pl.String,
    "cohort": pl.Int64,
    "scores": pl.String,
    "qualities": pl.String,
    "metric_version": pl.String,
}
SCHEMA: Final = pl.Schema(_COLUMNS)
_TEXTS: Final[dict[str, Any]] = {
    "exam_id": pl.String,
    "question_id": pl.String,
    "thinking_quality": pl.Float64,
}
QUALITIES: Final = pl.Schema(_TEXTS)


def exam_norms(results: pl.DataFrame, qualities: pl.DataFrame) -> pl.DataFrame:
    """
    Return the norms of exams that have a result, by exam.

    Args:
        results: exam_id, organisation_id, percentage, n: how many reached it; in any order.
        qualities: the columns of QUALITIES, a row a text; in any order.
    """
    texts: dict[str, dict[str, list[float]]] = {}
    for exam_id, question_id, quality in qualities.select(QUALITIES.names()).iter_rows():
        texts.setdefault(exam_id, {}).setdefault(question_id, []).append(quality)
    rows = []
    for (exam_id, organisation_id), own in results.sort("exam_id", "percentage").group_by(
        "exam_id", "organisation_id", maintain_order=True
    ):
        reached = dict(zip(own["percentage"].to_list(), own["n"].to_list(), strict=True))
        rows.append(
            {
                "exam_id": exam_id,
                "organisation_id": organisation_id,
                "cohort": sum(reached.values()),
                "scores": orjson.dumps(_scores(reached)).decode(),
                "qualities": orjson.dumps(_qualities(texts.get(str(exam_id), {}))).decode(),
                "metric_version": METRIC_VERSION,
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _scores(reached: Mapping[float, int]) -> dict[str, float]:
    cohort, below, scores = sum(reached.values()), 0, {}
    for percentage, n in reached.items():
        score = normal_score(below=below, equal=n, cohort=cohort)
        if score is not None:
            scores[str(percentage)] = round(score, 1) + 0.0  # never -0.0
        below += n
    return scores


def _qualities(texts: Mapping[str, list[float]]) -> dict[str, tuple[float, float]]:
    found = {}
    for question_id, own in sorted(texts.items()):
        if len(own) >= COHORT_MIN:
            middle = median(own)
            found[question_id] = round(middle, 2), round(median(abs(each - middle) for each in own), 2)
    return found
