"""The running tier: ingest's application on a real socket, the writer's threads, a database of their own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from deploy.local.postgres import Postgres
from ingest.app import Part
from ingest.routes import ROUTES
from ingest.writer.owner import Owner, sweep
from kernel.http.health import add_health
from kernel.http.serving import serve
from kernel.http.web import mount, new_app
from kernel.settings import Settings, load
from tests.conftest import logins_on, new_database
from tests.kits.ingest.stream import SHARDS
from tests.kits.ingest.waiting import WITHIN_S, wait_until
from tests.kits.ingest.world import JWT_KEYS, World
from tests.kits.processes import There, loop_beside


class Writer:
    """The writer's threads, as its process runs them."""

    def __init__(self, settings: Settings, *, sweeps: bool = True) -> None:
        self.owners: list[Owner] = []
        self._settings = settings
        self._sweeps = sweeps
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()

    def start(self) -> None:
        self._stop = stop = threading.Event()
        self.owners = owners = [Owner(shard, self._settings, stop) for shard in range(self._settings.shards)]
        self._threads = [threading.Thread(target=owner.run, daemon=True) for owner in owners]
        if self._sweeps:
            body = (owners, self._settings, stop)
            self._threads.append(threading.Thread(target=sweep, args=body, daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WITHIN_S)
            assert not thread.is_alive(), "a writer's thread must end when told to"
        self._threads = []


class Station:
    """The running tier: where it listens, what is behind it."""

    def __init__(
        self, settings: Settings, world: World, writer: Writer, url: str, part: Part, there: There
    ) -> None:
        self.settings = settings
        self.there = there
        self.world = world
        self.writer = writer
        self.url = url
        self.part = part
        self.redis = redis.Redis.from_url(settings.redis_url)

    def open(self) -> bool:
        """Tell whether every shard admits."""
        return self.there(self.part.ready()) is None


@contextmanager
def station(
    postgres: Postgres,
    template: dict[str, str],
    redis_url: str,
    *,
    writing: bool = True,
    sweeps: bool = True,
    **overrides: Any,
) -> Iterator[Station]:
    """
    Run ingest and the writer on a database of their own, and wait until every shard admits.

    Args:
        postgres: the server.
        template: addresses of the template database by role.
        redis_url: is emptied first.
        writing: false stops the writer as soon as the shards are open: what is posted stays in the stream.
        sweeps: run the sweeps as well.
        overrides: settings.
    """
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        client.function_flush()
    with (
        new_database(postgres) as url,
        _on(
            url,
            logins_on(url, template, redis_url)("veritas_ingest"),
            redis_url,
            writing=writing,
            sweeps=sweeps,
            overrides=overrides,
        ) as running,
    ):
        yield running


@contextmanager
def _on(
    owner_url: str, ingest_url: str, redis_url: str, *, writing: bool, sweeps: bool, overrides: dict[str, Any]
) -> Iterator[Station]:
    settings = load(
        {},
        **{
            "database_url": ingest_url,
            "redis_url": redis_url,
            "jwt_keys": JWT_KEYS,
            "shards": SHARDS,
            "redis_connections": 2,
            "pool_connections_max": 4,
            "writer_batch_ms": 5,
            "writer_lock_s": 0.1,
            "heartbeat_sweep_s": 0.2,
            "shutdown_s": 2,
            **overrides,
        },
    )
    world = World(owner_url)
    writer = Writer(settings, sweeps=sweeps)
    writer.start()
    try:
        with listening(settings) as (url, part, there):
            running = Station(settings, world, writer, url, part, there)
            wait_until(running.open, "every shard to be open")
            if not writing:
                writer.stop()
            try:
                yield running
            finally:
                running.redis.close()
    finally:
        writer.stop()
        world.close()


@contextmanager
def listening(settings: Settings) -> Iterator[tuple[str, Part, There]]:
    """Serve ingest's application from a thread; give its address, its part, and the way onto its loop."""
    app, part = new_app(settings), Part()
    mount(app, ROUTES)
    part.attach(app)
    add_health(app, [part.ready], part.level)

    with loop_beside() as there:
        runner = there(serve(app, settings, port=0))
        try:
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}", part, there
        finally:
            there(runner.cleanup())
