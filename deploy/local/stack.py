"""
The whole stack on one machine: servers, schema, demo accounts, every tier, and the file that tells of them.
"""

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import psycopg

from deploy.local.logs import Log
from deploy.local.postgres import start_postgres
from deploy.local.redis import start_redis
from deploy.local.redis_users import url_of
from deploy.local.roles import give_passwords
from deploy.local.server import REACHABLE, Server, ServerError, free_port, is_free
from deploy.local.supervisor import Child, Report, StackError, Tier, stop_in_order, watch_server
from deploy.seed import Account, demo_accounts, seed, write_private
from kernel.http.networks import hosts_of, http_url
from kernel.ledger.checkpoints import new_key_pem
from kernel.settings import PREFIX, Settings
from sql.migrate import MigrationError, migrate

LOCAL_FILE: Final = "local.json"
KEYS_FILE: Final = "jwt_keys"
LAUNCH_KEYS_FILE: Final = "launch_keys"
# What a tier is given of what only some may know: its keys, and no other's.
SECRETS: Final = {
    "writer": (),
    "pipeline": ("ledger_key_files", "s3_secret_key"),
    "origin": ("jwt_keys", "launch_keys", "ingest_database_url", "ingest_redis_url", "s3_secret_key"),
    "ingest": ("jwt_keys",),
}
KEPT: Final = {"owner_database_url", *(name for names in SECRETS.values() for name in names)}
INGEST_PORT: Final = 8081
GROUP_ALONE: Final = 0o2750  # what is made below belongs to the folder's group
# Settings that name a place, and the folder below the state where it is unless another one is set.
PLACES: Final = {
    "warehouse": "warehouse",
    "evidence_store": "evidence",
    "evidence_cold_store": "evidence-cold",
}


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """What `local.json` says of a running stack. `database_url` is the owner's, `metrics` go by process."""

    url: str
    ingest_url: str
    database_url: str
    redis_url: str
    warehouse: str
    accounts: list[Account]
    metrics: dict[str, str]


class Stack:
    """A running stack: its addresses, its servers (None where somebody else runs them), its tiers by name."""

    def __init__(
        self, local: Local, postgres: Server | None, redis: Server | None, children: dict[str, Child]
    ) -> None:
        self.local = local
        self.postgres = postgres
        self.redis = redis
        self.children = children


class Servers(msgspec.Struct, frozen=True, kw_only=True):
    """The data servers: those started here, None where somebody else runs them, and their addresses."""

    postgres: Server | None
    redis: Server | None
    owner_url: str
    redis_url: str


@asynccontextmanager
async def open_stack(
    settings: Settings, report: Report, *, port: int | None = None, ingest_port: int = INGEST_PORT
) -> AsyncIterator[Stack]:
    """
    Start everything and yield the stack when every tier is ready; stop it in order at the end.

    Call it in the main thread. Servers that `settings` names are used, the others are private ones below
    `settings.state`. Ingest stops first and drains, then the writer, then the pipeline, then the servers.

    Args:
        settings: of the whole stack.
        report: takes a line for people whenever something happens; logs/supervisor.log has them too.
        port: of the one origin; `settings.http_port` by default, 0 for any free one.
        ingest_port: of the ingest processes, 0 for any free one.

    Raises:
        StackError: a port is taken, or a tier does not get ready.
        ServerError: a server does not start, or the state folder is in use.
    """
    state = _state_folder(settings)
    ports = [
        _usable(settings.http_host, settings.http_port if port is None else port, "--port"),
        _usable(settings.http_host, ingest_port, "--ingest-port"),
    ]
    async with AsyncExitStack() as cleanup:
        say = _reporter(state, report, cleanup)
        servers = _start_servers(settings, state, say, cleanup)
        try:
            for name in migrate(servers.owner_url):
                say(f"migration {name} applied")
        except (MigrationError, psycopg.OperationalError) as error:
            raise ServerError(f"the schema could not be brought up to date: {str(error).strip()}") from error
        accounts = demo_accounts(state)
        local = Local(
            url=http_url(settings.http_host, ports[0]),
            ingest_url=http_url(settings.http_host, ports[1]),
            database_url=servers.owner_url,
            redis_url=servers.redis_url,
            warehouse=_places(settings, state)["warehouse"],
            accounts=accounts,
            metrics={},
        )
        tiers = tiers_of(settings, state, servers, local)
        metrics = {tier.name: tier.ready_url.replace("/readyz", "/metrics") for tier in tiers}
        local = msgspec.structs.replace(local, metrics=metrics)
        children = {tier.name: Child(tier, Log(state / "logs" / f"{tier.name}.log"), say) for tier in tiers}
        cleanup.push_async_callback(stop_in_order, list(children.values()), settings.shutdown_s + 5.0)
        await asyncio.gather(
            asyncio.to_thread(seed, servers.owner_url, accounts, rounds=settings.bcrypt_rounds),
            *(child.wait_ready() for child in children.values()),
        )
        for server in (servers.postgres, servers.redis):
            if server is not None:
                cleanup.callback(asyncio.create_task(watch_server(server, say)).cancel)
        file = state / LOCAL_FILE
        write_private(file, msgspec.json.format(msgspec.json.encode(local)))
        cleanup.callback(file.unlink, missing_ok=True)
        say(f"ready: {local.url} (everything), {local.ingest_url} (events); logs in {state / 'logs'}")
        cleanup.callback(say, "stopping: events first, then the writer, the pipeline, the servers")
        yield Stack(local, servers.postgres, servers.redis, children)


