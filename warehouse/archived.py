"""
The archive of events, as far as a question needs it.

Questions about single sessions are those that the core API asks the events table, where the archive alone has
the events: rows come as they would from there, in the same columns and order.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
from msgspec import Struct

from warehouse.builds import assert_sound, part_addresses, read_manifest, scan
from warehouse.datasets.events import EVENTS
from warehouse.files import Root

BUCKETS_FROM: Final = datetime(2000, 1, 3, tzinfo=UTC)  # as TimescaleDB's time_bucket counts


class Extent(Struct, frozen=True, kw_only=True):
    """A session of which the archive is asked for the events up to a sequence, all between two moments."""

    session_id: int
    through_seq: int
    first_at: datetime
    last_at: datetime


class Filter(Struct, frozen=True, kw_only=True):
    """Which events of a session: beyond a sequence, in a time, of a type, severity or kind; None is any."""

    after: int = 0
    since: datetime | None = None
    before: datetime | None = None
    event_type: int | None = None
    severity: int | None = None
    severity_min: int | None = None
    is_violation: bool | None = None


def days_of(first_at: datetime, last_at: datetime) -> set[str]:
    """Return the UTC days from one moment's to the other's."""
    first, last = first_at.astimezone(UTC).date(), last_at.astimezone(UTC).date()
    return {str(first + timedelta(days=day)) for day in range((last - first).days + 1)}


def scan_events(root: Root, first_at: datetime, last_at: datetime, *, checked: bool = False) -> pl.LazyFrame:
    """
    Return the archived events of the UTC days from one moment's to the other's; none where none are.

    Args:
        root: the warehouse.
        first_at: a moment of the first day.
        last_at: a moment of the last one.
        checked: whether the files must be, byte for byte, what was published.

    Raises:
        LayoutError: a file has another schema.
        CorruptBuildError: a file is another.
    """
    manifest, wanted = read_manifest(root, EVENTS), days_of(first_at, last_at)
    if manifest is not None and checked:
        assert_sound(root, EVENTS, manifest, wanted)
    addresses = [] if manifest is None else part_addresses(root, EVENTS, manifest, wanted)
    if not addresses:
        return pl.LazyFrame(EVENTS.schema.empty_table())
    return scan(root, addresses)


def scan_extents(root: Root, extents: Collection[Extent]) -> pl.LazyFrame:
    """
    Return the archived events of some sessions, each up to its sequence: nobody else has them, so that the
    files must be what was published.

    Raises:
        LayoutError: a file has another schema.
        CorruptBuildError: a file is another.
        FileNotFoundError: there is no archive, and nobody else has the events.
    """
    if read_manifest(root, EVENTS) is None:
        raise FileNotFoundError("there is no archive of events")
    through = pl.LazyFrame(
        [(each.session_id, each.through_seq) for each in extents],
        schema={"session_id": pl.Int64, "through": pl.Int64},
        orient="row",
    )
    first, last = min(each.first_at for each in extents), max(each.last_at for each in extents)
    return (
        scan_events(root, first, last, checked=True)
        .filter(pl.col("session_id").is_in([each.session_id for each in extents]))
        .join(through, on="session_id")
        .filter(pl.col("seq") <= pl.col("through"))
        .drop("through")
    )


def page(
    root: Root, extent: Extent, which: Filter, limit: int, *, newest: bool = False
) -> list[dict[str, Any]]:
    """Return the first or, newest first, the last so many of a session's events that the filter takes."""
    found = scan_extents(root, [extent]).filter(pl.col("seq") > which.after)
    for wanted in (
        None if which.since is None else pl.col("occurred_at") >= which.since,
        None if which.before is None else pl.col("occurred_at") < which.before,
        None if which.event_type is None else pl.col("event_type") == which.event_type,
        None if which.severity is None else pl.col("severity") == which.severity,
        None if which.severity_min is None else pl.col("severity") >= which.severity_min,
        None if which.is_violation is None else pl.col("is_violation") == which.is_violation,
    ):
        if wanted is not None:
            found = found.filter(wanted)
    return found.sort("seq", descending=newest).head(limit).collect().to_dicts()


def timeline(
    root: Root, extents: Collection[Extent], since: datetime, before: datetime, width: timedelta
) -> list[dict[str, Any]]:
    """Return counts by bucket, type and severity; a back-filled event counts where it happened."""
    step = width // timedelta(microseconds=1)
    origin = BUCKETS_FROM - datetime.fromtimestamp(0, UTC)
    offset = (origin // timedelta(microseconds=1)) % step
    told_us = pl.coalesce("effective_at", "occurred_at").dt.epoch("us")
    bucket_at = pl.from_epoch((told_us - offset) // step * step + offset, "us").dt.replace_time_zone("UTC")
    return (
        scan_extents(root, extents)
        .filter((pl.col("occurred_at") >= since) & (pl.col("occurred_at") < before))
        .group_by(bucket_at.alias("bucket_at"), "event_type", "severity")
        .agg(events=pl.len(), violations=pl.col("is_violation").sum())
        .sort("bucket_at", "event_type", "severity")
        .collect()
        .to_dicts()
    )


def told(root: Root, extent: Extent, types: Sequence[int], ended_at: datetime | None) -> list[dict[str, Any]]:
    """Return the events that rules may be about, none of them told after the session's end."""
    told_at = pl.coalesce("effective_at", "occurred_at")
    return (
        scan_extents(root, [extent])
        .filter(pl.col("event_type").is_in(list(types)))
        .select(
            "seq",
            "event_type",
            "severity",
            is_ours=pl.col("client_at").is_null() & pl.col("effective_at").is_not_null(),
            told_at=told_at,
            at=told_at if ended_at is None else pl.min_horizontal(told_at, pl.lit(ended_at)),
        )
        .collect()
        .to_dicts()
    )


def by_type(root: Root, extent: Extent) -> dict[int, int]:
    """Return how many events of each type a session has."""
    found = scan_extents(root, [extent]).group_by("event_type").agg(pl.len().cast(pl.Int64)).collect()
    return dict(found.iter_rows())
