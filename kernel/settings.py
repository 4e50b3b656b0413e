"""
Settings: one frozen struct, built once from the environment at start-up and passed down.

Every name is `VERITAS_` plus the field in capitals; an unknown `VERITAS_*` name stops the process, so that a
typo cannot silently leave a bound at its default. Descriptions are part of the types: `python -m
kernel.settings` prints them all, and a test refuses a field without one.
"""

import os
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

PREFIX = "VERITAS_"


class SettingsError(Exception):
    """The environment does not make valid settings; the message names the variable."""


def _about(text: str, **bounds: Any) -> Meta:  # noqa: ANN401  msgspec checks them
    return Meta(description=text, **bounds)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set, with its unit last in the name."""

    # -- where things are
    database_url: Annotated[str, _about("PostgreSQL with TimescaleDB, as a libpq URL.", min_length=1)] = ""
    ingest_database_url: Annotated[
        str,
        _about("Ingest's own login where it shares a process with the core API; `database_url` when empty."),
    ] = ""
    owner_database_url: Annotated[
        str, _about("The owner's URL, for migrations; `database_url` when empty.")
    ] = ""
    ingest_redis_url: Annotated[
        str,
        _about("Ingest's own login where it shares a process with the core API; `redis_url` when empty."),
    ] = ""
    redis_url: Annotated[str, _about("Redis >= 7 with appendfsync always and noeviction.")] = ""
    warehouse: Annotated[str, _about("Root of the Parquet warehouse: a folder or an s3:// URL.")] = (
        ".veritas/warehouse"
    )
    state: Annotated[str, _about("Folder of the local stack: servers' data, logs, local.json.")] = ".veritas"

    # -- processes
    http_host: Annotated[
        str,
        _about(
            "Addresses that HTTP listens on, by comma: `127.0.0.1,::1` is this machine alone, `0.0.0.0,::` "
            "is every one; `::` means IPv6 alone.",
            pattern=r"^[^,\s]+(, ?[^,\s]+)*$(?!\n)",
        ),
    ] = "127.0.0.1"
    http_port: Annotated[int, _about("Port of the process's HTTP server.", ge=0, le=65535)] = 8080
    trusted_proxies: Annotated[
        str,
        _about(
            "Networks of our own proxies, as `10.0.0.0/8,2001:db8::/32`: X-Forwarded-For is believed from "
            "them alone. None when empty."
        ),
    ] = ""
    allowed_origins: Annotated[
        str,
        _about(
            "Origins of pages that may call for every organisation, as `https://exams.example.org,:8080`; a "
            "port alone is the same host at that port. Each organisation may allow more."
        ),
    ] = ""
    organisation_origins_max: Annotated[
        int, _about("Origins that one organisation may allow.", ge=1, le=1000)
    ] = 50
    risk_rules_max: Annotated[int, _about("Risk rules that one organisation may have.", ge=7, le=1000)] = 100
    preflight_max_age_s: Annotated[
        int,
        _about("How long a browser may remember that a page may call, seconds.", ge=0, le=86_400),
    ] = 600
    ingest_url: Annotated[
        str,
        _about(
            "Where browsers reach ingest, for pages to post events to: `https://events.example.org`, or "
            "`:8081`, a port of the host by which they reach the core API. Its own address when empty.",
            pattern=r"^((https?://[^/?#\s]+)?(:[0-9]{1,5})?)?$(?!\n)",
        ),
    ] = ""
    http_connections_max: Annotated[
        int,
        _about("Connections that one process serves at a time; each is an open file of its limit.", ge=16),
    ] = 16_384
    compress_bytes_min: Annotated[
        int, _about("Replies from so many bytes on are compressed for clients that take that.", ge=0)
    ] = 1024
    metrics_port: Annotated[
        int,
        _about(
            "Port of /metrics, /livez, /readyz of processes without an HTTP API; 0 is none.", ge=0, le=65535
        ),
    ] = 0
    ingest_processes: Annotated[int, _about("Ingest processes that share one port.", ge=1, le=64)] = 1
    pool_connections_max: Annotated[int, _about("PostgreSQL connections of one process.", ge=1, le=100)] = 8
    log_level: Annotated[
        str, _about("debug, info, warning or error.", pattern=r"^(debug|info|warning|error)$(?!\n)")
    ] = "info"
    shutdown_s: Annotated[int, _about("Seconds a process may take to drain after SIGTERM.", ge=1, le=300)] = (
        20
    )

    # -- tokens
    jwt_keys: Annotated[
        str,
        _about(
            "HMAC keys as `kid:base64[,kid:base64]`; the first signs, all verify. At least 32 bytes each. "
            "For the core API and ingest alone: the writer and the pipeline neither make nor read tokens."
        ),
    ] = ""
    launch_keys: Annotated[
        str,
        _about(
            "HMAC keys of launch links, in the same form; `jwt_keys` when empty. The core API's alone: with "
            "keys of their own, whoever has ingest's cannot make links."
        ),
    ] = ""
    access_token_s: Annotated[int, _about("Life of an access token, seconds.", ge=60)] = 86_400
    refresh_token_s: Annotated[int, _about("Life of a refresh token, seconds.", ge=60)] = 604_800
    logins_max: Annotated[int, _about("Sign-ins of one user; the oldest makes room.", ge=1)] = 100
    refreshes_max: Annotated[int, _about("Refreshes kept of one sign-in at most.", ge=1)] = 1000
    refresh_grace_s: Annotated[
        float,
        _about(
            "How long a token spent a moment ago is taken for a race, not for theft, seconds.", ge=0, le=60
        ),
    ] = 10.0
    beacon_token_s: Annotated[
        int,
        _about("Life of a token by which a page that is left posts its events, seconds.", ge=60, le=1800),
    ] = 1800
    launch_link_s: Annotated[int, _about("Life of an unused launch link, seconds.", ge=60)] = 86_400
    launch_grace_s: Annotated[
        float,
        _about(
            "How long a launch link that was used gives the same sign-in again, to the same address and "
            "browser: its reply may have got lost, seconds.",
            ge=0,
            le=600,
        ),
    ] = 120.0
    launch_uses_max: Annotated[int, _about("Uses of one launch link within its grace.", ge=1, le=100)] = 20
    invitation_s: Annotated[
        int, _about("Life of an unused invitation to set a first password, seconds.", ge=60)
    ] = 1_209_600
    import_lines_max: Annotated[int, _about("Rows of one CSV file that is imported.", ge=1)] = 20_000
    import_field_chars_max: Annotated[
        int, _about("Characters of one field of a CSV file that is imported.", ge=64, le=100_000)
    ] = 2_000
    bcrypt_rounds: Annotated[int, _about("Cost of a password hash.", ge=4, le=16)] = 12
    login_queue_max: Annotated[int, _about("Logins that may wait for a hashing thread.", ge=1)] = 64
    login_pair_places: Annotated[
        int,
        _about("Places that sign-ins at one account from one address may hold in that queue.", ge=1),
    ] = 2
    login_account_share: Annotated[
        float, _about("Share of that queue for sign-ins at one account, from anywhere.", gt=0, le=1)
    ] = 0.125
    login_network_share: Annotated[
        float, _about("Share of that queue for one address that is not exempt.", gt=0, le=1)
    ] = 0.5
    registration: Annotated[
        str,
        _about(
            "Who may register as a student of an organisation that allows it: closed, approval (an admin "
            "unlocks the account first) or open.",
            pattern=r"^(closed|approval|open)$(?!\n)",
        ),
    ] = "closed"

    # -- failed sign-ins (spec.md A-3)
    login_window_s: Annotated[int, _about("Window over which failed sign-ins count, seconds.", ge=1)] = 300
    login_attempts_max: Annotated[
        int, _about("Sign-ins in a window at one account from one address, until one is right.", ge=1)
    ] = 10
    login_accounts_max: Annotated[
        int, _about("Accounts that may fail in a window from one address.", ge=2)
    ] = 20
    registrations_max: Annotated[
        int, _about("Registrations in a window from one address that is not exempt.", ge=1)
    ] = 20
    login_alert_failures: Annotated[
        int, _about("Failures within a minute from one address that raise an alert.", ge=1, le=100)
    ] = 5
    login_exempt_networks: Annotated[
        str,
        _about("Networks behind which many people sit, as `10.0.0.0/8,2001:db8::/32`: no bound by address."),
    ] = ""

    # -- what one signed-in account may ask of one core API process
    account_requests_per_s: Annotated[float, _about("Requests a second of one account, sustained.", gt=0)] = (
        25.0
    )
    account_burst_requests: Annotated[int, _about("Requests of one account at once.", ge=1)] = 500
    account_request_bytes: Annotated[
        int, _about("Decoded bytes of a body that count as one request more of its account.", ge=1024)
    ] = 64 << 10
    service_requests_per_s: Annotated[
        float, _about("Requests a second of one service account, sustained.", gt=0)
    ] = 100.0
    service_burst_requests: Annotated[int, _about("Requests of one service account at once.", ge=1)] = 2000
    account_idempotency_keys_max: Annotated[
        int, _about("Idempotency-Keys of one account that the core API remembers at once.", ge=1)
    ] = 1000

    # -- watching an exam live (spec.md U-1)
    stream_ticket_s: Annotated[
        int, _about("Life of an unused ticket that opens a stream or a socket, seconds.", ge=5, le=600)
    ] = 60
    live_turn_ms: Annotated[
        int, _about("How long changes of watched exams are gathered before they are told.", ge=20, le=5000)
    ] = 250
    live_ping_s: Annotated[
        float, _about("Seconds without a change after which a watcher gets a ping.", gt=0, le=60)
    ] = 15.0
    live_resume_s: Annotated[
        int,
        _about("How long ago a watcher may have been cut off and still go on from there.", ge=10, le=3600),
    ] = 300
    live_waiting_max: Annotated[
        int, _about("Messages that may wait for one watcher; with more the watch ends.", ge=2, le=10_000)
    ] = 64
    live_sessions_max: Annotated[
        int, _about("Running sessions of one exam that a watcher is shown at first, the newest.", ge=1)
    ] = 10_000
    live_alerts_max: Annotated[int, _about("Alerts of one exam in one message.", ge=1, le=1000)] = 100
    live_watches_max: Annotated[int, _about("Watches of one process at once.", ge=1)] = 2000
    live_account_watches_max: Annotated[int, _about("Watches of one account and process at once.", ge=1)] = 20

    client_sockets_max: Annotated[
        int, _about("Sockets of candidates' clients that one process keeps open.", ge=1)
    ] = 20_000

    expiry_sweep_s: Annotated[
        float, _about("Seconds between sweeps for attempts past their end.", gt=0, le=3600)
    ] = 5.0

    # -- what staff do while an exam runs (spec.md P-4)
    pause_minutes_max: Annotated[
        int,
        _about(
            "How long one attempt may be paused, all its pauses together; then its clock runs again.",
            ge=1,
            le=10_080,
        ),
    ] = 60
    pauses_end_with_window: Annotated[
        bool,
        _about("Whether the exam's window, with extra time, ends an attempt that was paused, too."),
    ] = False
    pause_grace_s: Annotated[
        float,
        _about("How long after a pause began what was typed before is still saved.", ge=0, le=600),
    ] = 30.0
    room_acts_max: Annotated[
        int, _about("Sessions that are paused, resumed and so on by one request.", ge=1, le=10_000)
    ] = 500
    room_announcements_max: Annotated[
        int, _about("Sessions that one announcement reaches.", ge=1, le=100_000)
    ] = 10_000

    # -- limits of ingest (spec.md I-4)
    body_bytes_max: Annotated[int, _about("Request body on the wire.", ge=1024)] = 1 << 20
    decoded_bytes_max: Annotated[int, _about("Request body after decompression.", ge=1024)] = 4 << 20
    public_body_bytes_max: Annotated[
        int, _about("Request body, plain, of whoever has not said yet who they are.", ge=1024)
    ] = 16 << 10
    body_members_max: Annotated[
        int, _about("Members of one compressed body: files that were compressed one by one.", ge=1, le=1000)
    ] = 64
    beacon_bytes_max: Annotated[
        int,
        _about("A batch whose token stands in its body, plain; browsers send no more of them.", ge=1024),
    ] = 64 << 10
    unknown_beacons_per_s: Annotated[
        float,
        _about("Such batches of one address of which nobody gets known who sends them, a second.", gt=0),
    ] = 20.0
    unknown_beacons_burst: Annotated[
        int, _about("The same, and those that are being read, at once in each process.", ge=1)
    ] = 1000
    batch_events_max: Annotated[int, _about("Events in one request.", ge=1, le=10_000)] = 500
    event_bytes_max: Annotated[int, _about("One event, as JSON.", ge=256)] = 64 << 10
    metadata_bytes_max: Annotated[int, _about("One event's metadata.", ge=64)] = 16 << 10
    metadata_depth_max: Annotated[int, _about("Nesting of one event's metadata.", ge=1, le=100)] = 32
    ignored_members_max: Annotated[
        int, _about("Members that nobody knows, named in one reply at most.", ge=1, le=1000)
    ] = 32
    unknown_members_max: Annotated[
        int, _about("Members that nobody knows, in one request; with more it is refused.", ge=1)
    ] = 20_000
    ignored_name_characters_max: Annotated[
        int, _about("Characters of such a member's name that are told.", ge=8, le=1000)
    ] = 64
    session_events_per_s: Annotated[int, _about("Sustained events a second of one session.", ge=1)] = 50
    session_burst_events: Annotated[int, _about("Events that one session may send at once.", ge=1)] = 500
    sender_bytes_per_s: Annotated[int, _about("Decoded bytes a second of one candidate.", ge=1)] = 1 << 20
    sender_burst_bytes: Annotated[int, _about("Decoded bytes of one candidate at once.", ge=1)] = 16 << 20
    sender_request_bytes_min: Annotated[
        int, _about("Bytes that a candidate's request counts for at least: it costs time, too.", ge=1)
    ] = 16 << 10
    unknown_attempts_per_s: Annotated[
        float, _about("Attempts and sessions that are not there, asked for by one account, a second.", gt=0)
    ] = 10.0
    unknown_attempts_burst: Annotated[
        int, _about("Attempts and sessions that are not there, asked for by one account at once.", ge=1)
    ] = 500
    read_deadline_s: Annotated[float, _about("Seconds within which a body must have arrived.", gt=0)] = 10.0
    client_ranges_max: Annotated[int, _about("Ranges of clientSequence kept per client instance.", ge=2)] = 64
    client_instances_max: Annotated[int, _about("Client instances of one session.", ge=1, le=1000)] = 256
    idempotency_window_s: Annotated[int, _about("How long an Idempotency-Key is remembered.", ge=60)] = 3600
    idempotency_keys_max: Annotated[
        int, _about("Idempotency-Keys of one session remembered at least, the newest ones.", ge=1, le=10_000)
    ] = 128
    late_window_s: Annotated[
        int, _about("How long buffered events are taken after a session's end.", ge=0, le=43_200)
    ] = 1800
    backfill_after_ms: Annotated[
        int, _about("Events older than this on arrival (corrected client time) count as back-filled.", ge=100)
    ] = 5000

    # -- the stream (design.md, "Ingest")
    shards: Annotated[int, _about("Stream shards. Fixed for the life of an installation.", ge=1, le=256)] = 4
    redis_connections: Annotated[int, _about("Pipelined connections of one ingest process.", ge=1, le=64)] = 8
    append_deadline_s: Annotated[float, _about("Seconds to wait for a durable append.", gt=0)] = 5.0
    inflight_appends_max: Annotated[
        int, _about("Appends of one ingest process on their way to Redis.", ge=1)
    ] = 2048

    # -- back-pressure (spec.md I-5): load is 10 x the largest share of these
    backlog_entries_max: Annotated[int, _about("Unwritten stream entries of one shard.", ge=100)] = 200_000
    unwritten_age_s_max: Annotated[int, _about("Age of the oldest unwritten entry.", ge=1)] = 120
    redis_memory_share_max: Annotated[float, _about("Share of Redis's maxmemory in use.", gt=0, lt=1)] = 0.85

    # -- writer
    writer_batch_rows: Annotated[
        int, _about("Rows of one COPY at most (one request over is possible).", ge=1)
    ] = 20_000
    writer_batch_bytes: Annotated[int, _about("Payload bytes of one COPY at most.", ge=1 << 16)] = 16 << 20
    writer_batch_ms: Annotated[int, _about("How long a batch may wait to fill.", ge=0, le=5000)] = 50
    writer_parallel: Annotated[int, _about("Shards of one writer that COPY at the same time.", ge=1)] = 2
    writer_lock_s: Annotated[float, _about("Seconds between attempts to become a shard's owner.", gt=0)] = 1.0
    writer_silence_s: Annotated[
        int, _about("A writer that PostgreSQL has not heard of for so long loses its shards.", ge=1)
    ] = 15
    dead_letters_in_a_row_max: Annotated[
        int, _about("Refused rows without a good one, explained by no payload, that stop a shard.", ge=1)
    ] = 100
    flood_pause_s: Annotated[float, _about("Seconds until a stopped shard is tried again.", gt=0)] = 30.0
    quarantine_letters_max: Annotated[
        int,
        _about("Rows refused for their payload within `quarantine_s` that set a session aside.", ge=1),
    ] = 10
    quarantine_s: Annotated[
        int, _about("How long a session's events go to the dead letters untried.", ge=1, le=86_400)
    ] = 600
    heartbeat_sweep_s: Annotated[float, _about("Seconds between sweeps for missed heartbeats.", gt=0)] = 5.0
    backfill_grace_s: Annotated[
        float,
        _about("How long a client that is back may send what it buffered before its gap is judged.", ge=0),
    ] = 10.0
    gap_covered_share_min: Annotated[
        float,
        _about(
            "Share of a gap's heartbeat intervals with back-fill in them that makes it a gap of the network, "
            "not an unexplained one.",
            gt=0,
            le=1,
        ),
    ] = 0.5

    # -- evidence (spec.md V-1, V-2)
    evidence_store: Annotated[
        str, _about("Where evidence is kept: a folder that all processes share, or s3://bucket/prefix.")
    ] = ".veritas/evidence"
    evidence_cold_store: Annotated[
        str, _about("Where evidence of the cold tier is kept: a folder or an s3:// URL.")
    ] = ".veritas/evidence-cold"
    s3_endpoint: Annotated[
        str,
        _about(
            "Address of the S3-compatible store, as clients reach it too; that of AWS when empty.",
            pattern=r"^(https?://[^/?#\s]+)?$(?!\n)",
        ),
    ] = ""
    s3_region: Annotated[str, _about("Region of the object store.")] = "us-east-1"
    s3_access_key: Annotated[str, _about("Access key of the object store.")] = ""
    s3_secret_key: Annotated[str, _about("Secret key of the object store.")] = ""
    evidence_url_s: Annotated[
        int, _about("Life of an address to upload or download evidence, seconds.", ge=30, le=86_400)
    ] = 1800
    evidence_video_bytes_max: Annotated[int, _about("One video or screen recording, bytes.", ge=1024)] = (
        2 << 30
    )
    evidence_audio_bytes_max: Annotated[int, _about("One audio recording, bytes.", ge=1024)] = 256 << 20
    evidence_image_bytes_max: Annotated[int, _about("One photograph or screenshot, bytes.", ge=1024)] = (
        16 << 20
    )
    evidence_document_bytes_max: Annotated[int, _about("One document, bytes.", ge=1024)] = 32 << 20
    evidence_chunk_bytes_max: Annotated[int, _about("One chunk of a recording, bytes.", ge=1024)] = 16 << 20
    evidence_chunks_max: Annotated[int, _about("Chunks of one recording.", ge=1, le=100_000)] = 10_000
    evidence_pieces_max: Annotated[
        int, _about("Pieces of evidence of one proctor session, and of one observer at one exam.", ge=1)
    ] = 1000
    evidence_organisation_bytes_max: Annotated[
        int, _about("Evidence of one organisation, bytes; more is refused.", ge=1024)
    ] = 1 << 40
    evidence_uploads_max: Annotated[
        int, _about("Uploads that one core API process takes at a time; more are told to retry.", ge=1)
    ] = 512
    evidence_retention_days: Annotated[
        int, _about("Days that evidence is kept after the attempt, where no policy says more.", ge=1)
    ] = 90
    evidence_sweep_s: Annotated[
        float, _about("Seconds between sweeps that close and tidy up evidence.", gt=0, le=86_400)
    ] = 60.0

    # -- pipeline
    fold_every_ms: Annotated[
        int, _about("Milliseconds between two looks at which sessions were touched.", ge=0)
    ] = 500
    fold_attempts_max: Annotated[
        int, _about("Attempts that a worker folds in one transaction.", ge=1, le=2_000)
    ] = 200
    fold_events_max: Annotated[
        int,
        _about(
            "Events that a worker holds in memory; a session with more new ones takes several turns.",
            ge=1,
            le=1_000_000,
        ),
    ] = 50_000
    fold_gather_rows: Annotated[
        int, _about("Touches of sessions that are gathered in one statement.", ge=1, le=1_000_000)
    ] = 20_000
    outbox_batch_rows: Annotated[
        int, _about("Rows of the outbox handed over in one transaction.", ge=1, le=10_000)
    ] = 1_000
    publish_debounce_s: Annotated[
        float, _about("Least seconds between two builds of one Parquet dataset.", ge=0)
    ] = 5.0
    build_grace_s: Annotated[int, _about("Seconds an old build is kept after it was replaced.", ge=0)] = 600
    warehouse_retry_s_max: Annotated[
        float, _about("Longest wait before a job of the warehouse that fails is tried again, seconds.", ge=1)
    ] = 60.0
    behind_after_s: Annotated[
        float, _about("Lag of the pipeline that readiness and doctor speak of, seconds.", ge=1)
    ] = 30.0
    pipeline_threads: Annotated[int, _about("Worker threads of the pipeline.", ge=1, le=64)] = 2

    # -- ledger (spec.md L-2)
    ledger_origin: Annotated[
        str, _about("Name of the ledger, in every signed head.", pattern=r"^[^\s+]{1,100}$(?!\n)")
    ] = "veritas/ledger"
    ledger_key_files: Annotated[
        str,
        _about("PEM files of Ed25519 keys, private or public, by comma; the first signs heads, all verify."),
    ] = ""
    ledger_witness_file: Annotated[
        str, _about("File on other storage that takes every signed head, append-only; none when empty.")
    ] = ""
    ledger_witness_url: Annotated[
        str,
        _about(
            "Address that takes every signed head by POST; none when empty.",
            pattern=r"^(https?://.*)?$(?!\n)",
        ),
    ] = ""
    ledger_seal_ms: Annotated[int, _about("Milliseconds between two signed heads.", ge=10)] = 1000
    ledger_batch_events: Annotated[
        int, _about("Events given their positions in one transaction.", ge=1, le=100_000)
    ] = 10_000
    ledger_view_window_s: Annotated[
        float,
        _about("Who sees the same thing again within this time is counted, with one event in the end.", gt=0),
    ] = 60.0
    ledger_views_max: Annotated[
        int, _about("Views that may wait to be written to the ledger, of one process.", ge=1)
    ] = 10_000

    # -- reviews (spec.md C-1)
    review_claim_s: Annotated[
        int,
        _about(
            "How long a session is a reviewer's alone after the last thing that they did about it, seconds.",
            ge=10,
            le=86_400,
        ),
    ] = 900

    # -- what candidates see
    show_numbers_to_candidates: Annotated[
        bool, _about("Put risk score and violation count into candidates' replies (spec.md, decision 6).")
    ] = False


def load(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """
    Build the settings from the environment.

    Args:
        environ: defaults to the process's own.
        overrides: fields that win over the environment (tests, command-line options).

    Raises:
        SettingsError: an unknown `VERITAS_*` name, or a value outside its bounds.
    """
    source = os.environ if environ is None else environ
    raw: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value for name, value in source.items() if name.startswith(PREFIX)
    }
    unknown = sorted(set(raw) - set(Settings.__struct_fields__))
    if unknown:
        message = f"unknown setting {', '.join(PREFIX + name.upper() for name in unknown)}"
        raise SettingsError(message)
    try:
        return msgspec.convert(raw | overrides, Settings, strict=False)
    except msgspec.ValidationError as error:
        message = f"{PREFIX}*: {error}"
        raise SettingsError(message) from error


def described() -> list[tuple[str, str, str]]:
    """Return (variable, default, description) of every setting, in the struct's order."""
    hints = get_type_hints(Settings, include_extras=True)
    rows = []
    for name, default in zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True):
        metas = [meta for meta in get_args(hints[name]) if isinstance(meta, Meta)]
        rows.append((PREFIX + name.upper(), str(default), metas[0].description or "" if metas else ""))
    return rows


if __name__ == "__main__":
    for variable, default, text in described():
        print(f"{variable}={default}\n    {text}")  # noqa: T201  the module's one purpose when run
