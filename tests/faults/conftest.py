"""Options of the fault tests, and the running tier that some of them share with the ingest tests."""

import pytest

from tests.integration.conftest import api, core, running

__all__ = ["api", "core", "running"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=8, help="random kills under load")
    parser.addoption(
        "--seed", type=int, default=None, help="replay the kills of a run that printed this seed"
    )
