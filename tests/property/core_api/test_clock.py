"""An attempt's clock loses exactly the time in which it ran (spec.md D-2, P-4)."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from core_api.sittings.clock import Clock

START = datetime(2024, 1, 15, 10, tzinfo=UTC)
LONGEST = timedelta(minutes=20)
STEPS = st.lists(
    st.tuples(st.sampled_from(["pause", "resume", "extend"]), st.integers(0, 30 * 60)), max_size=12
)


@given(STEPS)
def test_what_is_left_falls_by_the_time_it_ran_and_rises_by_what_was_given(
    steps: list[tuple[str, int]],
) -> None:
    """A pause that nobody ends is over by itself after the longest that it may last."""
    now, clock, before = START, Clock(expires_at=START + timedelta(hours=10)), START
    left, stands = timedelta(hours=10), timedelta()
    for act, seconds in steps:
        passed = timedelta(seconds=seconds)
        still = min(passed, stands)
        stands -= still
        left -= passed - still
        now += passed

        assert clock.remaining_s(now) == left.total_seconds()
        assert clock.is_paused(now) == (stands > timedelta())
        match act:
            case "pause" if clock.paused_at is None:
                before, clock = clock.expires_at, clock.paused(now, longest=LONGEST, bound=None)
                stands = LONGEST
            case "resume" if clock.paused_at is not None:
                clock = clock.resumed(now, expires_before=before, bound=None)
                stands = timedelta()
            case "extend":
                clock, before = clock.extended(timedelta(minutes=5)), before + timedelta(minutes=5)
                left += timedelta(minutes=5)

        assert clock.remaining_s(now) == left.total_seconds()


@given(st.integers(0, 3600), st.integers(1, 1200))
def test_a_bound_keeps_a_pause_from_moving_the_end_past_it_and_never_moves_it_back(
    until_bound: int, lasts: int
) -> None:
    end = START + timedelta(minutes=30)
    bound = START + timedelta(seconds=until_bound)
    stopped = Clock(expires_at=end).paused(START, longest=LONGEST, bound=bound)
    now = START + timedelta(seconds=lasts)
    goes_on = stopped.resumed(now, expires_before=end, bound=bound)

    assert end <= goes_on.expires_at <= stopped.expires_at <= max(end, bound)
    assert goes_on.expires_at == max(end, min(end + timedelta(seconds=lasts), bound))
