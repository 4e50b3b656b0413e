"""The core API as a process that can be killed between two statements of a transaction, and its database."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import msgspec

from core_api import seeding
from deploy.local.postgres import DATABASE, start_postgres
from deploy.local.redis import start_redis
from deploy.local.roles import give_passwords, on_database
from deploy.local.server import Server, free_port
from kernel.tokens import Keyring
from tests.faults.harness import POLL_S, READY_S_MAX, Tier
from tests.kits.clusters import laid
from tests.kits.core import JWT_KEYS, Answer, Api, make_people

CORE: Final = "veritas_core"
WAITS_IN_COMMIT: Final = (
    f"SELECT wait_event FROM pg_stat_activity WHERE usename = '{CORE}' AND query ILIKE 'COMMIT%'"
    " AND wait_event IN ('advisory', 'SyncRep')"
)
BACKENDS: Final = f"SELECT client_port FROM pg_stat_activity WHERE usename = '{CORE}'"
TABLES: Final = "SELECT string_agg(format('%I', tablename), ', ') FROM pg_tables WHERE schemaname = 'public'"
GATE: Final = 1986359925
LOOK_S: Final = 0.01
numbers = count(1)


class CoreRig(msgspec.Struct, kw_only=True):
    """
    A database of its own and two core API processes in turn: `spare` starts up while the other one is in use.

    `api` speaks to the process in use; its `owner` is a connection of the database's owner.
    """

    postgres: Server
    database_url: str
    used: Tier
    spare: Tier
    api: Api

    async def wait_ready(self) -> None:
        """Return when the process in use is ready; raises TimeoutError."""
        async with asyncio.timeout(READY_S_MAX):
            while True:
                if await self.used.ready(self.api.http):
                    return
                await asyncio.sleep(POLL_S)

    async def kill_core(self) -> None:
        """SIGKILL the process in use, and use a new one."""
        self.used.kill()
        self.used, self.spare = self.spare, self.used
        self.spare.launch()
        self.api = msgspec.structs.replace(self.api, url=f"http://127.0.0.1:{self.used.port}")
        await self.wait_ready()

    async def kill_postgres(self) -> None:
        """SIGKILL the postmaster and its children, and start it on the same files."""
        await asyncio.to_thread(self.postgres.kill)
        self.postgres.launch()
        await asyncio.to_thread(self.postgres.wait)
        with suppress(asyncpg.PostgresError, OSError):
            await self.api.owner.close(timeout=1)
        self.api = msgspec.structs.replace(self.api, owner=await asyncpg.connect(self.database_url))
        await self.wait_ready()

    async def wait_for(self, statement: str, wanted: Callable[[Any], bool] = bool) -> Any:
        """Ask the database until the answer is wanted; raises TimeoutError."""
        async with asyncio.timeout(READY_S_MAX):
            while True:
                if wanted(found := await self.api.owner.fetchval(statement)):
                    return found
                await asyncio.sleep(LOOK_S)

    async def gone(self) -> None:
        """Return when no backend of a process that was killed is left; raises TimeoutError."""
        async with asyncio.timeout(READY_S_MAX):
            while True:
                backends = {row[0] for row in await self.api.owner.fetch(BACKENDS)}
                # Asked after: whoever lives has its connections still.
                if backends <= {port for tier in (self.used, self.spare) for port in local_ports(tier.pid)}:
                    return
                await asyncio.sleep(LOOK_S)


def local_ports(pid: int) -> list[int]:
    """Return the local TCP ports of a process's connections."""
    sockets = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            sockets.add(each.readlink().name.removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return [int(row[1].partition(":")[2], 16) for row in rows if row[9] in sockets]


class Servers(msgspec.Struct, frozen=True, kw_only=True):
    """Private servers that several tests kill one after the other; `postgres` holds a migrated template."""

    postgres: Server
    redis: Server
    core_url: str
    folder: Path


@contextmanager
def core_servers(folder: Path) -> Iterator[Servers]:
    """Start the servers; stop them at the end."""
    postgres, redis = start_postgres(laid(folder / "postgres")), start_redis(folder / "redis")
    try:
        core_url = give_passwords(postgres.url)[CORE]
        yield Servers(postgres=postgres, redis=redis, core_url=core_url, folder=folder)
    finally:
        for server in (redis, postgres):
            server.close()


@asynccontextmanager
async def core_rig(servers: Servers) -> AsyncIterator[CoreRig]:
    """Start two processes on a database of their own with people in it; end them at the end."""
    name, postgres, folder = f"kills_{next(numbers)}", servers.postgres, servers.folder
    maintenance = await asyncpg.connect(on_database(postgres.url, "postgres"))
    await maintenance.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
    await maintenance.close()
    environment = {
        "PATH": os.environ["PATH"],
        "VERITAS_DATABASE_URL": on_database(servers.core_url, name),
        "VERITAS_REDIS_URL": servers.redis.url,
        "VERITAS_JWT_KEYS": JWT_KEYS,
        "VERITAS_EXPIRY_SWEEP_S": "3600",
    }
    tiers = [
        Tier("core_api", port, folder / f"core-{port}.log", {**environment, "VERITAS_HTTP_PORT": str(port)})
        for port in (free_port(), free_port())
    ]
    for tier in tiers:
        tier.launch()
    try:
        database_url = on_database(postgres.url, name)
        with seeding.connect(database_url) as conn:
            people, exam_id = make_people(conn)
        owner = await asyncpg.connect(database_url)
        async with aiohttp.ClientSession() as http:
            rig = CoreRig(
                postgres=postgres,
                database_url=database_url,
                used=tiers[0],
                spare=tiers[1],
                api=Api(
                    http=http,
                    url=f"http://127.0.0.1:{tiers[0].port}",
                    database=database_url,
                    owner=owner,
                    people=people,
                    exam_id=exam_id,
                    keyring=Keyring.parse(JWT_KEYS),
                ),
            )
            await rig.wait_ready()
            yield rig
            await rig.api.owner.close()
    finally:
        for tier in tiers:
            tier.kill()


ADVISORY: Final = "h.locktype = 'advisory'"


def rows_of(held: str) -> str:
    """Return the condition that a transaction holds rows of a table."""
    return f"h.mode = 'RowShareLock' AND h.relation = '{held}'::regclass"


def waits_for_table(holds: str) -> str:
    """Return the question which table's lock somebody waits for who holds what they act on meanwhile."""
    return (
        "SELECT w.relation::regclass::text FROM pg_locks w JOIN pg_stat_activity a ON a.pid = w.pid"
        f" WHERE a.usename = '{CORE}' AND a.datname = current_database() AND NOT w.granted"
        f" AND EXISTS (SELECT FROM pg_locks h WHERE h.pid = w.pid AND h.granted AND {holds})"
    )


@asynccontextmanager
async def writes_held(rig: CoreRig, *, but: Sequence[str]) -> AsyncIterator[None]:
    """
    Let every write to a table wait, those to the tables in `but` excepted; reads and row locks go through.

    SHARE is the weakest mode that meets an INSERT, UPDATE or DELETE and no SELECT … FOR UPDATE.
    """
    holder = await asyncpg.connect(rig.database_url)
    try:
        names = set((await holder.fetchval(TABLES)).split(", ")) - set(but)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute(f"LOCK TABLE {', '.join(sorted(names))} IN SHARE MODE")
        yield
    finally:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await holder.close(timeout=5)


@asynccontextmanager
async def commits_held(rig: CoreRig, *, durable: bool) -> AsyncIterator[None]:
    """
    Let COMMIT wait: before anything of it is on disk, or (`durable`) after all of it is and nobody was told.

    The first by a deferred trigger of this database, the second by a standby that does not exist.
    """
    holder = await asyncpg.connect(rig.database_url)
    try:
        await holder.execute("SET synchronous_commit = local")
        if durable:
            await holder.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            await holder.execute("SELECT pg_reload_conf()")
            await rig.wait_for("SHOW synchronous_standby_names")
            # In the file it is gone again at once: a server that is killed comes back without it.
            await holder.execute("ALTER SYSTEM RESET synchronous_standby_names")
        else:
            await _gate(holder)
        yield
    finally:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await holder.execute("SELECT pg_reload_conf()")
            await holder.close(timeout=5)


async def _gate(holder: Any) -> None:
    await holder.execute(
        "CREATE OR REPLACE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$"
        f" BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NULL; END $$"
    )
    await holder.execute("DROP TRIGGER IF EXISTS gated ON submissions")
    await holder.execute(
        "CREATE CONSTRAINT TRIGGER gated AFTER INSERT ON submissions DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION wait_at_gate()"
    )
    await holder.execute(f"SELECT pg_advisory_lock({GATE})")


async def first_of(answer: "asyncio.Task[Answer]", waiting: Awaitable[Any]) -> Any | None:
    """Return what is waited for in the database; None where the answer came first."""
    look = asyncio.ensure_future(waiting)
    await asyncio.wait({answer, look}, return_when=asyncio.FIRST_COMPLETED)
    if look.done():
        return look.result()
    look.cancel()
    return None


async def unanswered(answer: "asyncio.Task[Answer]") -> bool:
    """Return whether the process died without an answer."""
    try:
        await answer
    except aiohttp.ClientError:
        return True
    return False
