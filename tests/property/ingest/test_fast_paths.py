"""What the ingest path does quickly is what its plain definition says."""

import re
from array import array
from collections.abc import Callable
from time import perf_counter

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.admission.columns import latest_times
from ingest.stream.protocol import NO_TIME
from kernel.events import EventType
from kernel.values import has_exponents, wrong_document

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text() | st.sampled_from(["1e5", ": 1e5", "x, 2E3", '\\"9e1', "9e9e9e", "\\"])
)  # fmt: skip
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


@given(document=documents, is_spaced=st.booleans())
@example(document={"n": 1e300}, is_spaced=True)
@example(document="1e5", is_spaced=False)
def test_an_exponent_is_seen_in_numbers_and_nowhere_else(*, document: object, is_spaced: bool) -> None:
    text = msgspec.json.encode(document).decode()
    text = msgspec.json.format(text) if is_spaced else text
    outside = re.sub(r'"(?:\\.|[^"\\])*"', '""', text)

    assert has_exponents(text) == (re.search("[0-9][eE]", outside) is not None)


events = st.lists(
    st.tuples(
        st.sampled_from([EventType.Heartbeat, EventType.Keystroke]),
        st.integers(0, 2**50) | st.just(NO_TIME),
        st.booleans(),
    ),
    max_size=8,
)


@given(given_events=events, says_buffered=st.booleans())
def test_the_latest_times_are_those_of_live_events(
    *, given_events: list[tuple[EventType, int, bool]], says_buffered: bool
) -> None:
    types = bytes(kind for kind, _, _ in given_events)
    client_us = array("q", [us for _, us, _ in given_events]).tobytes()
    buffered = bytes(late for _, _, late in given_events) if says_buffered else None
    live = [(kind, us) for kind, us, late in given_events if not (says_buffered and late)]
    beats = [us for kind, us in live if kind is EventType.Heartbeat and us != NO_TIME]
    told = [us for _, us in live]

    expected = 0 if not told else None if NO_TIME in told else max(told)
    assert latest_times(types, client_us, buffered) == (max(beats, default=None), expected)


WIDE = {
    "numbers": "[" + ",".join(["1.5"] * 4000) + "]",
    "exponents": "[" + ",".join(["1e1"] * 4000) + "]",
    "lists": "[" + ",".join(["[]"] * 5000) + "]",
    "branches": "[" + ",".join(["[" * 31 + "]" * 31] * 260) + "]",
    "long numbers": "[" + ",".join(["1" * 299] * 50 + ["2" * 300]) + "]",
}


@pytest.mark.parametrize("kind", WIDE)
def test_a_document_is_judged_in_about_the_time_that_reading_it_takes(kind: str) -> None:
    """I-4: a body of hundreds of them is judged on the loop that serves everybody."""
    text, read = WIDE[kind], msgspec.json.Decoder().decode

    def judge() -> None:
        assert wrong_document(text, bytes_max=16_384) is None or kind == "exponents"

    def seconds(work: Callable[[], object]) -> float:
        taken = []
        for _ in range(20):
            started = perf_counter()
            work()
            taken.append(perf_counter() - started)
        return min(taken)

    assert seconds(judge) < 20 * seconds(lambda: read(text))
