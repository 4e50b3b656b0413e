"""
Collusion clusters: attempts that similar answers join.

**Grain.** One row per cluster: a connected component of the similar pairs of one form, two attempts or
more.

**Takes.** Rows of `answer_similarity`, in any order; only pairs that `is_similar` join.

**Definition.** Two attempts are in one cluster when a chain of similar pairs leads from one to the other.
Whoever knew items before the exam has them in common with all others who did: a cluster of many with a
high `density` (share of its pairs that are similar themselves) reads so; a copier and their source, or a
chain of neighbours, has a low one, or two members. `cluster_id` is the least of its attempts.

**Units.** Counts; `strongest_p` and `weakest_q` are probabilities of pairs; `density` is 0 to 1.

**NULL.** `second_factor_pairs` where no pair of the cluster has any time, address or device to compare.
No row: no similar pair.

>>> from datetime import UTC, datetime
>>> end = datetime(2026, 5, 4, 11, tzinfo=UTC)
>>> pairs = SIMILAR_COLUMNS.to_frame().vstack(pl.DataFrame(
...     [("o", "e", "f", *two, "s" + two[0], "s" + two[1], 20, 9, 1e-9, 0.001, True, True, 1.0, end)
...      for two in ("ab", "bc", "xy")], schema=SIMILAR_COLUMNS, orient="row"))
>>> clusters(pairs).select("cluster_id", "attempt_ids", "pairs", "density").rows()
[('a', ['a', 'b', 'c'], 2, 0.6666666666666666), ('x', ['x', 'y'], 1, 1.0)]

Source: analytics.md, "collusion"; Wollack & Maynes 2017 (Handbook of Quantitative Methods for Detecting
Cheating on Tests, chapter 6) for clusters of pairs.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.features import frames
from pipeline.features.frames import as_json, reason, schema

METRIC_VERSION: Final = "collusion-1"
SIMILAR_COLUMNS: Final = schema(
    organisation_id=pl.String,
    exam_id=pl.String,
    form_id=pl.String,
    attempt_a=pl.String,
    attempt_b=pl.String,
    student_a=pl.String,
    student_b=pl.String,
    matches=pl.Int64,
    identical_wrong=pl.Int64,
    p=pl.Float64,
    q=pl.Float64,
    is_similar=pl.Boolean,
    second_factor=pl.Boolean,
    coverage=pl.Float64,
    as_of=frames.UTC,
)
SCHEMA: Final = schema(
    cluster_id=pl.String,
    organisation_id=pl.String,
    exam_id=pl.String,
    form_id=pl.String,
    attempt_ids=pl.List(pl.String),
    student_ids=pl.List(pl.String),
    size=pl.Int64,
    pairs=pl.Int64,
    density=pl.Float64,
    most_matches=pl.Int64,
    most_identical_wrong=pl.Int64,
    strongest_p=pl.Float64,
    weakest_q=pl.Float64,
    second_factor_pairs=pl.Int64,
    metric_version=pl.String,
    coverage=pl.Float64,
    reasons=pl.String,
    as_of=frames.UTC,
)
JOINED: Final = (
    "{pairs} of the {possible} pairs among these {size} attempts answered more alike than chance explains."
)
WRONG: Final = "In one pair, {most_identical_wrong} wrong answers are the same ones."
SECOND: Final = "{second_factor_pairs} of the {pairs} similar pairs also share time, address or device."


def clusters(pairs: pl.DataFrame) -> pl.DataFrame:
    """
    Return the clusters, as SCHEMA has them, in the order of (exam, form, cluster_id).

    Args:
        pairs: with SIMILAR_COLUMNS; `answer_similarity` has them.
    """
    similar = pairs.select(SIMILAR_COLUMNS.names()).filter("is_similar")
    similar = similar.sort("exam_id", "form_id", "attempt_a", "attempt_b")
    if not len(similar):
        return SCHEMA.to_frame()
    names = pl.concat([similar["attempt_a"], similar["attempt_b"]]).unique().sort()
    ends = [names.search_sorted(similar[side]).to_numpy() for side in ("attempt_a", "attempt_b")]
    graph = coo_array((np.ones(len(similar)), (ends[0], ends[1])), shape=(len(names), len(names)))
    component = connected_components(graph, directed=False)[1]
    parts = similar.with_columns(pl.Series("part", component[ends[0]])).partition_by(
        "part", maintain_order=True
    )
    rows = [_row(part) for part in parts]
    return pl.DataFrame(rows, schema=SCHEMA).sort("exam_id", "form_id", "cluster_id")


def _row(part: pl.DataFrame) -> dict[str, Any]:
    """Return the cluster of these pairs: all of one component."""
    rows = part.rows(named=True)
    students = {row[f"attempt_{side}"]: row[f"student_{side}"] for row in rows for side in ("a", "b")}
    attempts = sorted(students)
    known = [row["second_factor"] for row in rows if row["second_factor"] is not None]
    size, possible = len(attempts), len(attempts) * (len(attempts) - 1) // 2
    row = {
        **{name: rows[0][name] for name in ("organisation_id", "exam_id", "form_id")},
        "cluster_id": attempts[0],
        "attempt_ids": attempts,
        "student_ids": [students[attempt] for attempt in attempts],
        "size": size,
        "pairs": len(rows),
        "density": len(rows) / possible,
        "most_matches": max(row["matches"] for row in rows),
        "most_identical_wrong": max(row["identical_wrong"] for row in rows),
        "strongest_p": min(row["p"] for row in rows),
        "weakest_q": max(row["q"] for row in rows),
        "second_factor_pairs": sum(known) if known else None,
        "metric_version": METRIC_VERSION,
        "coverage": min(row["coverage"] for row in rows),
        "as_of": max(row["as_of"] for row in rows),
    }
    return row | {"reasons": as_json(_reasons(row, possible))}


def _reasons(row: dict[str, Any], possible: int) -> Sequence[dict[str, Any]]:
    found = [
        reason("JOINED", row["pairs"], 1, possible, JOINED.format(possible=possible, **row)),
        reason("IDENTICAL_WRONG", row["most_identical_wrong"], 0, row["pairs"], WRONG.format(**row)),
    ]
    if row["second_factor_pairs"] is not None:
        found.append(
            reason("SECOND_FACTOR", row["second_factor_pairs"], 0, row["pairs"], SECOND.format(**row))
        )
    return found
