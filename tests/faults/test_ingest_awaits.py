"""
PostgreSQL dies at every await of ingest: a 503 that says what became of the request, never a 500, and the
retry is stored once (spec.md X-1).

The walk finds its own steps: the connections break at the n-th message of either side, for every n, until a
request passes without having come so far.
"""

import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.faults.ingest_kit import Proxy
from tests.faults.test_ingest_cuts import changed, through
from tests.kits.ingest.api import Answer, Api, answered
from tests.kits.ingest.station import listening
from tests.kits.ingest.waiting import until
from tests.kits.ingest.world import Seat

pytestmark = pytest.mark.faults
STEPS_MAX = 300
CODES = {"unavailable", "outcome_unknown"}


class Fragile(Proxy):
    """A proxy whose connections all break at a given message, counted over both sides; 0 breaks nothing."""

    def __init__(self, port: int) -> None:
        self.left, self.armed = 0, False
        self._lock = threading.Lock()
        super().__init__(port)

    def _pump(
        self,
        source: socket.socket,
        sink: socket.socket,
        up: bool,  # noqa: ARG002, FBT001  both sides count alike
        doomed: threading.Event,  # noqa: ARG002
    ) -> None:
        try:
            while part := source.recv(65_536):
                with self._lock:
                    self.left -= self.left > 0
                    breaks = self.left == 0 and self.armed
                if breaks:
                    self.armed = False
                    self.cuts += 1
                    self.drop()
                    return
                sink.sendall(part)
        except OSError:
            pass
        self._shut(source)
        self._shut(sink)

    def drop(self) -> None:
        """Break every connection now."""
        for end in list(self._open):
            self._shut(end)

    def arm(self, message: int) -> None:
        """Break at so many messages from now."""
        with self._lock:
            self.left, self.armed = message, True

    @staticmethod
    def _shut(end: socket.socket) -> None:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def fragile(api: Api) -> Iterator[Fragile]:
    between = Fragile(urlsplit(api.at.settings.database_url).port or 0)
    try:
        yield between
    finally:
        between.close()


def unknown_to_redis(api: Api, seat: Seat) -> None:
    shard = seat.session_id % api.at.settings.shards
    api.at.redis.delete(f"{{v{shard}}}:s:{seat.session_id}")


async def restored(api: Api, seat: Seat) -> Answer:
    """An event of a session that Redis does not know."""
    return await api.tab(seat, [1])


async def located(api: Api, seat: Seat) -> Answer:
    """A retry of what Redis has forgotten, in another batch."""
    return await api.tab(seat, [1])


async def monitored(api: Api, seat: Seat) -> Answer:
    """An event of an attempt that has no session yet, or whose session is not known here."""
    body = {"attempt_id": str(seat.attempt_id), "event_type": "keystroke"}
    members = {"client_instance": "module", "client_sequence": 1}
    return await api.post("/api/monitor/events", {**body, **members}, seat.token)


ASKS: list[Callable[[Api, Seat], Awaitable[Answer]]] = [restored, located, monitored]


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("ask", ASKS)
async def test_postgres_dies_at_every_await_of_ingest_and_the_retry_is_stored_once(
    api: Api, fragile: Fragile, ask: Callable[[Api, Seat], Awaitable[Answer]], *, cold: bool
) -> None:
    settings: Any = changed(
        api.at.settings,
        database_url=through(api.at.settings.database_url, fragile.port),
        pool_connections_max=1,
    )
    with listening(settings) as (url, part, there):
        await until(lambda: there(part.ready()) is None, "the tier to be ready")
        direct, api.at.url = api.at.url, url
        try:
            broken = await walk(api, fragile, ask, cold=cold)
        finally:
            api.at.url = direct

    # A statement and its answer at the least; and the handshake, where there is no connection yet.
    assert broken >= (6 if cold else 2)


async def walk(
    api: Api, fragile: Fragile, ask: Callable[[Api, Seat], Awaitable[Answer]], *, cold: bool
) -> int:
    """Break at the first message, the second, … until a request is answered without a break."""
    for step in range(1, STEPS_MAX):
        seat = api.world.seat()
        if ask is located:
            assert (await answered(lambda seat=seat: api.tab(seat, [1, 2]), 202)).status == 202  # type: ignore[misc]
            await api.stored(seat, 2)
        unknown_to_redis(api, seat)
        if cold:
            fragile.drop()
        fragile.arm(step)
        first = await ask(api, seat)
        passed, fragile.armed = fragile.armed, False

        assert first.status in {202, 503}, (step, first.body)
        if first.status == 503:
            assert first.body["code"] in CODES, first.body
            assert int(first.headers["Retry-After"]) >= 1
        again = await answered(lambda seat=seat: ask(api, seat), 202)  # type: ignore[misc]
        assert again.ack["sequenceFrom"] == 1
        rows = await api.stored(seat, 2 if ask is located else 1)
        assert len(rows) == (2 if ask is located else 1), step
        if passed:
            return step - 1
    raise AssertionError("the walk must come to an end")
