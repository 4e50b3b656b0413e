"""Options of the fault tests, a module's event path, and the tier that some share with the ingest tests."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness import Rig, rig
from tests.integration.conftest import api, core, running
from tests.kits.ingest.world import World

__all__ = ["api", "core", "running"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=8, help="random kills under load")
    parser.addoption(
        "--seed", type=int, default=None, help="replay the kills of a run that printed this seed"
    )


@pytest.fixture(scope="module")
def path(request: pytest.FixtureRequest, module_folder: Path) -> Iterator[Rig]:
    """One path, with the module's SETTINGS."""
    with rig(module_folder, **request.module.SETTINGS) as whole:
        asyncio.run(whole.wait_ready())
        yield whole


@pytest.fixture
def world(path: Rig) -> Iterator[World]:
    found = World(path.database_url)
    found.keyring = path.keyring
    found.run("DELETE FROM stream_losses")
    yield found
    found.close()
