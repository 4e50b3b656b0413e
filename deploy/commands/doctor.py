"""
`veritas doctor`: what Veritas needs and finds on this machine and the servers, and how to mend the rest.
"""

import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec
import psycopg
from rich.console import Console
from rich.text import Text

from deploy.commands.doctor_pipeline import pipeline_findings
from deploy.commands.doctor_redis import redis_findings
from deploy.commands.findings import CONNECT_S, Finding, live, metrics_of, open_files, promises, readiness
from deploy.local.programs import POSTGRES_MAJOR_MIN, REDIS_MAJOR_MIN, find_postgres, find_redis
from deploy.local.server import ServerError, is_free, place_for
from deploy.local.stack import INGEST_PORT, Local, running
from kernel.http.networks import hosts_of, http_url
from kernel.settings import Settings
from sql import named
from sql.migrate import MigrationError, pending
from sql.running import Connection, connect, one, run

DEPLOY: Final = named("deploy")
PYTHON_MIN: Final = (3, 11)
DISK_BYTES_MIN: Final = 5 << 30
FDATASYNC_MS_MAX: Final = 10.0
FDATASYNC_WRITES: Final = 50
OUTAGES_WITHIN_H: Final = 24
SHOWN_MAX: Final = 100  # of a kind; that there are more is said
LOCK_FILE: Final = Path(__file__).parents[2] / "requirements.lock"
_PROBLEM: Final = ("problem", "red")
_NOTE: Final = ("note", "yellow")
FORWARDED: Final = "veritas_forwarded_unbelieved_total"  # requests whose X-Forwarded-For is not believed
POSTGRES_PROMISES: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


def examine(settings: Settings) -> list[Finding]:
    """Look at everything and return the findings in the order of set-up; nothing is changed."""
    local = running(Path(settings.state))
    return [
        *_python(),
        *_programs(settings),
        *_stack(settings, local),
        *_proxies(settings, local),
        *live(settings, local),
        *open_files(settings, local),
        *_database(
            settings,
            settings.owner_database_url or settings.database_url or (local.database_url if local else ""),
        ),
        *redis_findings(settings.redis_url or (local.redis_url if local else "")),
        *_disk(settings),
    ]


def print_findings(findings: list[Finding], console: Console, *, as_json: bool) -> None:
    """
    Print the findings, one below the other, or as a JSON list; however narrow the screen, whole.

    A finding is one line wherever it goes, and how to mend it another: a terminal breaks what is too long for
    it, a pipe gets it as it is.
    """
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(findings)).decode())
        return
    width = max((len(each.check) for each in findings), default=0)
    for each in findings:
        verdict, style = ("ok", "green") if each.ok else _PROBLEM if each.required else _NOTE
        line = Text.assemble((f"{verdict:<8}", style), f"{each.check:<{width}}  {each.found}")
        console.print(line, soft_wrap=True)
        if not each.ok and each.mend:
            console.print(Text(f"{'':8}{'':{width}}  mend: {each.mend}"), soft_wrap=True)


def _python() -> Iterator[Finding]:
    yield Finding(
        check="Python",
        ok=sys.version_info >= PYTHON_MIN,
        found=platform.python_version(),
        mend=f"install Python {PYTHON_MIN[0]}.{PYTHON_MIN[1]} or newer",
    )
    wrong = list(_wrong_packages()) if LOCK_FILE.exists() else []
    yield Finding(
        check="Python packages",
        ok=not wrong,
        found="as in requirements.lock" if not wrong else ", ".join(wrong),
        mend="make setup",
    )


def _wrong_packages() -> Iterator[str]:
    """Name what is not installed as the lock has it; lines with a marker may not apply here."""
    allowed: dict[str, set[str]] = {}
    everywhere = set()
    for name, version, marker in re.findall(r"^([\w.-]+)==(\S+)( ;)?", LOCK_FILE.read_text(), re.MULTILINE):
        allowed.setdefault(name, set()).add(version)
        if not marker:
            everywhere.add(name)
    for name, versions in allowed.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name in everywhere:
                yield f"{name} is missing"
            continue
        if installed not in versions:
            yield f"{name} is {installed}"


