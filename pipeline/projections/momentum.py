"""
Norms of exams, and by them how each candidate's work goes on.
"""

from typing import Final

import polars as pl

from kernel.settings import Settings
from pipeline.features.norms import exam_norms
from pipeline.features.standing import Reliability, standing
from pipeline.projections.projection import Frames, Layer, Projection
from warehouse.datasets.exam_norms import EXAM_NORMS
from warehouse.datasets.learning_momentum import LEARNING_MOMENTUM

# A trigger marks the candidates whose entry in the norms has changed: 0068_draft_analysis.sql.
NORMS: Final = Projection(
    layer=Layer.exam,
    dataset=EXAM_NORMS,
    takes=("results", "qualities"),
    compute=lambda frames, _: exam_norms(frames["results"], frames["qualities"]),
)


def moved(frames: Frames, _: Settings) -> pl.DataFrame:
    """Return how each candidate's work goes on, as exactly as their exams measure."""
    speeds = frames["times"].drop_nulls("speed")
    return standing(
        frames["submissions"],
        frames["draft_analysis"],
        frames["norms"],
        tests={
            (row["exam_id"], row["form_id"]): Reliability(sem=row["sem"], alpha=row["alpha"])
            for row in frames["reliabilities"].iter_rows(named=True)
        },
        speeds=dict(zip(speeds["attempt_id"], speeds["speed"], strict=True)),
    )


MOMENTUM: Final = Projection(
    layer=Layer.student,
    dataset=LEARNING_MOMENTUM,
    takes=("submissions", "draft_analysis", "norms", "reliabilities", "times"),
    compute=moved,
)
