"""
What one account may use up, of bytes or of requests (spec.md I-4).
"""

import pytest

from kernel.errors import RateLimitedError
from kernel.meter import Meter

RATE, BURST = 1000, 4000


@pytest.fixture
def meter() -> Meter:
    return Meter(RATE, BURST, refusal="Too much.")


def test_a_burst_passes_and_the_byte_after_it_does_not(meter: Meter) -> None:
    meter.charge("candidate", BURST, now_s=100.0)
    meter.check("candidate", now_s=100.0)
    with pytest.raises(RateLimitedError) as refused:
        meter.charge("candidate", 1, now_s=100.0)
    assert refused.value.retry_after_s == 1


def test_who_waits_as_long_as_told_may_send_again(meter: Meter) -> None:
    with pytest.raises(RateLimitedError) as refused:
        meter.charge("candidate", 3 * BURST, now_s=100.0)
    wait_s = refused.value.retry_after_s
    assert wait_s is not None
    assert wait_s >= 2 * BURST / RATE
    meter.check("candidate", now_s=100.0 + wait_s)
    with pytest.raises(RateLimitedError):
        meter.check("candidate", now_s=100.0 + 2 * BURST / RATE - 0.1)


def test_one_candidate_does_not_use_up_what_another_may_send(meter: Meter) -> None:
    with pytest.raises(RateLimitedError):
        meter.charge("loud", 10 * BURST, now_s=100.0)
    meter.charge("quiet", BURST, now_s=100.0)


def test_the_rate_passes_for_ever(meter: Meter) -> None:
    for second in range(1000):
        meter.charge("candidate", RATE, now_s=float(second))


def test_settled_accounts_are_forgotten_and_open_ones_are_kept() -> None:
    meter = Meter(RATE, BURST, refusal="Too much.", accounts_max=10)
    for number in range(9):
        meter.charge(f"settled {number}", 1, now_s=100.0)
    with pytest.raises(RateLimitedError):
        meter.charge("open", 2 * BURST, now_s=100.0)
    meter.charge("new", 1, now_s=101.0)
    with pytest.raises(RateLimitedError):
        meter.check("open", now_s=101.0)


def test_what_is_refused_costs_nothing() -> None:
    """Whoever knocks on without pause gets the rate, not nothing."""
    meter = Meter(10, 5, refusal="Too many.")
    passed = 0
    for tick in range(1000):  # a hundred a second, ten seconds long
        try:
            meter.spend("eager", now_s=100.0 + tick / 100)
        except RateLimitedError:
            continue
        passed += 1

    assert 100 <= passed <= 106
