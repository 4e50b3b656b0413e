"""When a silence was one, with time taken off in which nobody could have been heard (decision 85)."""

from datetime import UTC, datetime, timedelta

import pytest

from ingest.stream.outages import proven_at

BEGIN = datetime(2026, 9, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("until_s", "outages", "expected_s"),
    [
        (44, [], None),
        (45, [], 45),
        (300, [], 45),
        (100, [(10, 80)], None),  # back 20 s after it: heard 10 s before
        (125, [(10, 80)], 125),  # still away 45 s after it
        (200, [(60, 150)], 45),  # away before it began
        (100, [(-50, 80)], None),  # it began before the silence did
        (100, [(20, 150)], None),  # it lasted longer
        (140, [(30, 50), (80, 100)], None),  # 30, 30 and 40 s are no 45
        (145, [(30, 50), (80, 100)], 145),
        (100, [(0, 90), (20, 40)], None),  # a clock that was set back: one lies within the other
    ],
)
def test_only_time_on_end_in_which_everything_was_taken_proves_a_silence(
    until_s: int, outages: list[tuple[int, int]], expected_s: int | None
) -> None:
    found = proven_at(BEGIN, at(until_s), [(at(begun), at(ended)) for begun, ended in outages], 45)

    assert found == (None if expected_s is None else at(expected_s))
