"""
The users of Redis: one a tier, with the commands and keys that it needs and no others.

The default user is the operator's, for `veritas doctor` and repairs; no tier has its password. What runs
inside a function or a script is held to its caller's rules as well. `deploy/compose.yaml` has the same rules,
and a test compares them.
"""

import base64
import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

_STREAM: Final = "~{v*}:*"
# Inside the functions of ingest/stream/append.lua; which of them a tier may call is not Redis's to say.
_FUNCTIONS: Final = "+fcall +time +hget +hmget +hset +hsetnx +hlen +del +unlink +expire +xadd"
_REVOCATIONS: Final = "~veritas:revoked &veritas:revoked"
RULES: Final[dict[str, str]] = {
    # ingest/stream/link.py, pressure.py, append.py; kernel/revocation.py, which it only listens to
    "veritas_ingest": f"{_STREAM} %R~veritas:revoked &veritas:revoked {_FUNCTIONS}"
    " +info +config|get +function|load +xlen +xrange +ping +subscribe +unsubscribe +zrange",
    # ingest/writer/shard.py, sweeps.py
    "veritas_writer": f"{_STREAM} {_FUNCTIONS}"
    " +info +config|get +function|load +function|list +hdel +exists +xinfo|stream +xlen +xrange +xread +xtrim"
    " +ping",
    # kernel/revocation.py, which it also publishes by
    "veritas_core": f"{_REVOCATIONS} +ping +subscribe +unsubscribe +zrange +zadd +zremrangebyscore +eval"
    " +publish",
    # dramatiq's broker, within its name space
    "veritas_pipeline": "~veritas:pipeline* +evalsha +script|load +ping +keys +del +hdel +hexists +hget +hlen"
    " +hmget +hset +llen +lpop +rpush +sadd +scard +smembers +srem +zadd +zrangebyscore +zrem",
}


def password_of(user: str, secret: str) -> str:
    """Return a user's password on the local stack: it follows from the server's own, and is kept nowhere."""
    digest = hmac.digest(secret.encode(), user.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def directives(secret: str) -> str:
    """Return the lines of redis.conf that make the users."""
    return "\n".join(
        f"user {user} on >{password_of(user, secret)} resetchannels {rules}" for user, rules in RULES.items()
    )


def url_of(user: str, url: str) -> str:
    """Return the local server's address with a tier's login in it, from the operator's."""
    parts = urlsplit(url)
    login = f"{user}:{password_of(user, parts.password or '')}"
    return parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}").geturl()
