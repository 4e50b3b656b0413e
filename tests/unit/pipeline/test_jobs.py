"""What the pipeline is behind with, in words (spec.md X-1). Pure but for a look at a folder."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from kernel.settings import Settings
from pipeline.jobs import COUNTED_MAX, Disk, Failing, Lags, in_words, look_at_disk

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
AFTER = timedelta(seconds=30)
QUIET = Lags(0, None, 0, 0, None, 0, None)


def test_nothing_is_said_when_all_is_well_or_waits_for_a_moment() -> None:
    disk = Disk(free=10**9, needed=0)
    brief = Lags(3, NOW - timedelta(seconds=29), 500, 2, NOW - timedelta(seconds=1), 9, NOW)

    assert in_words([], QUIET, disk, now=NOW, after=AFTER) == []
    assert in_words([], brief, disk, now=NOW, after=AFTER) == []


def test_a_failing_job_is_named_with_its_reason_and_what_the_disk_has_and_needs() -> None:
    failing = [Failing("archive", NOW - timedelta(minutes=5), 7, "OSError: No space left on device", False)]  # noqa: FBT003
    lags = Lags(0, None, 70, 0, None, 0, None)

    why, room = in_words(failing, lags, Disk(free=1 << 20, needed=3 << 20), now=NOW, after=AFTER)
    assert why.startswith("The archive of events fails since 2026-09-01 11:55:00 UTC, 7 times: OSError: No")
    assert room == (
        "The warehouse's disk has 1.0 MiB free; the 70 events that wait for the archive need about 3.0 MiB."
    )


def test_lags_are_said_with_how_many_wait_and_how_long() -> None:
    told_at, pending_at = NOW - timedelta(seconds=35), NOW - timedelta(seconds=40)
    lags = Lags(COUNTED_MAX, NOW - timedelta(seconds=90), 0, 4, pending_at, 6, told_at)

    assert in_words([], lags, Disk(free=1, needed=0), now=NOW, after=AFTER) == [
        "at least 10,000 sessions wait to be folded, the oldest for 90 s.",
        "4 ledger events wait to be sealed, the oldest for 40 s.",
        "6 rows of the outbox wait, the oldest for 35 s.",
    ]


def test_attempts_that_cannot_be_folded_are_named() -> None:
    [said] = in_words([], QUIET, Disk(free=1, needed=0), ["018d", "018e"], now=NOW, after=AFTER)

    assert said.startswith("Attempts that cannot be folded, and are tried again every minute: 018d, 018e; ")


def test_whoever_looks_at_a_broken_warehouse_does_not_fall_with_it(tmp_path: Path) -> None:
    """The scheduler looks every few seconds, and the fold hangs on it."""
    build = tmp_path / "current" / "events"
    build.mkdir(parents=True)
    (build / "manifest.json").write_text("{")

    disk = look_at_disk(Settings(warehouse=str(tmp_path)), Lags(0, None, 10, 0, None, 0, None))
    assert disk is not None
    assert disk.free is not None
    assert disk.needed == 1000