def _programs(settings: Settings) -> Iterator[Finding]:
    postgres, store = find_postgres(), find_redis()
    yield Finding(
        check="PostgreSQL here",
        ok=postgres is not None,
        found=f"{postgres.major} in {postgres.bin_folder}" if postgres else f"none >= {POSTGRES_MAJOR_MIN}",
        mend="make setup, or name a server in VERITAS_DATABASE_URL",
        required=not settings.database_url,
    )
    extension = postgres.timescaledb if postgres else None
    yield Finding(
        check="TimescaleDB here",
        ok=extension is not None,
        found=extension or "none for this PostgreSQL",
        mend="make setup, or name a server in VERITAS_DATABASE_URL",
        required=not settings.database_url,
    )
    yield Finding(
        check="Redis here",
        ok=store is not None,
        found=".".join(map(str, store.version)) if store else f"none >= {REDIS_MAJOR_MIN}",
        mend="make setup, or name a server in VERITAS_REDIS_URL",
        required=not settings.redis_url,
    )


def _stack(settings: Settings, local: Local | None) -> Iterator[Finding]:
    state = Path(settings.state).resolve()
    if local is None:
        yield Finding(
            check="local stack",
            ok=False,
            found="does not run",
            mend="veritas up, or make run",
            required=False,
        )
        for port, option in ((settings.http_port, "--port"), (INGEST_PORT, "--ingest-port")):
            try:
                free = is_free(port, *hosts_of(settings.http_host))
                found, mend = "free" if free else "taken by another program", f"veritas up {option} 0"
            except ServerError as error:
                free, found, mend = False, str(error), "name others in VERITAS_HTTP_HOST"
            yield Finding(check=f"port {port}", ok=free, found=found, mend=mend, required=False)
    else:
        for name, address in local.metrics.items():
            answer = readiness(address.replace("/metrics", "/readyz"))
            yield Finding(
                check=f"tier {name}", ok=answer == "ready", found=answer, mend=f"see {state}/logs/{name}.log"
            )
    if not settings.database_url:
        places = " and ".join(str(place_for(state / name)) for name in ("postgres", "redis"))
        yield Finding(check="local data", ok=True, found=places)


def _proxies(settings: Settings, local: Local | None) -> Iterator[Finding]:
    """
    Tell of a proxy that is not named: the tiers count what it says of its clients and is not believed.
    """
    metrics = list(local.metrics.values()) if local else []
    metrics.append(f"{http_url(settings.http_host, settings.http_port)}/metrics")
    seen = sum(metrics_of(url).get(FORWARDED, 0.0) for url in dict.fromkeys(metrics))
    yield Finding(
        check="proxies",
        ok=bool(settings.trusted_proxies) or not seen,
        found=settings.trusted_proxies or f"none trusted; {seen:.0f} requests came through one",
        mend="name it in VERITAS_TRUSTED_PROXIES: until then all its clients share one address's sign-ins",
        required=False,
    )


