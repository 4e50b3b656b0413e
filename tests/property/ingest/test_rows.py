"""The writer's columns against a plain model of one event at a time (spec.md I-6, I-7)."""

from array import array
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ingest.admission.columns import count_violations
from ingest.stream import clocks
from ingest.stream.protocol import BATCH_VERSION, HEADER, NO_TIME, OFFSET_UNKNOWN, Batch
from ingest.writer.encoding import Request, marks_of, progress_of, rows_of
from ingest.writer.store import renumber
from kernel.events import EventType, is_violation

BACKFILL_US = 5_000_000
TYPES = st.sampled_from([EventType.Heartbeat, EventType.TabSwitched, EventType.Keystroke, EventType.Other])
TIMES = st.integers(1_000_000_000, 2_000_000_000)


@st.composite
def request(
    draw: st.DrawFn, session: int, seq: int, previous: int, at: int
) -> tuple[Request, dict[str, Any]]:
    count = draw(st.integers(1, 5))
    types = draw(st.lists(TYPES, min_size=count, max_size=count))
    severities = draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    times = draw(st.lists(st.none() | TIMES, min_size=count, max_size=count))
    offset = draw(st.just(OFFSET_UNKNOWN) | st.integers(-(10**8), 10**8))
    late, of_service = draw(st.booleans()), draw(st.booleans())
    client = draw(st.none() | st.integers(-(2**63), 2**63 - 1))
    first = draw(st.integers(1, 100))
    spread = draw(st.booleans())
    buffered = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    ends = draw(st.lists(st.tuples(st.integers(0, 10**8), st.integers(1, 10**8)), max_size=2))
    silences = [(at - age - span, at - age) for age, span in ends]
    numbers = None if client is None else [first + i * (2 if spread else 1) for i in range(count)]
    batch = Batch(
        version=BATCH_VERSION,
        client=client,
        sequences=numbers if spread or numbers is None else first,
        types=bytes(types),
        severities=bytes(severities),
        client_us=array("q", [NO_TIME if time is None else time for time in times]).tobytes(),
        payloads=[None] * count,
        buffered=bytes(buffered) if any(buffered) else None,
    )
    header = np.array([(session, seq, count, at, previous, offset, int(late))], dtype=HEADER).tobytes()
    plain = {
        "session": session, "seq": seq, "types": types, "severities": severities, "times": times,
        "offset": offset, "late": late, "client": client, "numbers": numbers, "at": at, "previous": previous,
        "buffered": buffered, "silences": silences, "of_service": of_service,
    }  # fmt: skip
    silent = np.array(silences, dtype="<i8").tobytes()
    return Request(header, batch, silent, of_service=of_service), plain


@st.composite
def stream(draw: st.DrawFn) -> list[tuple[Request, dict[str, Any]]]:
    """A shard's entries in stream order: sessions interleaved, each with dense sequences and rising times."""
    sessions = draw(st.lists(st.integers(1, 3), min_size=1, max_size=8))
    gaps = draw(st.lists(st.integers(0, 10**8), min_size=len(sessions), max_size=len(sessions)))
    moments = list(accumulate(gaps, initial=1_500_000_000))[1:]
    state: dict[int, tuple[int, int]] = {}
    entries = []
    for session, at in zip(sessions, moments, strict=True):
        seq, previous = state.get(session, (1, 1_500_000_000))
        entry = draw(request(session, seq, previous, at))
        entries.append(entry)
        state[session] = (seq + len(entry[1]["types"]), at)
    return entries


