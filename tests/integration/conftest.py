"""
A running tier for each module of ingest tests, and a client for each test.

A module that needs other settings has a `running` of its own.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from tests.integration.ingest_kit.api import Api, api_of
from tests.integration.ingest_kit.station import Station, station


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    with station(postgres, template, redis_server.url) as at:
        yield at


@pytest.fixture
async def api(running: Station) -> AsyncIterator[Api]:
    async with api_of(running) as client:
        yield client
