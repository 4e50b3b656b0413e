"""
A private PostgreSQL with TimescaleDB: one superuser `veritas`, one database `veritas`, sized for the machine.
"""

import os
import signal
import subprocess
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

import psycopg

from deploy.local.programs import PostgresPrograms, find_postgres
from deploy.local.server import (
    Server,
    ServerError,
    as_service_account,
    give_to_account,
    machine_memory_bytes,
    remembered,
)

OWNER: Final = "veritas"
DATABASE: Final = "veritas"
BUFFERS_SHARE: Final = 1 / 8
BUFFERS_MB: Final = (128, 2048)  # least, most

Postgres = Server


def start_postgres(folder: Path, *, port: int | None = None) -> Postgres:
    """
    Start a private PostgreSQL and return it when it answers; the first start makes cluster and database.

    Args:
        folder: its place; see `deploy.local.server.home_for` for where the data really lies.
        port: of 127.0.0.1; by default the one used last time here, or a free one.

    Returns:
        The server; `.url` is the owner's. `.stop()`, `.kill()`, `.start()` at any time, `.close()` last.

    Raises:
        ServerError: PostgreSQL or TimescaleDB is missing, the folder is in use, or the server does not start.
    """
    programs = find_postgres()
    if programs is None or programs.timescaledb is None:
        raise ServerError("PostgreSQL >= 15 with TimescaleDB is not installed: run `make setup`")
    home, password, port = remembered(folder, port)
    cluster = home / "data"
    server = Server(
        "postgres",
        home,
        port=port,
        url=f"postgresql://{OWNER}:{password}@127.0.0.1:{port}/{DATABASE}",
        command=[str(programs.bin_folder / "postgres"), "-D", str(cluster)],
        stop_signal=signal.SIGINT,  # "fast": roll back what runs, write a checkpoint
        answers=_answers,
    )
    if not (cluster / "PG_VERSION").exists():
        _make_cluster(programs, cluster, home / "password")
    _require_same_major(programs, cluster)
    _configure(programs, cluster, port)
    server.start()
    _make_database(programs, server, password)
    return server


def _make_cluster(programs: PostgresPrograms, cluster: Path, password_file: Path) -> None:
    """Make the cluster beside its final place and rename it there, so that half a cluster is never used."""
    unfinished = cluster.with_suffix(".unfinished")
    _run(["rm", "-rf", str(unfinished)])
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
    login = [f"--username={OWNER}", f"--pwfile={password_file}"]
    _run([str(programs.bin_folder / "initdb"), f"--pgdata={unfinished}", *login, *options])
    unfinished.rename(cluster)


def _require_same_major(programs: PostgresPrograms, cluster: Path) -> None:
    made_by = int((cluster / "PG_VERSION").read_text())
    if made_by != programs.major:
        raise ServerError(
            f"{cluster} was made by PostgreSQL {made_by}, and this is {programs.major}: move it away"
        )


def _configure(programs: PostgresPrograms, cluster: Path, port: int) -> None:
    memory_mb = machine_memory_bytes() >> 20
    least, most = BUFFERS_MB
    text = Template((files("deploy.local") / "postgresql.conf").read_text()).substitute(
        port=port,
        wal_compression="lz4" if _knows_lz4(programs, cluster) else "on",
        shared_buffers_mb=min(max(int(memory_mb * BUFFERS_SHARE), least), most),
        cache_mb=memory_mb // 2,
    )
    conf = cluster / "postgresql.conf"
    conf.write_text(text)
    give_to_account(conf)


def _knows_lz4(programs: PostgresPrograms, cluster: Path) -> bool:
    """True when this build of PostgreSQL has lz4; it would not start with a method unknown to it."""
    ask = [str(programs.bin_folder / "postgres"), "-D", str(cluster)]
    return _call([*ask, "-C", "wal_compression", "-c", "wal_compression=lz4"]).returncode == 0


def _make_database(programs: PostgresPrograms, server: Server, password: str) -> None:
    createdb = str(programs.bin_folder / "createdb")
    command = [createdb, f"--maintenance-db={_maintenance(server.url)}", DATABASE]
    environment = os.environ | {"PGPASSWORD": password, "LC_ALL": "C"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0 and "already exists" not in done.stderr:
        raise ServerError(f"createdb: {done.stderr.strip()}")


def _maintenance(url: str) -> str:
    """Return the address of the database that is there from the start."""
    return url.removesuffix(DATABASE) + "postgres"


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(_maintenance(url), connect_timeout=5):
            return True
    except psycopg.OperationalError:
        return False


def _run(command: list[str]) -> None:
    done = _call(command)
    if done.returncode != 0:
        raise ServerError(f"{Path(command[0]).name}: {done.stderr.strip() or done.stdout.strip()}")


def _call(command: list[str]) -> subprocess.CompletedProcess[str]:
    words = [*as_service_account(), *command]
    return subprocess.run(words, check=False, capture_output=True, text=True, cwd="/")
