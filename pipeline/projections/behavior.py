"""
What is thought of each attempt, from what was seen of it and what people have said.
"""

from typing import Final

import orjson
import polars as pl

from kernel.settings import Settings
from pipeline.features.behavior import ATTEMPTS, WEAK_TOPICS, Bars, behavior_analysis
from pipeline.features.event_norms import anomalies_of
from pipeline.features.frames import as_json
from pipeline.features.integrity import Weights
from pipeline.features.summaries import facts_key
from pipeline.projections.projection import Frames, Layer, Projection
from warehouse.datasets.behavior_analysis import BEHAVIOR_ANALYSIS

CRITICAL: Final = ("4", "5")  # severities


def judged(frames: Frames, settings: Settings) -> pl.DataFrame:
    """Return the rows of `behavior_analysis`; what nothing was taken of is null."""
    critical = pl.sum_horizontal(
        pl.col("by_severity").str.json_path_match(f"$['{severity}']").cast(pl.Int64) for severity in CRITICAL
    )
    seen = frames["attempt_activity"].select(
        "attempt_id", "events", critical_events=critical, seen_at=pl.col("as_of")
    )
    strange = anomalies_of(frames["session_cells"], frames["anomaly_norms"])
    known = frames["watched"].join(seen, on="attempt_id", how="left")
    known = known.join(strange, on="attempt_id", how="left")
    known = known.join(frames["best_partners"], on="attempt_id", how="left")
    known = known.join(frames["leaving_scores"], on="attempt_id", how="left")
    known = known.join(frames["times"].drop("speed"), on="attempt_id", how="left")
    moved = frames["momenta"]
    known = known.join(moved.drop("indicators"), on="attempt_id", how="left")
    jumps = moved.filter(pl.col("indicators") != "[]").with_columns(question_id=pl.lit(""))
    texts = [
        each.select("attempt_id", "question_id", "indicators") for each in (frames["draft_analysis"], jumps)
    ]
    known = known.join(indicators(pl.concat(texts)), on="attempt_id", how="left")
    known = known.join(
        weak_topics(frames["submission_items"], frames["weaknesses"]), on="attempt_id", how="left"
    )
    known = known.with_columns(as_of=pl.max_horizontal("completed_at", "said_at", "seen_at"))
    rows = behavior_analysis(
        known.select(
            pl.col(name).cast(kind) if name in known.columns else pl.lit(None, kind).alias(name)
            for name, kind in ATTEMPTS.schema.items()
        ),
        bars_of(settings),
    )
    return worded(rows, frames["written_texts"])


def bars_of(settings: Settings) -> Bars:
    """Return what an operator has set."""
    weights = Weights(
        rules=settings.integrity_rules_weight,
        events=settings.integrity_events_weight,
        times=settings.integrity_times_weight,
        similarity=settings.integrity_similarity_weight,
        originality=settings.integrity_originality_weight,
    )
    return Bars(weights=weights, dropout=settings.dropout_from)


def weak_topics(items: pl.DataFrame, weaknesses: pl.DataFrame) -> pl.DataFrame:
    """Return which topics of each attempt's form its candidate is weak in, where that could be judged."""
    topics = items.group_by("attempt_id").agg(pl.col("topics").explode().unique())
    rows = [
        (
            attempt,
            [{"topic": each["topic"], "n": each["n"]} for each in orjson.loads(weak) if each["topic"] in own],
        )
        for attempt, weak, own in weaknesses.drop_nulls().join(topics, on="attempt_id").iter_rows()
    ]
    return pl.DataFrame(rows, {"attempt_id": pl.String, "weak_topics": WEAK_TOPICS}, orient="row")


def indicators(texts: pl.DataFrame) -> pl.DataFrame:
    """Return the indicators of each attempt's texts, and of its jumps, together, as one JSON list."""
    rows = [
        (attempt, as_json([each for said in own for each in orjson.loads(said)]))
        for attempt, own in texts.sort("attempt_id", "question_id")
        .group_by("attempt_id", maintain_order=True)
        .agg(pl.col("indicators").drop_nulls())
        .iter_rows()
    ]
    return pl.DataFrame(rows, {"attempt_id": pl.String, "indicators": pl.String}, orient="row")


def worded(rows: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with a model's text where it was written of the very reasons that they have."""
    keys = [facts_key(orjson.loads(reasons)) for reasons in rows["reasons"]]
    own = rows.with_columns(facts_sha256=pl.Series(keys, dtype=pl.String)).join(
        texts, on=["attempt_id", "facts_sha256"], how="left", maintain_order="left"
    )
    is_written = pl.col("model_version").is_not_null()
    pairs = {
        "llm_summary": "summary",
        "llm_recommendations": "recommendations",
        "llm_model_version": "model_version",
    }
    return own.with_columns(
        pl.when(is_written).then(pl.col(said)).otherwise(pl.col(name)).alias(name)
        for name, said in pairs.items()
    ).select(rows.columns)


JUDGED: Final = Projection(
    layer=Layer.attempt,
    dataset=BEHAVIOR_ANALYSIS,
    takes=(
        "watched",
        "submission_items",
        "weaknesses",
        "attempt_activity",
        "session_cells",
        "anomaly_norms",
        "best_partners",
        "times",
        "momenta",
        "draft_analysis",
        "written_texts",
        "leaving_scores",
    ),
    compute=judged,
)
