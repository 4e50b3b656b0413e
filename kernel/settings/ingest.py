"""
Settings of the event path: limits of ingest, the stream, back-pressure, the writer.
"""

from typing import Annotated

from kernel.settings.about import about
from kernel.settings.evidence import Evidence


class Ingest(Evidence, frozen=True, kw_only=True):
    """Limits of ingest, the stream, back-pressure, the writer."""

    # -- limits of ingest (spec.md I-4)
    body_bytes_max: Annotated[int, about("Request body on the wire.", ge=1024)] = 1 << 20
    decoded_bytes_max: Annotated[int, about("Request body after decompression.", ge=1024)] = 4 << 20
    public_body_bytes_max: Annotated[
        int, about("Request body, plain, of whoever has not said yet who they are.", ge=1024)
    ] = 16 << 10
    body_members_max: Annotated[
        int, about("Members of one compressed body: files that were compressed one by one.", ge=1, le=1000)
    ] = 64
    beacon_bytes_max: Annotated[
        int,
        about("A batch whose token stands in its body, plain; browsers send no more of them.", ge=1024),
    ] = 64 << 10
    unknown_beacons_per_s: Annotated[
        float,
        about("Such batches of one address of which nobody gets known who sends them, a second.", gt=0),
    ] = 20.0
    unknown_beacons_burst: Annotated[
        int, about("The same, and those that are being read, at once in each process.", ge=1)
    ] = 1000
    batch_events_max: Annotated[int, about("Events in one request.", ge=1, le=10_000)] = 500
    event_bytes_max: Annotated[int, about("One event, as JSON.", ge=256)] = 64 << 10
    metadata_bytes_max: Annotated[int, about("One event's metadata.", ge=64)] = 16 << 10
    metadata_depth_max: Annotated[int, about("Nesting of one event's metadata.", ge=1, le=100)] = 32
    ignored_members_max: Annotated[
        int, about("Members that nobody knows, named in one reply at most.", ge=1, le=1000)
    ] = 32
    unknown_members_max: Annotated[
        int, about("Members that nobody knows, in one request; with more it is refused.", ge=1)
    ] = 20_000
    ignored_name_characters_max: Annotated[
        int, about("Characters of such a member's name that are told.", ge=8, le=1000)
    ] = 64
    session_events_per_s: Annotated[int, about("Sustained events a second of one session.", ge=1)] = 50
    session_burst_events: Annotated[int, about("Events that one session may send at once.", ge=1)] = 500
    sender_bytes_per_s: Annotated[int, about("Decoded bytes a second of one candidate.", ge=1)] = 1 << 20
    sender_burst_bytes: Annotated[int, about("Decoded bytes of one candidate at once.", ge=1)] = 16 << 20
    sender_request_bytes_min: Annotated[
        int, about("Bytes that a candidate's request counts for at least: it costs time, too.", ge=1)
    ] = 16 << 10
    unknown_attempts_per_s: Annotated[
        float, about("Attempts and sessions that are not there, asked for by one account, a second.", gt=0)
    ] = 10.0
    unknown_attempts_burst: Annotated[
        int, about("Attempts and sessions that are not there, asked for by one account at once.", ge=1)
    ] = 500
    read_deadline_s: Annotated[float, about("Seconds within which a body must have arrived.", gt=0)] = 10.0
    client_ranges_max: Annotated[int, about("Ranges of clientSequence kept per client instance.", ge=2)] = 64
    client_instances_max: Annotated[int, about("Client instances of one session.", ge=1, le=1000)] = 256
    idempotency_window_s: Annotated[int, about("How long an Idempotency-Key is remembered.", ge=60)] = 3600
    idempotency_keys_max: Annotated[
        int, about("Idempotency-Keys of one session remembered at least, the newest ones.", ge=1, le=10_000)
    ] = 128
    late_window_s: Annotated[
        int, about("How long buffered events are taken after a session's end.", ge=0, le=43_200)
    ] = 1800
    backfill_after_ms: Annotated[
        int, about("Events older than this on arrival (corrected client time) count as back-filled.", ge=100)
    ] = 5000

    # -- the stream (design.md, "Ingest")
    shards: Annotated[int, about("Stream shards. Fixed for the life of an installation.", ge=1, le=256)] = 4
    redis_connections: Annotated[int, about("Pipelined connections of one ingest process.", ge=1, le=64)] = 8
    append_deadline_s: Annotated[float, about("Seconds to wait for a durable append.", gt=0)] = 5.0
    inflight_appends_max: Annotated[
        int, about("Appends of one ingest process on their way to Redis.", ge=1)
    ] = 2048

    # -- back-pressure (spec.md I-5): load is 10 x the largest share of these
    backlog_entries_max: Annotated[int, about("Unwritten stream entries of one shard.", ge=100)] = 200_000
    unwritten_age_s_max: Annotated[int, about("Age of the oldest unwritten entry.", ge=1)] = 120
    redis_memory_share_max: Annotated[float, about("Share of Redis's maxmemory in use.", gt=0, lt=1)] = 0.85

    # -- writer
    writer_batch_rows: Annotated[
        int, about("Rows of one COPY at most (one request over is possible).", ge=1)
    ] = 20_000
    writer_batch_bytes: Annotated[int, about("Payload bytes of one COPY at most.", ge=1 << 16)] = 16 << 20
    writer_batch_ms: Annotated[int, about("How long a batch may wait to fill.", ge=0, le=5000)] = 200
    writer_parallel: Annotated[int, about("Shards of one writer that COPY at the same time.", ge=1)] = 2
    writer_lock_s: Annotated[float, about("Seconds between attempts to become a shard's owner.", gt=0)] = 1.0
    writer_silence_s: Annotated[
        int, about("A writer that PostgreSQL has not heard of for so long loses its shards.", ge=1)
    ] = 15
    dead_letters_in_a_row_max: Annotated[
        int, about("Refused rows without a good one, explained by no payload, that stop a shard.", ge=1)
    ] = 100
    flood_pause_s: Annotated[float, about("Seconds until a stopped shard is tried again.", gt=0)] = 30.0
    quarantine_letters_max: Annotated[
        int,
        about("Rows refused for their payload within `quarantine_s` that set a session aside.", ge=1),
    ] = 10
    quarantine_s: Annotated[
        int, about("How long a session's events go to the dead letters untried.", ge=1, le=86_400)
    ] = 600
    heartbeat_sweep_s: Annotated[float, about("Seconds between sweeps for missed heartbeats.", gt=0)] = 5.0
    backfill_grace_s: Annotated[
        float,
        about("How long a client that is back may send what it buffered before its gap is judged.", ge=0),
    ] = 10.0
    gap_covered_share_min: Annotated[
        float,
        about(
            "Share of a gap's heartbeat intervals with back-fill in them that makes it a gap of the network, "
            "not an unexplained one.",
            gt=0,
            le=1,
        ),
    ] = 0.5
