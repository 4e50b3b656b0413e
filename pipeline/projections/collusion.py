"""
Answer similarity of an exam's attempts, and the clusters of it.

An exam is compared anew whenever something of it has changed and its turn has come. Where that would be too
much while it runs, it waits until nobody is at work any more: until then it has no rows.
"""

from typing import Final

import polars as pl

from pipeline.features.collusion import clusters
from pipeline.features.similarity import answer_similarity
from pipeline.projections.projection import Frames, Layer, Projection
from warehouse.datasets.answer_similarity import ANSWER_SIMILARITY
from warehouse.datasets.collusion_clusters import COLLUSION_CLUSTERS

RUNNING_PAIRS_MAX: Final = 500_000  # a thousand candidates: a second or two, once a minute at most


def similarity(frames: Frames, *, pairs_max: int = RUNNING_PAIRS_MAX) -> pl.DataFrame:
    """
    Return the pairs that are kept, of exams whose turn it is.

    Args:
        frames: submissions, submission_items, contacts and at_work, of these exams.
        pairs_max: pairs of an exam that are compared while it runs.
    """
    size = frames["submissions"].group_by("exam_id").agg(pl.len().cast(pl.Int64).alias("n"))
    too_many = size.filter(pl.col("n") * (pl.col("n") - 1) // 2 > pairs_max)["exam_id"]
    waiting = frames["at_work"].filter(pl.col("exam_id").is_in(too_many.implode()))["exam_id"]
    items = frames["submission_items"].filter(~pl.col("exam_id").is_in(waiting.implode()))
    return answer_similarity(frames["submissions"], items, frames["contacts"])


SIMILARITY: Final = Projection(
    layer=Layer.exam,
    dataset=ANSWER_SIMILARITY,
    takes=("submissions", "submission_items", "contacts", "at_work"),
    compute=similarity,
)
CLUSTERS: Final = Projection(
    layer=Layer.exam,
    dataset=COLLUSION_CLUSTERS,
    takes=("answer_similarity",),
    compute=lambda frames: clusters(frames["answer_similarity"]),
)
