"""
What `veritas doctor` looks at in Redis: version, who may enter, what acknowledgements rest on, memory.
"""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import redis

from deploy.commands.findings import CONNECT_S, Finding, promises
from deploy.local.programs import REDIS_MAJOR_MIN

REDIS_PROMISES: Final = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def redis_findings(url: str) -> Iterator[Finding]:
    """Look at the server behind an address; nothing without one."""
    if not url:
        return
    try:
        with redis.Redis.from_url(url, socket_timeout=CONNECT_S, decode_responses=True) as client:
            version = client.info("server")["redis_version"]
            found = client.config_get("appendonly", "appendfsync", "maxmemory-policy", "maxmemory")
    except redis.RedisError as error:
        yield Finding(check="Redis server", ok=False, found=str(error), mend="start it, or mend its URL")
        return
    yield Finding(
        check="Redis server",
        ok=int(version.split(".")[0]) >= REDIS_MAJOR_MIN,
        found=f"{version} answers",
        mend=f"Redis {REDIS_MAJOR_MIN} or newer",
    )
    is_open = _is_open(url)
    yield Finding(
        check="Redis users",
        ok=not is_open,
        found="the default user is open: whoever reaches the port may do everything"
        if is_open
        else "nobody enters without a password",
        mend="set requirepass, and give each tier the user of deploy/local/redis_users.py",
    )
    yield from promises("Redis", found, REDIS_PROMISES)
    memory = int(found["maxmemory"])
    yield Finding(
        check="Redis maxmemory",
        ok=memory > 0,
        found=f"{memory >> 20} MiB" if memory else "no bound",
        mend="set maxmemory: back-pressure counts in shares of it",
    )


def _is_open(url: str) -> bool:
    """Tell whether Redis answers to somebody without a password."""
    parts = urlsplit(url)
    if parts.password is None:
        return True  # it has just answered
    anonymous = parts._replace(netloc=f"{parts.hostname}:{parts.port or 6379}").geturl()
    try:
        with redis.Redis.from_url(anonymous, socket_timeout=CONNECT_S) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
