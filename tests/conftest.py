"""
Real servers for the tests: a private PostgreSQL and Redis per worker, a database for each test that asks.

A server that cannot start fails the run; nothing is skipped.
"""

import fcntl
import gc
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
import structlog
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from deploy.local.postgres import OWNER, Postgres, start_postgres
from deploy.local.redis import Redis, start_redis
from deploy.local.roles import give_passwords, on_database
from kernel.running.logs import tell_exception
from kernel.running.process import prepare_process
from sql.migrate import migrate
from tests.kits.budget import hold
from tests.kits.own_rows import VIEWS

TEMPLATE = "veritas_template"
DISK, MEMORY = Path("/tmp"), Path("/dev/shm")  # noqa: S108  each server has a new folder of its own there
MEMORY_BYTES_MIN = 6 << 30  # for the servers of eight workers
CHEAP = {
    "autovacuum": "off",  # a database is gone before it is worth while
    "max_wal_size": "512MB",  # what a worker's server may hold in memory beside its tables
    "password_encryption": "md5",
    "wal_compression": "off",
}
HELD, BEGUN_S = "held", 60  # a file that is locked while its folder is in use; in a moment after it was made
# Lines as the processes write them: structlog's own picture of an error keeps an application's loop for long.
structlog.configure(
    processors=[structlog.processors.add_log_level, tell_exception, structlog.processors.KeyValueRenderer()]
)
# What a property is tried with does not depend on the machine: not on how crowded it is, nor on what failed
# there before. Tests say how many examples; a fixture is the same for all of them.
hypothesis_settings.register_profile(
    "veritas",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
hypothesis_settings.load_profile("veritas")
# Every process of ours reads this as it starts, twice, a seventh of its start; none of them speaks TLS.
os.environ["SSL_CERT_FILE"] = os.devnull
prepare_process()  # a test that opens 500 connections holds both ends of them
numbers = count(1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage among what tests make, and not among what was imported and collected: that stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """Let what was collected go in order, for libraries that count what is left at the end."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of the slowest tests, so that no worker is left alone with one at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (-slow[item.path], "fuzz" not in item.path.parts))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what took too long fail, though it passed."""
    report = yield
    hold(item, report)
    return report


def make_server_folder(place: Path = DISK) -> Path:
    """Return a new folder with a short path that the servers' own account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="veritas-", dir=place))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def run_folder() -> Iterator[Path]:
    """The folder of this worker's shared servers: in memory where there is room, as nothing kills them."""
    folder = make_server_folder(MEMORY if has_room() else DISK)
    with (folder / HELD).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield folder
    shutil.rmtree(folder)


def has_room() -> bool:
    """Tell whether memory has room for the servers, once what runs that were killed have left is gone."""
    if not MEMORY.is_dir():
        return False
    for left in MEMORY.glob("veritas-*"):
        with suppress(OSError), (left / HELD).open() as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(held.fileno()).st_mtime > BEGUN_S:
                shutil.rmtree(left)
    said = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    there = int(said["MemAvailable"].split()[0]) << 10  # a file system in memory may say it has all of it
    return min(there, shutil.disk_usage(MEMORY).free) > MEMORY_BYTES_MIN


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """A folder for a test that starts servers of its own, to kill them say; it closes them before it ends."""
    folder = make_server_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def module_folder() -> Iterator[Path]:
    """The same for a module whose tests share what they kill."""
    folder = make_server_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(run_folder: Path) -> Iterator[Postgres]:
    """The worker's PostgreSQL. Tests that harm a server start one of their own."""
    server = start_postgres(run_folder / "postgres")
    make_cheap(server)
    yield server
    server.close()


def make_cheap(server: Postgres) -> None:
    """
    Have a server that nothing kills do without what costs much and keeps nothing here: thousands of hashes
    for each of some ten thousand sign-ins, a smaller WAL, statistics of tables that are dropped.
    """
    hba = server.home / "data" / "pg_hba.conf"
    hba.write_text("host all all 127.0.0.1/32 md5\n")
    with psycopg.connect(server.url, autocommit=True) as conn:
        for name, value in CHEAP.items():
            conn.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        conn.execute("SELECT pg_reload_conf()")
    with psycopg.connect(server.url, autocommit=True) as conn:
        password = urlsplit(server.url).password
        conn.execute(f"ALTER ROLE {OWNER} PASSWORD '{password}'".encode())


@pytest.fixture(scope="session")
def redis_server(run_folder: Path) -> Iterator[Redis]:
    """The worker's Redis."""
    server = start_redis(run_folder / "redis")
    yield server
    server.close()


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> dict[str, str]:
    """Migrate the template database once; return each role's address of it."""
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {TEMPLATE}".encode())
    url = on_database(postgres.url, TEMPLATE)
    migrate(url)
    return give_passwords(url)


@pytest.fixture(scope="session")
def schooled(postgres: Postgres, template: dict[str, str]) -> str:
    """The template with the views of schools in it (`kits/own_rows.py`); return its name."""
    assert template, "the template database is migrated first"
    name = f"{TEMPLATE}_schooled"
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy".encode())
    with psycopg.connect(on_database(postgres.url, name)) as conn:
        conn.execute(VIEWS.encode())
    return name


@contextmanager
def new_database(postgres: Postgres, *, of: str = TEMPLATE) -> Iterator[str]:
    """Give the owner's address of a new copy of a database, by default of the migrated template."""
    name = f"veritas_test_{next(numbers)}"
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {of} STRATEGY file_copy".encode())
        try:
            yield on_database(postgres.url, name)
        finally:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def logins_on(database: str, template: dict[str, str], redis_url: str) -> Callable[[str], str]:
    """Return what gives a process's login on the database by role, and the address of Redis by `redis`."""
    name = database.rpartition("/")[2]
    return lambda role: redis_url if role == "redis" else on_database(template[role], name)


@pytest.fixture
def database(postgres: Postgres, template: dict[str, str]) -> Iterator[str]:
    """A migrated database of the test's own: the owner's address, gone when the test ends."""
    assert template, "the template database is migrated first"
    with new_database(postgres) as url:
        yield url


@pytest.fixture
def database_as(database: str, template: dict[str, str], redis_url: str) -> Callable[[str], str]:
    """
    Give the address of the test's database for one process's login: `database_as("veritas_ingest")`.

    `database_as("redis")` is the worker's Redis, as `redis_url` leaves it.
    """
    return logins_on(database, template, redis_url)


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """The worker's Redis, emptied of keys and functions."""
    return emptied(redis_server)


def emptied(server: Redis) -> str:
    """Empty Redis of keys and functions; return its address."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        client.function_flush()
    return server.url
