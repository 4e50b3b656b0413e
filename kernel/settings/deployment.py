"""
Settings of every process: where things are, how it listens, logs and stops.
"""

from typing import Annotated

from msgspec import Struct

from kernel.settings.about import about


class Deployment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where things are, and how a process listens, logs and stops."""

    # -- where things are
    database_url: Annotated[str, about("PostgreSQL with TimescaleDB, as a libpq URL.", min_length=1)] = ""
    ingest_database_url: Annotated[
        str,
        about("Ingest's own login where it shares a process with the core API; `database_url` when empty."),
    ] = ""
    owner_database_url: Annotated[
        str, about("The owner's URL, for migrations; `database_url` when empty.")
    ] = ""
    ingest_redis_url: Annotated[
        str,
        about("Ingest's own login where it shares a process with the core API; `redis_url` when empty."),
    ] = ""
    redis_url: Annotated[str, about("Redis >= 7 with appendfsync always and noeviction.")] = ""
    warehouse: Annotated[str, about("Root of the Parquet warehouse: a folder or an s3:// URL.")] = (
        ".veritas/warehouse"
    )
    state: Annotated[str, about("Folder of the local stack: servers' data, logs, local.json.")] = ".veritas"

    # -- processes
    http_host: Annotated[
        str,
        about(
            "Addresses that HTTP listens on, by comma: `127.0.0.1,::1` is this machine alone, `0.0.0.0,::` "
            "is every one; `::` means IPv6 alone.",
            pattern=r"^[^,\s]+(, ?[^,\s]+)*$(?!\n)",
        ),
    ] = "127.0.0.1"
    http_port: Annotated[int, about("Port of the process's HTTP server.", ge=0, le=65535)] = 8080
    trusted_proxies: Annotated[
        str,
        about(
            "Networks of our own proxies, as `10.0.0.0/8,2001:db8::/32`: X-Forwarded-For is believed from "
            "them alone. None when empty."
        ),
    ] = ""
    allowed_origins: Annotated[
        str,
        about(
            "Origins of pages that may call for every organisation, as `https://exams.example.org,:8080`; a "
            "port alone is the same host at that port. Each organisation may allow more."
        ),
    ] = ""
    organisation_origins_max: Annotated[
        int, about("Origins that one organisation may allow.", ge=1, le=1000)
    ] = 50
    preflight_max_age_s: Annotated[
        int,
        about("How long a browser may remember that a page may call, seconds.", ge=0, le=86_400),
    ] = 600
    ingest_url: Annotated[
        str,
        about(
            "Where browsers reach ingest, for pages to post events to: `https://events.example.org`, or "
            "`:8081`, a port of the host by which they reach the core API. Its own address when empty.",
            pattern=r"^((https?://[^/?#\s]+)?(:[0-9]{1,5})?)?$(?!\n)",
        ),
    ] = ""
    http_connections_max: Annotated[
        int,
        about("Connections that one process serves at a time; each is an open file of its limit.", ge=16),
    ] = 16_384
    compress_bytes_min: Annotated[
        int, about("Replies from so many bytes on are compressed for clients that take that.", ge=0)
    ] = 1024
    metrics_port: Annotated[
        int,
        about(
            "Port of /metrics, /livez, /readyz of processes without an HTTP API; 0 is none.", ge=0, le=65535
        ),
    ] = 0
    ingest_processes: Annotated[int, about("Ingest processes that share one port.", ge=1, le=64)] = 1
    pool_connections_max: Annotated[int, about("PostgreSQL connections of one process.", ge=1, le=100)] = 8
    log_level: Annotated[
        str, about("debug, info, warning or error.", pattern=r"^(debug|info|warning|error)$(?!\n)")
    ] = "info"
    shutdown_s: Annotated[int, about("Seconds a process may take to drain after SIGTERM.", ge=1, le=300)] = 20
