"""Options of the fault tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=8, help="random kills under load")
    parser.addoption(
        "--seed", type=int, default=None, help="replay the kills of a run that printed this seed"
    )
