"""The one origin and the writer as processes of their own, with their logs, on a database of their own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import requests

from deploy.local.postgres import Postgres
from deploy.local.server import free_port
from tests.conftest import logins_on, new_database
from tests.faults.harness import Tier
from tests.kits.core import JWT_KEYS, DatabaseAs
from tests.kits.ingest.waiting import wait_until

READY_S_MAX: Final = 120.0
MANY: Final = "1000000"
# Bounds of one account or session would answer most requests of a run, which has few people and much to ask.
SETTINGS: Final = {
    "account_requests_per_s": MANY,
    "account_burst_requests": MANY,
    "service_requests_per_s": MANY,
    "service_burst_requests": MANY,
    "session_events_per_s": MANY,
    "session_burst_events": MANY,
    "unknown_attempts_per_s": MANY,
    "unknown_attempts_burst": MANY,
    "bcrypt_rounds": "4",
    "shards": "2",
    "registration": "open",
}


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The running origin; `database` is its owner's address, `login` gives that of a role."""

    url: str
    database: str
    login: DatabaseAs
    folder: Path

    def logs(self) -> str:
        """Return what the processes have written."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))


@contextmanager
def running_origin(
    postgres: Postgres, template: dict[str, str], redis_url: str, folder: Path
) -> Iterator[Origin]:
    """Start the origin and the writer; stop both, in order, at the end."""
    with new_database(postgres) as database:
        login = logins_on(database, template, redis_url)
        ports = free_port(), free_port()
        settings = SETTINGS | {"jwt_keys": JWT_KEYS, "redis_url": redis_url}
        writer = _tier("ingest.writer", ports[1], folder, settings | {
            "database_url": login("veritas_ingest"), "metrics_port": str(ports[1]),
        })  # fmt: skip
        origin = _tier("deploy.origin", ports[0], folder, settings | {
            "database_url": login("veritas_core"), "http_port": str(ports[0]),
            "ingest_database_url": login("veritas_ingest"),
        })  # fmt: skip
        writer.launch()
        origin.launch()
        try:
            url = f"http://127.0.0.1:{origin.port}"
            wait_until(lambda: _is_ready(url), "the origin to be ready", READY_S_MAX)
            yield Origin(url=url, database=database, login=login, folder=folder)
        finally:
            origin.stop()
            writer.stop()


def _is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=2).ok
    except requests.RequestException:
        return False


def _tier(module: str, port: int, folder: Path, settings: dict[str, str]) -> Tier:
    environment = {f"VERITAS_{name.upper()}": value for name, value in settings.items()}
    return Tier(module, port, folder / f"{module}.log", {"PATH": os.environ["PATH"], **environment})
