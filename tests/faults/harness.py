"""The event path as processes that can be killed: private servers, ingest, the writer, the load on them."""

import asyncio
import base64
import os
import random
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

import aiohttp
import asyncpg
import msgspec

from core_api import seeding
from deploy.local.postgres import start_postgres
from deploy.local.redis import start_redis
from deploy.local.roles import give_passwords
from deploy.local.server import Server, free_port
from kernel.events import EventType, Role
from kernel.tokens import Keyring, new_claims
from loadtests.check.history import Report, check, rows_of
from loadtests.client.client import Client, Pace, Seat
from loadtests.client.log import Log
from loadtests.client.tab import Clock, right_time
from sql import named
from tests.kits.clusters import laid
from tests.kits.forks import Forked, start_program

READY_S_MAX: Final = 120.0
STORED_S_MAX: Final = 90.0
POLL_S: Final = 0.05
SHARDS: Final = 4
KINDS: Final = (EventType.Keystroke, EventType.MouseActivity, EventType.TabSwitched, EventType.CopyAttempt)


class Victim(Protocol):
    """What can be killed and started again."""

    def kill(self) -> None: ...

    def launch(self) -> None: ...


class Tier:
    """One of our programs as a process, what `python -m module` does, with a health port."""

    def __init__(self, module: str, port: int, log: Path, environment: dict[str, str]) -> None:
        self.module = module
        self.port = port
        self._log = log
        self._environment = environment
        self._process: Forked | None = None

    def launch(self) -> None:
        """Start without waiting until it is ready; it dies with this process, however that ends."""
        self._process = start_program(self.module, self._environment, self._log)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: it drains and leaves."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: it lives, and does nothing."""
        self._running().send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        self._running().send_signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        """Process id of what was launched last."""
        return self._running().pid

    @property
    def has_ended(self) -> bool:
        """True when it was launched and is gone."""
        return self._process is not None and self._process.poll() is not None

    def _running(self) -> Forked:
        assert self._process is not None, "launched before"
        return self._process

    def _end(self, number: signal.Signals) -> None:
        process = self._running()
        process.send_signal(number)
        process.wait(READY_S_MAX)

    async def ready(self, http: aiohttp.ClientSession) -> bool:
        """Tell whether /readyz says that it does its work."""
        try:
            async with http.get(
                f"http://127.0.0.1:{self.port}/readyz", timeout=aiohttp.ClientTimeout(total=2)
            ) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


class Rig(msgspec.Struct, frozen=True, kw_only=True):
    """The running event path; `database_url` is the owner's."""

    postgres: Server
    redis: Server
    ingest: Tier
    writer: Tier
    database_url: str
    keyring: Keyring
    folder: Path

    @property
    def victims(self) -> dict[str, Victim]:
        """Return what can be killed, by name."""
        return {"ingest": self.ingest, "writer": self.writer, "redis": self.redis, "postgres": self.postgres}

    @property
    def url(self) -> str:
        """Return where ingest listens."""
        return f"http://127.0.0.1:{self.ingest.port}"

    async def wait_ready(self, within_s: float = READY_S_MAX) -> None:
        """
        Return when ingest admits events to every shard again.

        A tier that has ended meanwhile is started again, as its supervisor would: ingest does not start
        without PostgreSQL.

        Raises:
            TimeoutError: it does not within `within_s`.
        """
        async with asyncio.timeout(within_s), aiohttp.ClientSession() as http:
            while not await self.ingest.ready(http):
                for tier in (self.ingest, self.writer):
                    if tier.has_ended:
                        tier.launch()
                await asyncio.sleep(POLL_S)

    def logs(self, lines: int = 40) -> str:
        """Return the end of the tiers' logs, for a failure's message."""
        texts = [path.read_text(errors="replace").splitlines()[-lines:] for path in self.folder.glob("*.log")]
        return "\n".join(line for text in texts for line in text)


@contextmanager
def rig(folder: Path, **settings: str) -> Iterator[Rig]:
    """
    Start private servers, ingest and the writer; stop all of them at the end, however that comes.

    Args:
        folder: for the servers' data and the logs.
        settings: `VERITAS_*` by lower-case name, for both tiers.
    """
    postgres = start_postgres(laid(folder / "postgres"))
    redis = start_redis(folder / "redis")
    keys = "test:" + base64.b64encode(secrets.token_bytes(32)).decode()
    ports = free_port(), free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "VERITAS_DATABASE_URL": give_passwords(postgres.url)["veritas_ingest"],
        "VERITAS_REDIS_URL": redis.url,
        "VERITAS_JWT_KEYS": keys,
        "VERITAS_SHARDS": str(SHARDS),
        **{f"VERITAS_{name.upper()}": value for name, value in settings.items()},
    }
    ingest = Tier(
        "ingest", ports[0], folder / "ingest.log", {**environment, "VERITAS_HTTP_PORT": str(ports[0])}
    )
    writer = Tier(
        "ingest.writer",
        ports[1],
        folder / "writer.log",
        {**environment, "VERITAS_METRICS_PORT": str(ports[1])},
    )
    for tier in (writer, ingest):
        tier.launch()
    try:
        yield Rig(
            postgres=postgres,
            redis=redis,
            ingest=ingest,
            writer=writer,
            database_url=postgres.url,
            keyring=Keyring.parse(keys),
            folder=folder,
        )
    finally:
        for tier in (ingest, writer):
            tier.kill()
        for server in (redis, postgres):
            server.close()


