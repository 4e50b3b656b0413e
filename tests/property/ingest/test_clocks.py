"""Clocks and silences: the function in Redis against its definition, and both against the truth (I-6)."""

from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.server import Server
from ingest.stream import calls, clocks
from ingest.stream.clocks import CONTACT_LOST_US, SECOND_US, TOLERANCE_US, Clock
from ingest.stream.protocol import (
    BATCH_VERSION,
    HEADER,
    OFFSET_UNKNOWN,
    Batch,
    function,
    library,
    session_key,
    shard_key,
    shard_of,
    stream_key,
)
from ingest.writer.encoding import CLOCK, Request, progress_of, request_of, rows_of
from kernel.events import HEARTBEAT_INTERVAL_S, HEARTBEAT_MISSED_AFTER_S, EventType
from tests.kits.ingest.stream import SHARDS, append

BEGIN_US = 1_800_000_000 * SECOND_US
WINDOW_US = 1800 * SECOND_US
AGE_US = 5 * SECOND_US
SESSION, CANDIDATE = 5, "candidate"
SHARD = shard_of(SESSION, SHARDS)
WAY_S_MAX = 1.5  # of a request in the simulation
HOUR = 3600


@pytest.fixture(scope="module")
def simulated(redis_server: Server) -> Iterator["redis.Redis"]:
    """The very function library, but for its clock, which is a key that the test sets."""
    text = library()[1]
    clock = "local t = redis.call('TIME')\n  return tonumber(t[1]) * 1000000 + tonumber(t[2])"
    assert text.count(clock) == 1, "the one place that reads the time"
    with redis.Redis.from_url(redis_server.url) as client:
        client.function_flush()
        client.function_load(text.replace(clock, "return tonumber(redis.call('GET', 'now'))"))
        yield client
        client.function_flush()


class Beat(msgspec.Struct, frozen=True):
    """Something a client makes: its type, its true time, what its clock said, whether it was buffered."""

    kind: int
    true_us: int
    client_us: int
    buffered: bool = False


class Candidate:
    """A client whose true clock is known: `off_us` is the truth that the tier estimates."""

    def __init__(self, client: "redis.Redis") -> None:
        self.redis = client
        self.now_us = BEGIN_US
        self.off_us = 0
        self.drift = 0.0
        self.sent: list[list[Beat]] = []
        self.arrived: list[int] = []
        self.truth: list[int] = []
        self.clock: Clock | None = None
        self.known: list[clocks.Silence] = []
        self.contact_us = BEGIN_US
        self.steps: list[tuple[int, int]] = []
        client.delete(stream_key(SHARD), shard_key(SHARD), session_key(SHARD, SESSION))
        client.set("now", BEGIN_US)
        client.fcall(*calls.open_epoch(SHARD, 1))
        row = [1, 1, CANDIDATE, "", 0, BEGIN_US, 0, "", "", "", 60, BEGIN_US, "", ""]
        keys = (session_key(SHARD, SESSION), shard_key(SHARD))
        client.fcall(function("restore").decode(), 2, *keys, *row)

    def wait(self, seconds: float) -> None:
        self.now_us += round(seconds * SECOND_US)
        self.off_us -= round(self.drift * seconds * SECOND_US)

    def make(self, kind: int = EventType.Keystroke, *, buffered: bool = False) -> Beat:
        return Beat(kind, self.now_us, self.now_us - self.off_us, buffered)

    def send(self, beats: list[Beat], way_s: float) -> None:
        """Post a batch that is so long on its way, and hold what Redis keeps against the definition."""
        self.wait(way_s)
        live = [beat.client_us for beat in beats if beat.kind == 1 and not beat.buffered]
        batch = Batch(
            version=BATCH_VERSION, client=None, sequences=None, types=bytes(beat.kind for beat in beats),
            severities=bytes(len(beats)), client_us=array("q", [b.client_us for b in beats]).tobytes(),
            payloads=[None] * len(beats), buffered=bytes(beat.buffered for beat in beats),
        )  # fmt: skip
        self.redis.set("now", self.now_us)
        declared = any(beat.buffered for beat in beats)
        reply = append(
            self.redis, batch, SESSION, candidate=CANDIDATE, is_buffered=int(declared),
            heartbeat_us=max(live, default=None), late_window_us=WINDOW_US,
        )  # fmt: skip
        assert reply[0] == b"ok", reply
        self.sent.append(beats)
        self.arrived.append(self.now_us)
        self.truth.append(self.off_us)
        self._check(max(live, default=None), declared=declared)

    def _check(self, heartbeat_us: int | None, *, declared: bool) -> None:
        at = self.now_us
        self.known = clocks.silences(self.known, at, self.contact_us, WINDOW_US)
        before = None
        if heartbeat_us is not None:
            sample, reach = at - heartbeat_us, clocks.reach(self.known, at)
            returned = self.known[-1][1] if self.known else 0
            self.clock, before = clocks.follow(self.clock, sample, at, reach, returned)
        if before is not None and self.clock is not None:
            self.steps.append((before, self.clock.offset_us))
        entry = self.last()
        header = np.frombuffer(entry.header, dtype=HEADER)[0]
        pairs = np.frombuffer(entry.silences, dtype="<i8").reshape(-1, 2).tolist()
        offset = OFFSET_UNKNOWN if self.clock is None else self.clock.offset_us
        assert (header["at_us"], header["previous_us"], header["offset_us"]) == (at, self.contact_us, offset)
        assert [tuple(p) for p in pairs] == clocks.fillable(self.known, at, WINDOW_US, declared=declared)
        kept = offset if self.clock is None else clocks.confirmed(self.clock)
        told = (kept, OFFSET_UNKNOWN if before is None else before)
        assert (CLOCK.unpack(entry.clock) if entry.clock else None) == (
            None if heartbeat_us is None else told
        )
        self.contact_us = at

    def last(self) -> Request:
        found: Any = self.redis.xrevrange(stream_key(SHARD), count=1)
        return request_of(found[0][1])

    def entries(self) -> list[Request]:
        found: Any = self.redis.xrange(stream_key(SHARD), min="1-1")
        return [request_of(fields) for _, fields in found]


