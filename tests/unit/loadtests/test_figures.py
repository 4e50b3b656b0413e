"""What a run came to, out of the clients' own log."""

from loadtests.check.figures import figures, percentile
from loadtests.client.log import Acked, Created, Entry, Refused, Sent, Unanswered


def a_log() -> list[Entry]:
    """Two events: a lost reply, a wait, an answer, a probe; then one more that is refused."""
    return [
        Created(1, "a", 1, 1, 0.0, marker="m1"),
        Created(1, "a", 2, 2, 0.0, marker="m2"),
        Sent(1, "a", 1, 2, 1.0),
        Unanswered(1, "a", 1, 2, 2.0, why="TimeoutError"),
        Sent(1, "a", 1, 2, 3.0),
        Refused(1, "a", 1, 2, 3.1, status=429, code="rate_limited"),
        Sent(1, "a", 1, 2, 4.0),
        Acked(1, "a", 1, 2, 4.5, numbers=(1, 2), duplicates=2),
        Sent(1, "a", 2, 2, 5.0, probe=True),
        Acked(1, "a", 2, 2, 5.1, numbers=(2,), duplicates=1),
        Created(1, "a", 3, 3, 6.0, marker="m3"),
        Sent(1, "a", 3, 3, 6.0),
        Refused(1, "a", 3, 3, 6.1, status=422, code="invalid_input", final=True),
    ]


def test_figures_tell_resends_duplicates_waits_and_refusals_apart() -> None:
    counted = figures(a_log())

    assert (counted.created, counted.acknowledged, counted.given_up) == (3, 2, 1)
    assert (counted.requests, counted.resent, counted.probes, counted.unanswered) == (4, 2, 1, 1)
    assert counted.duplicates == 2, "what a probe hears is no duplicate of the candidate's"
    assert (counted.waits, counted.refusals) == ({"rate_limited": 1}, {"invalid_input": 1})


def test_latency_counts_from_the_request_that_was_answered() -> None:
    latency = figures(a_log()).latency_ms

    assert latency.max is not None
    assert round(latency.max) == 500


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentile([], 0.5) is None
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
    assert percentile([1.0], 1.0) == 1.0