def modelled(plain: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for i, (number, severity, time) in enumerate(
        zip(plain["types"], plain["severities"], plain["times"], strict=True)
    ):
        effective = clocks.effective(
            time,
            None if plain["offset"] == OFFSET_UNKNOWN else plain["offset"],
            plain["at"],
            plain["previous"],
            plain["silences"],
            BACKFILL_US,
            declared=plain["buffered"][i],
        )
        rows.append(
            {
                "session_id": plain["session"],
                "seq": plain["seq"] + i,
                "occurred_at": plain["at"],
                "effective_at": effective,
                "client_at": time,
                "client": plain["client"],
                "client_seq": None if plain["numbers"] is None else plain["numbers"][i],
                "event_type": int(number),
                "severity": severity,
                "is_violation": is_violation(number, severity),
                "is_late": plain["late"],
                "event_name": None,
                "payload": None,
            }
        )
    return rows


def plainly(table: pa.RecordBatch) -> list[dict[str, Any]]:
    columns = {
        field.name: (
            table.column(field.name).cast(pa.int64())
            if pa.types.is_timestamp(field.type)
            else table.column(field.name)
        ).to_pylist()
        for field in table.schema
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@given(stream())
def test_rows_are_what_one_event_at_a_time_would_make_sorted_by_session_and_sequence(
    entries: list[tuple[Request, dict[str, Any]]],
) -> None:
    expected = sorted(
        (row for _, plain in entries for row in modelled(plain)),
        key=lambda row: (row["session_id"], row["seq"]),
    )

    rows = rows_of([entry for entry, _ in entries], BACKFILL_US)

    assert plainly(rows.table) == expected


@given(stream())
def test_progress_sums_each_session_up(entries: list[tuple[Request, dict[str, Any]]]) -> None:
    rows = [row | {"of": plain["of_service"]} for _, plain in entries for row in modelled(plain)]

    progress = progress_of(rows_of([entry for entry, _ in entries], BACKFILL_US), [])

    for i, session in enumerate(progress.sessions):
        own = [row for row in rows if row["session_id"] == session]
        beats = [
            row["occurred_at"]
            for row in own
            if row["event_type"] == 1 and not row["is_late"] and not row["of"]
        ]
        assert progress.through[i] == max(row["seq"] for row in own)
        assert progress.events[i] == len(own)
        assert progress.violations[i] == sum(row["is_violation"] for row in own)
        assert progress.last_us[i] == max(row["occurred_at"] for row in own)
        assert progress.heartbeat_us[i] == (max(beats) if beats else None)
        others = sorted((row for row in own if row["event_type"] != 1), key=lambda row: row["seq"])
        last = (
            others[-1]
            if others
            else {"seq": None, "event_type": None, "event_name": None, "occurred_at": None}
        )
        assert (
            progress.last_other_seqs[i],
            progress.last_other_types[i],
            progress.last_other_names[i],
            progress.last_other_us[i],
        ) == (last["seq"], last["event_type"], last["event_name"], last["occurred_at"])


@given(stream())
def test_what_a_service_sent_fills_no_gap(entries: list[tuple[Request, dict[str, Any]]]) -> None:
    plain = [given for _, given in entries]
    could = {
        (row["session_id"], row["seq"])
        for given in plain
        for row in modelled(given)
        if None not in (row["effective_at"], row["client_at"]) and not given["of_service"]
    }
    others = {(p["session"], p["seq"] + i) for p in plain if p["of_service"] for i in range(len(p["types"]))}

    marks = marks_of(rows_of([entry for entry, _ in entries], BACKFILL_US), 30_000_000)
    marked = {
        (session, seq)
        for session, low, high in zip(marks.sessions, marks.from_seqs, marks.through_seqs, strict=True)
        if low is not None and high is not None
        for seq in range(low, high + 1)
    }

    assert could <= marked
    assert not marked & others


@given(st.lists(st.tuples(st.sampled_from(list(EventType)), st.integers(0, 5)), min_size=1, max_size=20))
def test_violations_are_counted_by_column_as_one_by_one(events: list[tuple[EventType, int]]) -> None:
    types, severities = bytes(t for t, _ in events), bytes(s for _, s in events)

    assert count_violations(types, severities) == sum(is_violation(t, s) for t, s in events)


@given(stream(), st.dictionaries(st.integers(1, 3), st.integers(0, 30)))
def test_renumbered_requests_continue_what_is_stored(
    entries: list[tuple[Request, dict[str, Any]]], through: dict[int, int]
) -> None:
    """After a roll-back: no sequence is given twice, and each session goes on after what is stored."""
    last = dict(through)

    requests, _ = renumber([entry for entry, _ in entries], dict(through))

    for moved in requests:
        header = np.frombuffer(moved.header, dtype=HEADER)[0]
        session = int(header["session"])
        assert int(header["seq"]) > last.get(session, 0)
        last[session] = int(header["seq"]) + int(header["events"]) - 1
