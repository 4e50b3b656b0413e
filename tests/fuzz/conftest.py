"""Options of the long form (`make fuzz`); without them it is short, and the same every time."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--requests", type=int, default=0, help="send at least so many requests")
    parser.addoption(
        "--fuzz-seed", type=int, default=None, help="make the requests of a run that printed this"
    )
