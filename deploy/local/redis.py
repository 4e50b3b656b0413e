"""
A private Redis that keeps what it acknowledges: every append synced to disk, nothing evicted.
"""

import signal
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

import redis

from deploy.local.programs import find_redis
from deploy.local.redis_users import directives
from deploy.local.server import (
    Server,
    ServerError,
    give_to_account,
    machine_memory_bytes,
    remembered,
)

MEMORY_SHARE: Final = 1 / 8
MEMORY_BYTES: Final = (256 << 20, 4 << 30)  # least, most

Redis = Server


def start_redis(folder: Path, *, port: int | None = None) -> Redis:
    """
    Start a private Redis and return it when it has read its data and answers.

    Args:
        folder: its place; see `deploy.local.server.home_for` for where the data really lies. The append-only
            file is in `.home / "data" / "appendonlydir"`.
        port: of 127.0.0.1; by default the one used last time here, or a free one.

    Returns:
        The server; `.stop()`, `.kill()`, `.start()` as often as wanted, `.close()` last.

    Raises:
        ServerError: Redis is not installed, the folder is in use, or the server does not start.
    """
    program = find_redis()
    if program is None:
        raise ServerError("Redis >= 7 is not installed: run `make setup`")
    home, password, port = remembered(folder, port)
    conf = home / "redis.conf"
    server = Server(
        "redis",
        home,
        port=port,
        url=f"redis://:{password}@127.0.0.1:{port}/0",
        command=[str(program.path), str(conf)],
        stop_signal=signal.SIGTERM,
        answers=_answers,
        precedence=True,
    )
    _configure(conf, port, password)
    server.start()
    return server


def _configure(conf: Path, port: int, password: str) -> None:
    data = conf.parent / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    least, most = MEMORY_BYTES
    conf.touch(mode=0o600)
    conf.write_text(
        Template((files("deploy.local") / "redis.conf").read_text()).substitute(
            port=port,
            password=password,
            users=directives(password),
            data=data,
            maxmemory=min(max(int(machine_memory_bytes() * MEMORY_SHARE), least), most),
        )
    )
    for path in (data, conf):
        give_to_account(path)


def _answers(url: str) -> bool:
    """True when the server answers and has finished reading its append-only file."""
    with redis.Redis.from_url(url, socket_timeout=5, retry=None) as client:
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False
