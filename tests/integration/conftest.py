"""
A running tier for each module of tests: ingest with a client for each test, or the core API.

A module that needs other settings has a `running` or a `core` of its own.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from tests.conftest import emptied, logins_on, new_database
from tests.kits.access_matrix_world import Worlds
from tests.kits.core import Core, running_core
from tests.kits.ingest.api import Api, api_of
from tests.kits.ingest.station import Station, station


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    with station(postgres, template, redis_server.url) as at:
        yield at


@pytest.fixture
async def api(running: Station) -> AsyncIterator[Api]:
    async with api_of(running) as client:
        yield client


@pytest.fixture(scope="module")
def core(postgres: Postgres, template: dict[str, str], schooled: str, redis_server: Redis) -> Iterator[Core]:
    with (
        new_database(postgres, of=schooled) as url,
        running_core(url, logins_on(url, template, emptied(redis_server))) as running,
    ):
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worlds(core: Core) -> AsyncIterator[Worlds]:
    """What the access matrix is about, of the module's application: for tests that may share a world."""
    shared = Worlds(core)
    yield shared
    await shared.close()
