"""
From stream entries to the columns that COPY takes.

Requests are sorted, not rows: a request belongs to one session and is in order already. Everything else is a
column operation; only payloads are touched one by one.
"""

import struct
from collections.abc import Mapping
from itertools import chain
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pgpq
import pgpq.schema
import pyarrow as pa
from pgpq import encoders

from ingest.stream.clocks import TOLERANCE_US
from ingest.stream.protocol import HEADER, NO_TIME, OFFSET_UNKNOWN, Batch, decode_batch
from kernel.events import ALERT_SEVERITY_MIN, VIOLATION_SEVERITY_MIN, VIOLATION_TYPES, EventType, event_id

LATEST: Final = 2**63 - 1
CLOCK: Final = struct.Struct("<qq")
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

SCHEMA: Final = pa.schema(
    [
        pa.field("session_id", pa.int64(), nullable=False),
        pa.field("seq", pa.int32(), nullable=False),
        pa.field("occurred_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("effective_at", pa.timestamp("us", tz="UTC")),
        pa.field("client_at", pa.timestamp("us", tz="UTC")),
        pa.field("client", pa.int64()),
        pa.field("client_seq", pa.int64()),
        pa.field("event_type", pa.int16(), nullable=False),
        pa.field("severity", pa.int16(), nullable=False),
        pa.field("is_violation", pa.bool_(), nullable=False),
        pa.field("is_late", pa.bool_(), nullable=False),
        pa.field("event_name", pa.string()),
        pa.field("payload", pa.string()),
    ]
)
_VIOLATION: Final = np.array([number in VIOLATION_TYPES for number in range(256)])


def _encoder() -> pgpq.ArrowToPostgresBinaryEncoder:
    chosen = {field.name: pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field) for field in SCHEMA}
    chosen["payload"] = encoders.StringEncoderBuilder.new_with_output(
        SCHEMA.field("payload"), pgpq.schema.Jsonb()
    )
    return pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(SCHEMA, chosen)


class Request(msgspec.Struct, frozen=True, gc=False):
    """
    One stream entry that holds events: its header's bytes and its batch; int64 pairs of the silences that it
    may fill; its clock: offset and the one before a step; whether a service sent it (see append.lua).
    """

    header: bytes
    batch: Batch
    silences: bytes = b""
    clock: bytes = b""
    of_service: bool = False


def request_of(fields: Mapping[bytes, bytes]) -> Request:
    """Return a stream entry that holds events, by its fields."""
    batch = decode_batch(fields[b"b"])
    return Request(fields[b"e"], batch, fields.get(b"g", b""), fields.get(b"k", b""), b"s" in fields)


class Rows(msgspec.Struct, frozen=True):
    """
    The rows of one COPY, by column, sorted by session and sequence.

    `table` has SCHEMA; `starts` is where each session's rows begin; `headers` and `batches` are the requests
    in the same order; `clocks` are those of their clocks that a heartbeat told: session, server time, offset,
    the one before a step or OFFSET_UNKNOWN. Only the candidate's heartbeats are `beats`, and only what the
    candidate's client sent fills a gap: a module that watches says nothing of whether they are there.
    """

    table: pa.RecordBatch
    starts: Ints
    headers: npt.NDArray[np.void]
    batches: list[Batch]
    clocks: list[tuple[int, int, int, int]]
    beats: Flags
    backfilled: Flags
    of_service: Flags