def _database(settings: Settings, url: str) -> Iterator[Finding]:
    if not url:
        return
    try:
        with connect(url, connect_timeout=CONNECT_S) as conn:
            version = conn.info.server_version // 10_000
            settled = run(conn, DEPLOY["read_server_settings"], list(POSTGRES_PROMISES)).fetchall()
            found: dict[str, str] = dict(settled)
            extension = run(conn, DEPLOY["read_extension"], "timescaledb").fetchone()
            edition = one(conn, DEPLOY["read_timescaledb_license"])
            waiting = pending(conn)
            path = [] if waiting else list(_event_path(conn))
    except (psycopg.OperationalError, MigrationError) as error:
        yield Finding(
            check="PostgreSQL server", ok=False, found=str(error).strip(), mend="start it, or mend its URL"
        )
        return
    yield Finding(
        check="PostgreSQL server",
        ok=version >= POSTGRES_MAJOR_MIN,
        found=f"{version} answers",
        mend=f"PostgreSQL {POSTGRES_MAJOR_MIN} or newer",
    )
    yield Finding(
        check="TimescaleDB server",
        ok=extension is not None,
        found=f"{extension[1] or extension[0]}, {edition} edition" if extension else "none",
        mend="install TimescaleDB there and add it to shared_preload_libraries",
    )
    yield from promises("PostgreSQL", found, POSTGRES_PROMISES)
    yield from path
    yield Finding(
        check="migrations",
        ok=not waiting,
        found=", ".join(waiting) + " pending" if waiting else "all applied",
        mend="veritas migrate",
    )
    if not waiting:
        yield from pipeline_findings(settings, url)


def _event_path(conn: Connection) -> Iterator[Finding]:
    """Tell of shards that have stopped, of time that nothing was taken in, of sessions set aside."""
    stopped = run(conn, DEPLOY["list_stopped_shards"]).fetchall()
    yield Finding(
        check="shards",
        ok=not stopped,
        found="; ".join(f"shard {shard} stopped at {at:%H:%M:%S}: {why}" for shard, at, why in stopped)
        or "none has stopped",
        mend="the writer's log says what PostgreSQL refuses; what was accepted waits in the stream",
    )
    outages = run(conn, DEPLOY["list_late_outages"], OUTAGES_WITHIN_H, SHOWN_MAX + 1).fetchall()
    yield Finding(
        check="ingest outages",
        ok=not outages,
        found=_listed(
            f"nothing was taken for shard {shard} from {begun:%d %b %H:%M:%S} to {ended:%H:%M:%S}"
            for shard, begun, ended in outages
        )
        or f"none within {OUTAGES_WITHIN_H} hours",
        mend="no candidate is blamed for it; the logs of ingest and Redis of that time say why",
        required=False,
    )
    aside = run(conn, DEPLOY["list_quarantined"], SHOWN_MAX + 1).fetchall()
    yield Finding(
        check="quarantine",
        ok=not aside,
        found=_listed(
            f"session {session} until {until:%H:%M:%S}: {sqlstate} {' '.join(reason.split())}"
            for session, until, sqlstate, reason in aside
        )
        or "no session",
        mend="dead_letters holds their events; a client sends what PostgreSQL refuses",
        required=False,
    )


def _listed(sentences: Iterable[str]) -> str:
    """Return sentences one after another, and that there are more where they are more than are shown."""
    some = list(sentences)
    return "; ".join([*some[:SHOWN_MAX], *(["and more"] if len(some) > SHOWN_MAX else [])])


def _disk(settings: Settings) -> Iterator[Finding]:
    state = Path(settings.state).resolve()
    there = next(folder for folder in (state, *state.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    yield Finding(
        check="disk",
        ok=free >= DISK_BYTES_MIN,
        found=f"{free / 2**30:.1f} GiB free",
        mend=f"free at least {DISK_BYTES_MIN >> 30} GiB on the disk of {there}, or set VERITAS_STATE",
        required=False,
    )
    took_ms = _fdatasync_ms(there)
    yield Finding(
        check="fdatasync",
        ok=took_ms <= FDATASYNC_MS_MAX,
        found=f"{took_ms:.2f} ms (median of {FDATASYNC_WRITES} writes of 4 KiB)",
        mend=f"a disk that syncs within {FDATASYNC_MS_MAX:.0f} ms: every acknowledgement waits for one sync",
        required=False,
    )


def _fdatasync_ms(folder: Path) -> float:
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FDATASYNC_WRITES):
            started = perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
            times.append((perf_counter() - started) * 1000)
    return statistics.median(times)
