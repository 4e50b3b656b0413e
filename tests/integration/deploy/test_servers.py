"""The private servers of the local stack: what they keep through a crash, whom they run as, their folders."""

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis

from deploy.local.postgres import start_postgres
from deploy.local.redis import start_redis
from deploy.local.server import ServerError
from tests.kits.processes import kill_and_wait


def owner_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def test_postgres_keeps_what_it_committed_when_it_is_killed(server_folder: Path) -> None:
    with closing(start_postgres(server_folder / "postgres")) as server:
        with psycopg.connect(server.url, autocommit=True) as conn:
            conn.execute("CREATE TABLE kept AS SELECT 7 AS number")
        before = (server.port, server.url)
        server.kill()
        assert not server.is_running()
        server.start()

        assert (server.port, server.url) == before
        with psycopg.connect(server.url) as conn:
            assert conn.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_redis_keeps_what_it_acknowledged_when_it_is_killed(server_folder: Path) -> None:
    with closing(start_redis(server_folder / "redis")) as server, redis.Redis.from_url(server.url) as client:
        client.xadd("stream", {"event": "1"}, id="7-1")
        server.kill()
        server.start()

        assert client.xrange("stream") == [(b"7-1", {b"event": b"1"})]


def test_a_server_starts_again_on_the_same_port_and_password(server_folder: Path) -> None:
    with closing(start_redis(server_folder / "redis")) as first:
        url = first.url
    with closing(start_redis(server_folder / "redis")) as second:
        assert second.url == url


def test_a_folder_serves_one_owner_at_a_time(server_folder: Path) -> None:
    with (
        closing(start_redis(server_folder / "redis")),
        pytest.raises(ServerError, match="in use by another process"),
    ):
        start_redis(server_folder / "redis")


def test_servers_never_run_as_root(server_folder: Path) -> None:
    with (
        closing(start_postgres(server_folder / "postgres")) as postgres,
        closing(start_redis(server_folder / "redis")) as store,
    ):
        assert owner_of(postgres.pid) != 0
        assert owner_of(store.pid) != 0


def test_a_server_ends_with_the_process_that_started_it(server_folder: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from deploy.local.redis import start_redis\n"
        "server = start_redis(Path(sys.argv[1])); print(server.pid, flush=True); time.sleep(60)"
    )

    assert kill_and_wait(program, server_folder / "redis")


def test_a_server_left_behind_is_stopped_and_its_data_used(server_folder: Path) -> None:
    with closing(start_redis(server_folder / "redis")) as server:
        conf, home = server.home / "redis.conf", server.home
    words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    with subprocess.Popen([*words, "redis-server", str(conf)], stdout=subprocess.DEVNULL) as leftover:
        (home / "pid").write_text(str(leftover.pid))
        time.sleep(0.3)
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "yes")

        with (
            closing(start_redis(server_folder / "redis")) as again,
            redis.Redis.from_url(again.url) as client,
        ):
            assert leftover.wait(10) is not None
            assert client.get("kept") == b"yes"


def test_redis_promises_what_ingest_rests_on(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        settings = client.config_get("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")

    assert int(settings.pop("maxmemory")) > 0
    assert settings == {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def test_postgres_promises_what_the_writer_rests_on(database: str) -> None:
    with psycopg.connect(database) as conn:
        names = ("fsync", "synchronous_commit", "full_page_writes")
        promises = [conn.execute(f"SHOW {name}".encode()).fetchone() for name in names]

    assert promises == [("on",)] * 3


def test_each_process_logs_in_with_its_own_role(database_as: Callable[[str], str]) -> None:
    for role in ("veritas_ingest", "veritas_core", "veritas_pipeline", "veritas_analyst"):
        with psycopg.connect(database_as(role)) as conn:
            assert conn.execute("SELECT session_user").fetchone() == (role,)


def test_a_test_has_a_migrated_database_of_its_own(database: str) -> None:
    with psycopg.connect(database) as conn:
        assert conn.execute("SELECT count(*) FROM timescaledb_information.hypertables").fetchone() != (0,)
        assert conn.execute("SELECT count(*) FROM users").fetchone() == (0,)