def rows_of(requests: list[Request], backfill_after_us: int) -> Rows:
    """
    Lay the requests out as rows.

    Args:
        requests: at least one, of one shard.
        backfill_after_us: events whose corrected client time is older than this on arrival are back-filled.
    """
    headers = np.frombuffer(b"".join(request.header for request in requests), dtype=HEADER)
    order = np.lexsort((headers["seq"], headers["session"]))
    headers = headers[order]
    sorted_requests = [requests[i] for i in order]
    batches = [request.batch for request in sorted_requests]
    events = headers["events"]
    first = np.cumsum(events) - events
    total = int(events.sum())
    step = np.arange(total) - np.repeat(first, events)

    session = np.repeat(headers["session"], events)
    at_us = np.repeat(headers["at_us"], events)
    types = np.frombuffer(b"".join([batch.types for batch in batches]), dtype=np.uint8)
    severities = np.frombuffer(b"".join([batch.severities for batch in batches]), dtype=np.uint8)
    client_us = np.frombuffer(b"".join([batch.client_us for batch in batches]), dtype="<i8")
    client, no_client = _clients(batches, events)
    client_seq, no_seq = _sequences(batches, events, first, step)
    effective_us, backfilled = _effective(
        headers, sorted_requests, events, at_us, client_us, backfill_after_us
    )
    late = np.repeat(headers["late"] == 1, events)
    of_service = np.repeat([request.of_service for request in sorted_requests], events)
    violation = (types != EventType.Heartbeat) & ((severities >= VIOLATION_SEVERITY_MIN) | _VIOLATION[types])

    columns = [
        pa.array(session),
        pa.array((np.repeat(headers["seq"], events) + step).astype(np.int32)),
        _times(at_us, None),
        _times(effective_us, ~backfilled),
        _times(client_us, client_us == NO_TIME),
        pa.array(client, mask=no_client),
        pa.array(client_seq, mask=no_seq),
        pa.array(types.astype(np.int16)),
        pa.array(severities.astype(np.int16)),
        pa.array(violation),
        pa.array(late),
        _names(batches, events, total),
        pa.array(list(chain.from_iterable([batch.payloads for batch in batches])), pa.string()),
    ]
    starts = np.flatnonzero(np.diff(session, prepend=-1))
    table = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
    clocks = [
        (int(headers["session"][i]), int(headers["at_us"][i]), *CLOCK.unpack(request.clock))
        for i, request in enumerate(sorted_requests)
        if request.clock
    ]
    beats = (types == EventType.Heartbeat) & ~late & ~of_service
    return Rows(table, starts, headers, batches, clocks, beats, backfilled, of_service)


def _times(us: Ints, mask: Flags | None) -> pa.Array:
    return pa.array(us, mask=mask).cast(pa.timestamp("us", tz="UTC"))


def _clients(batches: list[Batch], events: Ints) -> tuple[Ints, Flags]:
    values = np.array([0 if batch.client is None else batch.client for batch in batches], dtype=np.int64)
    absent = np.array([batch.client is None for batch in batches])
    return np.repeat(values, events), np.repeat(absent, events)


def _sequences(batches: list[Batch], events: Ints, first: Ints, step: Ints) -> tuple[Ints, Flags]:
    dense = np.array(
        [batch.sequences if isinstance(batch.sequences, int) else 0 for batch in batches], dtype=np.int64
    )
    absent = np.array([batch.sequences is None for batch in batches])
    numbers = np.repeat(dense, events) + step
    for i, batch in enumerate(batches):
        if isinstance(batch.sequences, list):
            numbers[first[i] : first[i] + events[i]] = batch.sequences
    return numbers, np.repeat(absent, events)


def _effective(
    headers: npt.NDArray[np.void],
    requests: list[Request],
    events: Ints,
    at_us: Ints,
    client_us: Ints,
    backfill_after_us: int,
) -> tuple[Ints, Flags]:
    """
    Return when back-filled events really happened, and which they are: `clocks.effective`, by column.

    What our own sweeps record of the past says its time itself.
    """
    offset = np.repeat(headers["offset_us"], events)
    usable = (offset != OFFSET_UNKNOWN) & (client_us != NO_TIME)
    corrected = np.where(usable, client_us, 0) + np.where(usable, offset, 0)
    declared = _declared(requests, events) & usable
    backfilled = declared.copy()
    effective = np.clip(corrected, np.repeat(headers["previous_us"], events), at_us)
    could_be = declared | (usable & (at_us - corrected > backfill_after_us))
    for begun, ended in _silences(requests, events):
        inside = could_be & (begun - TOLERANCE_US <= corrected) & (corrected < ended)
        backfilled |= inside
        effective = np.where(inside, np.maximum(corrected, begun), effective)
    stated = np.array(
        [NO_TIME if each.batch.effective_us is None else each.batch.effective_us for each in requests]
    )
    if (stated != NO_TIME).any():
        given = np.repeat(stated, events)
        backfilled |= given != NO_TIME
        effective = np.where(given != NO_TIME, given, effective)
    return effective, backfilled


