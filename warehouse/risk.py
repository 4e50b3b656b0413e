"""
Risk of many sessions at once: what `kernel.risk` says of one, in columns. A property test holds the two
equal.

Every number is an integer (hundredths of a point, microseconds of the Unix epoch), so neither the order of
rows nor how they are partitioned can change one.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from kernel.events import EventType
from kernel.risk import SCORE_MAX, Rule

RULES: Final = {
    "rule_set_id": pl.Int64, "place": pl.Int32, "rule_id": pl.Int64, "event_type": pl.Int16,
    "threshold": pl.Int64, "window_us": pl.Int64, "points": pl.Int64, "min_severity": pl.Int16,
    "max_triggers": pl.Int64, "gap_class": pl.String,
}  # fmt: skip
GAPS: Final = {"session_id": pl.Int64, "started_us": pl.Int64, "gap_class": pl.String}
PERCENTS: Final = {"session_id": pl.Int64, "rule_id": pl.Int64, "percent": pl.Int64}
_KEY: Final = ["session_id", "place"]


def rules_frame(sets: Mapping[int, Sequence[Rule]]) -> pl.LazyFrame:
    """Return the rules of sets, by the sets' ids, a row each."""
    rows = [
        (
            number, place, rule.rule_id, rule.event_type, rule.threshold, rule.window_us, rule.points,
            rule.min_severity, rule.max_triggers, rule.gap_class,
        )
        for number, rules in sets.items()
        for place, rule in enumerate(rules)
    ]  # fmt: skip
    return pl.LazyFrame(rows, schema=RULES, orient="row")


def told_events(events: pl.LazyFrame, sessions: pl.LazyFrame, gaps: pl.LazyFrame) -> pl.LazyFrame:
    """
    Return events, as the archive has them, as rules look at them: session_id, at_us, event_type, severity,
    gap_class.

    Args:
        events: of the archive's columns; those of other sessions are left out.
        sessions: session_id, ended_us (null while it is not over): nothing takes place after that.
        gaps: session_id, started_us, gap_class, as they are judged; null while one is not.
    """
    at_us = pl.coalesce("effective_at", "occurred_at").dt.epoch("us")
    is_ours = (
        (pl.col("event_type") == EventType.NetworkDisconnected.value)
        & pl.col("client_at").is_null()
        & pl.col("effective_at").is_not_null()
    )
    told = events.join(sessions.select("session_id", "ended_us"), on="session_id").select(
        "session_id", "event_type", "severity", is_ours=is_ours, told_us=at_us, ended_us="ended_us"
    )
    known = gaps.select("session_id", "gap_class", started_us=pl.col("started_us") + 1)
    return (
        told.sort("told_us")
        .join_asof(
            known.sort("started_us"),
            left_on="told_us",
            right_on="started_us",
            by="session_id",
            check_sortedness=False,
        )
        .select(
            "session_id",
            "event_type",
            "severity",
            at_us=pl.min_horizontal("told_us", "ended_us"),
            gap_class=pl.when("is_ours").then("gap_class"),
        )
    )


def risk_frame(
    sessions: pl.LazyFrame, rules: pl.LazyFrame, percents: pl.LazyFrame, events: pl.LazyFrame
) -> pl.LazyFrame:
    """
    Return a row per session, by its id: `score` as of its moment, `peak`, in hundredths, and its moment
    `peak_us`, null where no rule ever triggered; `parts`, the rules that ever did, in their order, each with
    its place in the set, its points, how often it triggers as of the moment, at the peak, and at most.

    Args:
        sessions: session_id, rule_set_id, as_of_us.
        rules: of those sets, as `rules_frame` gives them.
        percents: session_id, rule_id, percent, where a rule does not weigh in full; 0 leaves it out.
        events: session_id, at_us, event_type, severity, gap_class; of all sessions, any order.
    """
    triggered = _triggered(sessions, _weighing(sessions, rules, percents), events).cache()
    total = (pl.col("triggers") * pl.col("points")).sum()
    scores = triggered.group_by("session_id", "at_us", "is_now").agg(
        score=pl.min_horizontal(total, pl.lit(SCORE_MAX, pl.Int64))
    )
    now = scores.filter("is_now").select("session_id", "score")
    tops = (
        scores.filter(~pl.col("is_now"))
        .sort("session_id", "score", "at_us", descending=[False, True, False])
        .group_by("session_id")
        .agg(peak=pl.col("score").first(), peak_us=pl.col("at_us").first())
    )
    return (
        sessions.select("session_id")
        .join(now, on="session_id", how="left")
        .join(tops, on="session_id", how="left")
        .join(_parts(triggered, tops), on="session_id", how="left")
        .with_columns(pl.col("score", "peak").fill_null(0), pl.col("parts").fill_null([]))
        .sort("session_id")
    )