def seats(rig: Rig, count: int) -> list[Seat]:
    """Make so many candidates with a running attempt and an active session each."""
    now = datetime.now(UTC)
    with seeding.connect(rig.database_url) as conn:
        school = seeding.create_school(conn, "Kill school", now=now)
        seated = seeding.seat_candidates(conn, school.organisation_id, school.exam_ids[0], count, now=now)

    def token(user_id: UUID) -> str:
        org, email = str(school.organisation_id), "candidate@kill.example"
        return rig.keyring.sign(
            new_claims(user_id=str(user_id), email=email, role=Role.student, org=org, now=now, life_s=7200)
        )

    return [Seat(session_id=each.session_id, token=token(each.user_id), url=rig.url) for each in seated]


class Load:
    """Good clients at work, two tabs of every session; `log` is what they know."""

    def __init__(
        self, http: aiohttp.ClientSession, places: list[Seat], dice: random.Random, clocks: Sequence[Clock]
    ) -> None:
        pace = Pace(linger_s=0.05, heartbeat_s=1.0, backoff_s=0.05, deadline_s=8.0)
        self.log = Log()
        self.clients = [
            Client(http, seat, self.log, pace=pace, seed=dice.randrange(2**32), clock=clock)
            for seat, clock in zip(places, clocks, strict=True)
            for _ in range(2)
        ]
        self._acts: list[asyncio.Task[None]] = []

    def start(self, dice: random.Random, events_per_s: float = 15.0) -> None:
        """Begin: `events_per_s` is each tab's average; now and then one loses its network for a while."""
        for client in self.clients:
            client.start()
            act = _act(client, random.Random(dice.randrange(2**32)), events_per_s)
            self._acts.append(asyncio.create_task(act))

    async def settle(self, within_s: float = STORED_S_MAX) -> bool:
        """Make no more events, and wait until all there are are stored; tell whether they are."""
        for act in self._acts:
            act.cancel()
        await asyncio.gather(*self._acts, return_exceptions=True)
        return all(await asyncio.gather(*(client.drain(within_s) for client in self.clients)))

    async def close(self) -> None:
        """Stop everything."""
        for act in self._acts:
            act.cancel()
        await asyncio.gather(*self._acts, return_exceptions=True)
        for client in self.clients:
            await client.close()


async def _act(client: Client, dice: random.Random, events_per_s: float) -> None:
    while True:
        await asyncio.sleep(dice.expovariate(events_per_s))
        client.record(dice.choice(KINDS), dice.randint(0, 4), {"text": "x" * dice.randint(0, 200)})
        if dice.random() < 0.005:
            if dice.random() < 0.5:
                client.lose_next_reply()
                await asyncio.sleep(0.1)
            await client.go_offline()
            await asyncio.sleep(dice.uniform(0.1, 1.0))
            client.go_online()


@asynccontextmanager
async def under_load(
    rig: Rig, sessions_count: int, dice: random.Random, *, clocks: Sequence[Clock] | None = None
) -> AsyncIterator[Load]:
    """Seat so many candidates and have them send while the block runs; `clocks` is what each believes."""
    places = seats(rig, sessions_count)
    await rig.wait_ready()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        load = Load(http, places, dice, clocks or [right_time] * sessions_count)
        load.start(dice)
        try:
            yield load
        finally:
            await load.close()


async def kill_at_random(
    rig: Rig, kills: int, dice: random.Random, tell: Callable[[str], None] = lambda _: None
) -> Counter[str]:
    """
    Kill and restart at random, so many times; return how often each was killed.

    A victim stays dead for up to a second. Mostly the path is ready again before the next kill; in a third of
    the cases the next one falls into the recovery.
    """
    done: Counter[str] = Counter()
    for number in range(1, kills + 1):
        await asyncio.sleep(dice.uniform(0.05, 1.5))
        name = dice.choice(sorted(rig.victims))
        done[name] += 1
        tell(f"kill {number} of {kills}: {name}")
        rig.victims[name].kill()
        await asyncio.sleep(dice.choice([0.0, dice.uniform(0.0, 1.0)]))
        rig.victims[name].launch()
        if dice.random() < 2 / 3:
            await rig.wait_ready()
    await rig.wait_ready()
    return done


async def verdict(rig: Rig, load: Load) -> Report:
    """Compare what the clients know with what the database holds."""
    return check(
        load.log, await rows_of(rig.database_url, (client.seat.session_id for client in load.clients))
    )


async def losses(rig: Rig) -> list[asyncpg.Record]:
    """Return the losses of acknowledged entries that the writer has named."""
    conn = await asyncpg.connect(rig.database_url)
    try:
        return list(await conn.fetch(named("checker")["list_losses"]))
    finally:
        await conn.close()