def _state_folder(settings: Settings) -> Path:
    state = Path(settings.state).resolve()
    if not state.exists():
        state.mkdir(parents=True)
        state.chmod(REACHABLE)
    for private in (state / "logs", *(state / folder for folder in PLACES.values())):
        private.mkdir(exist_ok=True)
        private.chmod(GROUP_ALONE)
    return state


def running(state: Path) -> Local | None:
    """Return what the running stack of `state` says of itself, None when none runs."""
    try:
        return msgspec.json.decode((state / LOCAL_FILE).read_bytes(), type=Local)
    except FileNotFoundError:
        return None


def database_url_of(settings: Settings) -> str:
    """Return the database's address: the one in the settings, else that of the running local stack."""
    if url := settings.owner_database_url or settings.database_url:
        return url
    local = running(Path(settings.state))
    if local is None:
        raise ServerError(
            "no database is named: set VERITAS_OWNER_DATABASE_URL, or start the stack (`veritas up`)"
        )
    return local.database_url


def warehouse_of(settings: Settings) -> str:
    """Return the warehouse that belongs to `database_url_of`."""
    local = running(Path(settings.state))
    is_named = settings.owner_database_url or settings.database_url
    return settings.warehouse if is_named or local is None else local.warehouse


def evidence_stores_of(settings: Settings) -> dict[str, str]:
    """Return where the evidence is kept that belongs to `database_url_of`, by setting, if not as they say."""
    state = Path(settings.state)
    if settings.owner_database_url or settings.database_url or running(state) is None:
        return {}
    return {name: _place(settings, state.resolve(), name) for name in PLACES if name != "warehouse"}


class LedgerFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where the local stack keeps its ledger's signing key and its witness."""

    key: Path
    witness: Path


def ledger_files(state: Path) -> LedgerFiles:
    """Return the ledger's files below a state folder, there or not."""
    return LedgerFiles(key=state / "ledger_key.pem", witness=state / "ledger_witness.jsonl")


def _usable(hosts: str, port: int, option: str) -> int:
    if port == 0:
        return free_port(*hosts_of(hosts))
    if is_free(port, *hosts_of(hosts)):
        return port
    raise StackError(f"port {port} is taken: choose another with {option}, or a free one with {option} 0")


def _reporter(state: Path, report: Report, cleanup: AsyncExitStack) -> Report:
    log = Log(state / "logs" / "supervisor.log")
    cleanup.callback(log.close)

    def say(line: str) -> None:
        log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {line}\n".encode())
        report(line)

    return say


def _start_servers(settings: Settings, state: Path, say: Report, cleanup: AsyncExitStack) -> Servers:
    postgres = redis = None
    owner_url = settings.owner_database_url or settings.database_url
    redis_url = settings.redis_url
    if not settings.database_url:
        postgres = start_postgres(state / "postgres")
        cleanup.callback(postgres.close)
        owner_url = postgres.url
        say(f"PostgreSQL runs on port {postgres.port}, data in {postgres.home}")
    if not redis_url:
        redis = start_redis(state / "redis")
        cleanup.callback(redis.close)
        redis_url = redis.url
        say(f"Redis runs on port {redis.port}, data in {redis.home}")
    return Servers(postgres=postgres, redis=redis, owner_url=owner_url, redis_url=redis_url)