def _triggered(sessions: pl.LazyFrame, weighing: pl.LazyFrame, events: pl.LazyFrame) -> pl.LazyFrame:
    """
    Return a row per session, moment and rule that triggers then: how often. Moments are those of the events
    that a rule is about, and each session's own, `is_now`.
    """
    met = (
        events.join(weighing, on=["session_id", "event_type"])
        .filter(
            (pl.col("severity") >= pl.col("min_severity"))
            & (pl.col("wanted_class").is_null() | pl.col("wanted_class").eq_missing(pl.col("gap_class")))
        )
        .select(*_KEY, "at_us")
    )
    counts = (
        met.sort(*_KEY, "at_us")
        .with_columns(n=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(_KEY))
        .group_by(*_KEY, "at_us")
        .agg(pl.col("n").max())
        .sort("at_us")
    )
    moments = pl.concat(
        [
            met.select("session_id", "at_us", is_now=pl.lit(value=False)).unique(),
            sessions.select("session_id", at_us="as_of_us", is_now=pl.lit(value=True)),
        ]
    )
    grid = moments.join(weighing, on="session_id").with_columns(
        forgotten_us=pl.when(pl.col("window_us") > 0).then(pl.col("at_us") - pl.col("window_us") - 1)
    )
    counted = _upto(_upto(grid, counts, "at_us", "n"), counts, "forgotten_us", "n_forgotten")
    times = pl.min_horizontal((pl.col("n") - pl.col("n_forgotten")) // pl.col("threshold"), pl.col("limit"))
    return counted.select(*_KEY, "at_us", "is_now", "points", triggers=times).filter(pl.col("triggers") > 0)


def _parts(triggered: pl.LazyFrame, tops: pl.LazyFrame) -> pl.LazyFrame:
    """Return a row per session in which a rule ever triggered: `parts`, as `risk_frame` has them."""
    at_peak = ~pl.col("is_now") & (pl.col("at_us") == pl.col("peak_us"))
    return (
        triggered.join(tops, on="session_id")
        .group_by(_KEY)
        .agg(
            pl.col("points").first(),
            now=pl.col("triggers").filter("is_now").max().fill_null(0),
            at_peak=pl.col("triggers").filter(at_peak).max().fill_null(0),
            most=pl.col("triggers").filter(~pl.col("is_now")).max(),
        )
        .sort(_KEY)
        .group_by("session_id", maintain_order=True)
        .agg(parts=pl.struct("place", "points", "now", "at_peak", "most"))
    )


def _weighing(sessions: pl.LazyFrame, rules: pl.LazyFrame, percents: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rules of each session as they weigh in it: `kernel.risk.weighed` and `Rule.limit`."""
    percent = pl.col("percent").fill_null(100)
    enough = (SCORE_MAX + pl.col("weight") - 1) // pl.col("weight")
    return (
        sessions.select("session_id", "rule_set_id")
        .join(rules, on="rule_set_id")
        .join(percents, on=["session_id", "rule_id"], how="left")
        .filter(percent > 0)
        .with_columns(weight=((pl.col("points") * percent + 50) // 100).clip(1))
        .select(
            *_KEY,
            "event_type",
            "threshold",
            "window_us",
            "min_severity",
            points="weight",
            wanted_class="gap_class",
            limit=pl.min_horizontal(enough, "max_triggers"),
        )
    )


def _upto(grid: pl.LazyFrame, counts: pl.LazyFrame, moment: str, name: str) -> pl.LazyFrame:
    """Add how many events each rule has met up to a moment; none where there is no moment."""
    return (
        grid.sort(moment, nulls_last=True)
        .join_asof(
            counts.select(*_KEY, "at_us", pl.col("n").alias(name)),
            left_on=moment,
            right_on="at_us",
            by=_KEY,
            suffix="_met",
            coalesce=False,
            check_sortedness=False,
        )
        .drop("at_us_met", strict=False)
        .with_columns(pl.col(name).fill_null(0))
    )
