"""
What is thought of each attempt, from what was seen of it and what people have said.
"""

from typing import Final

import polars as pl

from pipeline.features.behavior import ATTEMPTS, behavior_analysis
from pipeline.projections.projection import Frames, Layer, Projection
from warehouse.datasets.behavior_analysis import BEHAVIOR_ANALYSIS

CRITICAL: Final = ("4", "5")  # severities


def judged(frames: Frames) -> pl.DataFrame:
    """Return the rows of `behavior_analysis`; what nothing was taken of is null."""
    critical = pl.sum_horizontal(
        pl.col("by_severity").str.json_path_match(f"$['{severity}']").cast(pl.Int64) for severity in CRITICAL
    )
    seen = frames["attempt_activity"].select(
        "attempt_id", "events", critical_events=critical, seen_at=pl.col("as_of")
    )
    known = frames["watched"].join(seen, on="attempt_id", how="left")
    known = known.with_columns(as_of=pl.max_horizontal("completed_at", "said_at", "seen_at"))
    return behavior_analysis(
        known.select(
            pl.col(name).cast(kind) if name in known.columns else pl.lit(None, kind).alias(name)
            for name, kind in ATTEMPTS.schema.items()
        )
    )


JUDGED: Final = Projection(
    layer=Layer.attempt,
    dataset=BEHAVIOR_ANALYSIS,
    takes=("watched", "attempt_activity"),
    compute=judged,
)