def tiers_of(settings: Settings, state: Path, servers: Servers, local: Local) -> list[Tier]:
    """
    Say how each process is started: with its own secrets (`SECRETS`), and on private servers with
    logins of its own.
    """

    def redis_as(user: str) -> str:
        return servers.redis_url if servers.redis is None else url_of(user, servers.redis_url)

    logins = {} if servers.postgres is None else give_passwords(servers.owner_url)
    kept = {f"{PREFIX}{name.upper()}" for name in KEPT}
    shared = {name: value for name, value in os.environ.items() if name not in kept} | {
        **{f"{PREFIX}{name.upper()}": place for name, place in _places(settings, state).items()},
        f"{PREFIX}STATE": str(state),
        "PYTHONUNBUFFERED": "1",
    }
    secrets_of_all = {
        "jwt_keys": settings.jwt_keys or _signing_keys(state / KEYS_FILE),
        "launch_keys": settings.launch_keys or _signing_keys(state / LAUNCH_KEYS_FILE),
        "ingest_database_url": logins.get("veritas_ingest", settings.ingest_database_url),
        "ingest_redis_url": settings.ingest_redis_url or redis_as("veritas_ingest"),
        "ledger_key_files": settings.ledger_key_files,
        "s3_secret_key": settings.s3_secret_key,
    }

    def tier(
        name: str, *arguments: str, role: str, rank: int, redis: str = "", url: str = "", **more: str
    ) -> Tier:
        port = free_port(
            *hosts_of(settings.http_host)
        )  # of health and metrics, where the tier has no address of its own
        environment = shared | {
            f"{PREFIX}DATABASE_URL": logins.get(role, settings.database_url),
            f"{PREFIX}REDIS_URL": redis_as(redis or role),
        }
        own = {field: secrets_of_all[field] for field in SECRETS[name.partition("-")[0]]}
        own |= {"http_port": url.rpartition(":")[2]} if url else {"metrics_port": str(port)}
        environment |= {f"{PREFIX}{field.upper()}": value for field, value in (own | more).items() if value}
        environment |= {f"{PREFIX}{field.upper()}": value for field, value in _pages(settings, local).items()}
        address = url or http_url(settings.http_host, port)
        return Tier(
            name=name,
            arguments=arguments,
            environment=environment,
            ready_url=f"{address}/readyz",
            stop_rank=rank,
        )

    ingest = local.ingest_url
    return [
        tier("writer", "-m", "ingest.writer", role="veritas_ingest", redis="veritas_writer", rank=2),
        tier("pipeline", "-m", "pipeline", role="veritas_pipeline", rank=3, **_ledger(settings, state)),
        tier("origin", "-m", "deploy.origin", role="veritas_core", rank=1, url=local.url),
        *(
            tier(f"ingest-{number}", "-m", "ingest", role="veritas_ingest", rank=1, url=ingest)
            for number in range(1, settings.ingest_processes + 1)
        ),
    ]


def _pages(settings: Settings, local: Local) -> dict[str, str]:
    """
    Return what lets a page of the one origin post to the ingest processes: where they are, and that it may.

    Both are told as ports of whatever host the page was reached by: 127.0.0.1, localhost, a name.
    """
    ports = [f":{url.rpartition(':')[2]}" for url in (local.url, local.ingest_url)]
    return {
        "ingest_url": settings.ingest_url or ports[1],
        "allowed_origins": ",".join(each for each in (settings.allowed_origins, ports[0]) if each),
    }


def _signing_keys(path: Path) -> str:
    """Return a signing key of the stack's own, made at the first start: tokens outlive a restart."""
    if not path.exists():
        write_private(path, b"local:" + base64.b64encode(secrets.token_bytes(32)))
    return path.read_text()


def _ledger(settings: Settings, state: Path) -> dict[str, str]:
    """Return the sealer's settings where none are given: a key made at the first start, and a witness."""
    files = ledger_files(state)
    if settings.ledger_key_files:
        return {}
    if not files.key.exists():
        write_private(files.key, new_key_pem())
    return {
        "ledger_key_files": str(files.key),
        "ledger_witness_file": settings.ledger_witness_file or str(files.witness),
    }


def _places(settings: Settings, state: Path) -> dict[str, str]:
    """Return where what is kept in files is kept, by setting."""
    return {name: _place(settings, state, name) for name in PLACES}


def _place(settings: Settings, state: Path, name: str) -> str:
    given: str = getattr(settings, name)
    if given == getattr(Settings(), name):
        return str(state / PLACES[name])
    return given if "://" in given else str(Path(given).resolve())