LIVE = st.tuples(st.just("live"), st.integers(1, 6))
OFFLINE = st.tuples(st.just("offline"), st.sampled_from([10, 30, 60, 600]), st.booleans(), st.booleans())
STEP = st.tuples(st.just("step"), st.sampled_from([-HOUR, -120, -20, 20, 120, HOUR]))
DRIFT = st.tuples(st.just("drift"), st.sampled_from([-0.001, 0.001]))
SLEEP = st.tuples(st.just("sleep"), st.sampled_from([30, 900]))
WAYS = st.lists(st.floats(0.01, WAY_S_MAX), min_size=20, max_size=20)


def live(at: Candidate, rounds: int, ways: list[float]) -> None:
    """Beat every 15 s, on a route of its own or in a bulk, and post something in between."""
    for n in range(rounds):
        at.send([at.make(EventType.Heartbeat), *([at.make()] if n % 2 else [])], ways[n])
        at.wait(HEARTBEAT_INTERVAL_S / 2)
        at.send([at.make()], ways[-1 - n])
        at.wait(HEARTBEAT_INTERVAL_S / 2 - ways[n] - ways[-1 - n])


def offline(at: Candidate, seconds: int, ways: list[float], *, declared: bool, beats: bool) -> None:
    """Buffer something every ten seconds, heartbeats too or not, and post it in three parts."""
    buffer = []
    for n in range(seconds // 10):
        at.wait(10)
        buffer.append(at.make(1 if beats and n % 2 else 102, buffered=declared))
    for part in range(3):
        if some := buffer[part::3]:
            at.send(some, ways[part])


def play(client: "redis.Redis", acts: list[Any], ways: list[float]) -> Candidate:
    at = Candidate(client)
    live(at, 3, ways)
    for act in acts:
        match act:
            case ("live", rounds):
                live(at, rounds, ways)
            case ("offline", seconds, declared, beats):
                offline(at, seconds, ways, declared=declared, beats=beats)
            case ("step", seconds):
                at.off_us += seconds * SECOND_US
            case ("drift", rate):
                at.drift = rate
            case ("sleep", seconds):
                at.wait(seconds)
    live(at, 3, ways)
    return at


def check(at: Candidate, *, is_cheating: bool) -> None:
    """Hold every row against what is true of its event."""
    rows = rows_of(at.entries(), AGE_US)
    effective = rows.table.column("effective_at").cast("int64").to_pylist()
    place = 0
    contact = BEGIN_US
    for request, beats, arrived, truth in zip(at.entries(), at.sent, at.arrived, at.truth, strict=True):
        offset = int(np.frombuffer(request.header, dtype=HEADER)[0]["offset_us"])
        silences = [tuple(pair) for pair in np.frombuffer(request.silences, dtype="<i8").reshape(-1, 2)]
        for beat in beats:
            found, place = effective[place], place + 1
            if found is not None:
                places = [*silences, (contact, arrived)] if beat.buffered else silences
                assert any(begun <= found <= ended for begun, ended in places), "never outside the gap"
            if not beat.buffered and not silences:
                assert found is None, "in touch nothing is back-filled"
            if abs(offset - truth) > TOLERANCE_US or is_cheating:
                continue
            if found is not None:
                assert abs(found - beat.true_us) <= 2 * TOLERANCE_US, "within bounds of the truth"
            if any(b + TOLERANCE_US < beat.true_us < e - 3 * TOLERANCE_US for b, e in silences):
                assert found is not None, "what could not have been sent earlier"
        contact = arrived


@settings(max_examples=120)
@given(st.lists(LIVE | OFFLINE | STEP | DRIFT | SLEEP, max_size=6), WAYS)
def test_whatever_a_clock_does_a_client_in_touch_is_there_and_its_events_stand_where_they_happened(
    simulated: "redis.Redis", acts: list[Any], ways: list[float]
) -> None:
    at = play(simulated, acts, ways)

    check(
        at,
        is_cheating=any(a[0] == "step" and b[0] == "offline" for a, b in pairwise(acts)),
    )
    assert at.clock is not None
    assert abs(at.clock.offset_us - at.off_us) <= TOLERANCE_US, "two heartbeats in touch tell the offset"
    assert all(abs(new - old) > TOLERANCE_US for old, new in at.steps)
    if not any(act[0] == "step" for act in acts):
        assert at.steps == [], "neither drift nor a buffer nor sleep is a step"
    progress = progress_of(rows_of(at.entries(), AGE_US), [])
    beats = [t for t, sent in zip(at.arrived, at.sent, strict=True) if any(b.kind == 1 for b in sent)]
    assert progress.heartbeat_us == [beats[-1]], "a heartbeat received is a heartbeat"
    assert progress.offset_us == [clocks.confirmed(at.clock)]


@settings(max_examples=40)
@given(st.sampled_from([-HOUR, -20, 20, HOUR]), st.sampled_from([0, 30, 600]), WAYS)
def test_a_step_is_recorded_once_in_either_direction_in_touch_and_after_a_silence(
    simulated: "redis.Redis", seconds: int, away_s: int, ways: list[float]
) -> None:
    at = play(simulated, [("sleep", away_s), ("step", seconds), ("live", 4)], ways)

    [(old, new)] = at.steps
    assert abs(old) <= 2 * SECOND_US
    assert abs(new - seconds * SECOND_US) <= 2 * SECOND_US


@settings(max_examples=40)
@given(st.sampled_from([-HOUR, -20, 20, HOUR]), WAYS)
def test_a_live_client_whose_clock_steps_is_never_out_of_touch(
    simulated: "redis.Redis", seconds: int, ways: list[float]
) -> None:
    """Heartbeats as the writer counts them lie less than the limit apart, and no row is misdated."""
    at = play(simulated, [("live", 4), ("step", seconds), ("live", 4), ("step", -seconds)], ways)

    rows = rows_of(at.entries(), AGE_US)
    beats = [t for t, sent in zip(at.arrived, at.sent, strict=True) if any(b.kind == 1 for b in sent)]
    assert max(np.diff(beats)) < HEARTBEAT_MISSED_AFTER_S * SECOND_US
    assert not rows.backfilled.any()
    assert max(np.diff(at.arrived)) < CONTACT_LOST_US