def _declared(requests: list[Request], events: Ints) -> Flags:
    """Return which events their clients declare as buffered."""
    if not any(request.batch.buffered for request in requests):
        return np.zeros(int(events.sum()), dtype=bool)
    parts = [request.batch.buffered or bytes(len(request.batch.types)) for request in requests]
    return np.frombuffer(b"".join(parts), dtype=np.bool_)


def _silences(requests: list[Request], events: Ints) -> list[tuple[Ints, Ints]]:
    """Return columns of begin and end, oldest silences first; a request without one has an empty one."""
    if not any(request.silences for request in requests):
        return []
    pairs = [np.frombuffer(request.silences, dtype="<i8").reshape(-1, 2) for request in requests]
    most = max(len(own) for own in pairs)
    columns = []
    for place in range(most):  # the latest stands last for every request
        chosen = [own[place - most + len(own)] if place >= most - len(own) else (0, 0) for own in pairs]
        begun, ended = np.array(chosen, dtype=np.int64).T
        columns.append((np.repeat(begun, events), np.repeat(ended, events)))
    return columns


def _names(batches: list[Batch], events: Ints, total: int) -> pa.Array:
    if not any(batch.names for batch in batches):
        return pa.nulls(total, pa.string())
    names: list[str | None] = []
    for batch, count in zip(batches, events, strict=True):
        names.extend(batch.names or [None] * int(count))
    return pa.array(names, pa.string())


def copy_bytes(table: pa.RecordBatch) -> bytes:
    """Return the rows in PostgreSQL's binary COPY format, in the schema's column order."""
    encoder = _encoder()
    return b"".join((encoder.write_header(), encoder.write_batch(table), encoder.finish()))


class Progress(msgspec.Struct, frozen=True):
    """What a batch means for each of its sessions: parallel lists, one place a session."""

    sessions: list[int]
    through: list[int]
    events: list[int]
    violations: list[int]
    first_us: list[int]
    last_us: list[int]
    heartbeat_us: list[int | None]
    offset_us: list[int | None]
    first_heartbeat_us: list[int | None]
    last_other_seqs: list[int | None]  # of the latest event that is no heartbeat, as what follows
    last_other_types: list[int | None]
    last_other_names: list[str | None]
    last_other_us: list[int | None]


def progress_of(rows: Rows, refused: list[int]) -> Progress:
    """Sum the batch up by session; `refused` rows count for the sequence only."""
    table, starts = rows.table, rows.starts
    ends = np.append(starts[1:], table.num_rows) - 1
    session = table.column("session_id").to_numpy()
    seq = table.column("seq").to_numpy()
    at_us = table.column("occurred_at").cast(pa.int64()).to_numpy()
    kept = np.ones(table.num_rows, dtype=np.int64)
    kept[refused] = 0
    violation = table.column("is_violation").to_numpy(zero_copy_only=False).astype(np.int64) * kept
    beat_us = np.where(rows.beats, at_us, NO_TIME)
    beats = np.maximum.reduceat(beat_us, starts)
    firsts = np.minimum.reduceat(np.where(beat_us == NO_TIME, LATEST, beat_us), starts)
    offsets = {session: offset for session, _, offset, _ in rows.clocks}  # the latest stands last
    types, names = table.column("event_type").to_numpy(), table.column("event_name")
    others = np.where((types != EventType.Heartbeat) & (kept == 1), np.arange(table.num_rows), -1)
    last = np.maximum.reduceat(others, starts)
    none = last < 0
    return Progress(
        sessions=session[starts].tolist(),
        through=seq[ends].tolist(),
        events=np.add.reduceat(kept, starts).tolist(),
        violations=np.add.reduceat(violation, starts).tolist(),
        first_us=at_us[starts].tolist(),
        last_us=at_us[ends].tolist(),
        heartbeat_us=[None if beat == NO_TIME else beat for beat in beats.tolist()],
        offset_us=[offsets.get(one) for one in session[starts].tolist()],
        first_heartbeat_us=[None if beat == LATEST else beat for beat in firsts.tolist()],
        last_other_seqs=_or_none(seq[last], none),
        last_other_types=_or_none(types[last], none),
        last_other_names=[
            names[row].as_py() if row >= 0 and types[row] == EventType.Other else None
            for row in last.tolist()
        ],
        last_other_us=_or_none(at_us[last], none),
    )


def _or_none(values: Ints, none: Flags) -> list[int | None]:
    return [None if absent else value for value, absent in zip(values.tolist(), none.tolist(), strict=True)]


class Marks(msgspec.Struct, frozen=True):
    """What a batch says of gaps, one place a mark: see the table `gap_marks`."""

    sessions: list[int]
    kinds: list[str]
    from_us: list[int]
    through_us: list[int]
    from_seqs: list[int | None]
    through_seqs: list[int | None]


def marks_of(rows: Rows, gap_us: int) -> Marks:
    """Return gaps between two heartbeats of one batch, and which of its rows fill a gap."""
    session = rows.table.column("session_id").to_numpy()
    seq = rows.table.column("seq").to_numpy()
    at_us = rows.table.column("occurred_at").cast(pa.int64()).to_numpy()
    beats = np.flatnonzero(rows.beats)
    earlier, later = beats[:-1], beats[1:]
    apart = (session[earlier] == session[later]) & (at_us[later] - at_us[earlier] > gap_us)
    earlier, later = earlier[apart], later[apart]
    told = rows.table.column("client_at").is_valid().to_numpy(zero_copy_only=False)
    filled = np.flatnonzero(rows.backfilled & told & ~rows.of_service)
    # What a service sent between two fills parts them.
    run = np.cumsum(rows.of_service)[filled]
    places = np.flatnonzero(np.diff(session[filled], prepend=-1) | np.diff(run, prepend=-1))
    ends = np.append(places[1:], len(filled)) - 1
    times = rows.table.column("effective_at").cast(pa.int64()).fill_null(0).to_numpy()[filled]
    none: list[int | None] = [None] * len(earlier)
    return Marks(
        sessions=[*session[earlier].tolist(), *session[filled][places].tolist()],
        kinds=["returned"] * len(earlier) + ["filled"] * len(places),
        from_us=at_us[earlier].tolist()
        + (np.minimum.reduceat(times, places).tolist() if len(places) else []),
        through_us=at_us[later].tolist()
        + (np.maximum.reduceat(times, places).tolist() if len(places) else []),
        from_seqs=none + seq[filled][places].tolist(),
        through_seqs=none + seq[filled][ends].tolist() if len(places) else none,
    )


def alerts_of(rows: Rows, refused: list[int]) -> list[int]:
    """Return the events that somebody should see at once, by their ids: of a session and type the first."""
    table = rows.table
    severities, types = table.column("severity").to_numpy(), table.column("event_type").to_numpy()
    grave = (severities >= ALERT_SEVERITY_MIN) & (types != EventType.Heartbeat)
    grave[refused] = False
    found = np.flatnonzero(grave)
    session = table.column("session_id").to_numpy()[found].tolist()
    seq = table.column("seq").to_numpy()[found].tolist()
    first: dict[tuple[int, int], int] = {}
    for one, number, kind in zip(session, seq, types[found].tolist(), strict=True):
        first.setdefault((one, kind), event_id(one, number))
    return list(first.values())


def event_json(row: dict[str, Any]) -> bytes:
    """Return a row as the JSON bytes that the dead-letter table keeps."""
    return msgspec.json.encode(
        {
            "client": None if row["client"] is None else str(row["client"]),
            "clientSequence": row["client_seq"],
            "eventType": row["event_type"],
            "eventName": row["event_name"],
            "severity": row["severity"],
            "clientTimestamp": row["client_at"],
            "metadataJson": row["payload"],
        }
    )
