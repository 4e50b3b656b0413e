"""
What was taken back before its time, the asking side: known in every process within moments, looked up without
a round trip. `core_api.identity.revoking` is the writing side.

Redis holds one sorted set of revocations, scored by the second at which the tokens they concern expire
anyway, and announces each new one. A process reads the set whole when it connects, then listens; `check`
looks into a dict of its own. PostgreSQL has the truth, and a Redis that forgot is told again. Source:
spec.md A-2.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import structlog
from aiohttp import web
from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from kernel.errors import NotAuthenticatedError, UnavailableError
from kernel.events import Role
from kernel.http.web import SETTINGS
from kernel.running.runtime import REVOCATIONS_FRESH, REVOCATIONS_HELD
from kernel.running.tasks import WATCH
from kernel.settings import Settings
from kernel.tokens import Claims

log = structlog.get_logger(__name__)

KEY: Final = "veritas:revoked"  # sorted set: "<user id> <mark>", scored by expiry in seconds since 1970
CHANNEL: Final = "veritas:revoked"  # "<expiry> <user id> <mark>"
# Whoever can see or change others' rows is refused while nobody can say whether their token still holds.
PRIVILEGED: Final = frozenset({Role.teacher, Role.reviewer, Role.observer, Role.admin})
BEAT_S: Final = 1.0
BEATS_UNHEARD_MAX: Final = 3  # of ours, so that a process that stood still itself has not heard silence
SILENCE_S_MAX: Final = BEATS_UNHEARD_MAX * BEAT_S
START_S: Final = 2.0
RECONNECT_S: Final = 0.2
PRUNE_S: Final = 60.0
CHUNK: Final = 1000
AWAY: Final = (RedisError, OSError, TimeoutError)
# Added and announced in one step, so that nothing is in the set that a listener was not told.
_PUBLISH: Final = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
for i = 3, #ARGV, 2 do
  if redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('PUBLISH', ARGV[2], ARGV[i] .. ' ' .. ARGV[i + 1])
  end
end
"""


class Revocation(Struct, frozen=True):
    """
    One thing taken back.

    `mark` is the id of a token or of a login (`Claims.jti`, `Claims.login`), or `<n`: every token of the user
    from before generation n. `expires_at`, in seconds since 1970, is when the tokens are dead of themselves.
    """

    user_id: str
    mark: str
    expires_at: int


def before(generation: int) -> str:
    """Return the mark that voids every token from before this generation."""
    return f"<{generation}"


class _Marks(Struct):
    """What one user has lost: generations below `generation`, and ids with their expiry."""

    generation: int = 0
    until: int = 0
    ids: dict[str, int] = {}

    def add(self, mark: str, expires_at: int) -> None:
        if mark.startswith("<"):
            self.generation = max(self.generation, int(mark[1:]))
        else:
            self.ids[mark] = expires_at
        self.until = max(self.until, expires_at)


class Revocations:
    """This process's copy; `check` is one look-up. Without contact to Redis the copy stays as it was."""

    def __init__(self, url: str) -> None:
        """Remember where Redis is; `watch` connects. Without an address the copy is never fresh."""
        self.fresh = False
        self.connected = asyncio.Event()  # set at each connection; whoever can tell Redis more clears it
        self._url = url
        self._loaded = asyncio.Event()
        self._by_user: dict[str, _Marks] = {}

    def check(self, claims: Claims) -> None:
        """
        Check that the token still holds.

        Raises:
            NotAuthenticatedError: it was taken back.
            UnavailableError: nobody can say at the moment, and the role may reach others' rows.
        """
        marks = self._by_user.get(claims.user_id)
        if marks is not None and (
            claims.generation < marks.generation or claims.jti in marks.ids or claims.login in marks.ids
        ):
            raise NotAuthenticatedError("You were signed out; sign in again.")
        if not self.fresh and claims.role in PRIVILEGED:
            raise UnavailableError("Your sign-in cannot be checked now; nothing was done.", retry_after_s=2)

    async def ready(self) -> str | None:
        """Return a sentence for /readyz until the revocations were read once."""
        return None if self._loaded.is_set() else "revoked tokens are not known yet: Redis does not answer"

    async def wait(self, seconds: float) -> None:
        """Wait until the revocations were read once, or so long: candidates are served without Redis too."""
        if self._url:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._loaded.wait(), seconds)

    async def publish(self, revocations: Sequence[Revocation]) -> bool:
        """Take them in here and tell every process; False when Redis did not take them."""
        self._add((each.user_id, each.mark, each.expires_at) for each in revocations)
        if not self._url:
            return False
        try:
            async with self._redis() as redis:
                for start in range(0, len(revocations), CHUNK):
                    some = revocations[start : start + CHUNK]
                    pairs = [part for each in some for part in (each.expires_at, _member(each))]
                    await redis.eval(_PUBLISH, 1, KEY, int(time.time()), CHANNEL, *pairs)
        except AWAY as error:
            log.warning("revocations_not_published", count=len(revocations), error=error)
            return False
        return True

    async def watch(self) -> None:
        """Keep the copy up to date until cancelled; whatever fails is begun anew."""
        if not self._url:
            await asyncio.Event().wait()  # there is no Redis to listen to
        while True:
            try:
                async with self._redis() as redis, redis.pubsub() as channel:
                    await _subscribe(channel)
                    await self._load(redis)
                    self._be(fresh=True)
                    self.connected.set()
                    await self._listen(channel)
            except (*AWAY, ValueError) as error:
                if self.fresh:
                    log.warning("revocations_stale", error=error)
            finally:
                self._be(fresh=False)
            await asyncio.sleep(RECONNECT_S)

    def _be(self, *, fresh: bool) -> None:
        self.fresh = fresh
        REVOCATIONS_FRESH.set(fresh)

    def _redis(self) -> Redis:
        return Redis.from_url(
            self._url,
            decode_responses=True,
            protocol=2,
            driver_info=None,  # CLIENT SETINFO is no command of a tier's
            socket_timeout=SILENCE_S_MAX,
            socket_connect_timeout=SILENCE_S_MAX,
            retry=Retry(NoBackoff(), 0),
        )

    async def _load(self, redis: Redis) -> None:
        found: list[Any] = await redis.zrange(KEY, int(time.time()), "+inf", byscore=True, withscores=True)
        self._add((*member.split(" "), int(expiry)) for member, expiry in found)
        self._loaded.set()

    async def _listen(self, channel: PubSub) -> None:
        """Take in what is announced; raise TimeoutError when several pings in a row get no answer."""
        loop = asyncio.get_running_loop()
        asked = pruned = loop.time()
        unheard = 0
        while True:
            message = await channel.get_message(timeout=BEAT_S)
            now = loop.time()
            unheard = unheard + 1 if message is None else 0
            if message is not None and message["type"] == "message":
                expiry, user_id, mark = message["data"].split(" ")
                self._add([(user_id, mark, int(expiry))])
            if unheard >= BEATS_UNHEARD_MAX:
                raise TimeoutError("Redis is silent")
            if now - asked >= BEAT_S:
                asked = now
                await channel.ping()
            if now - pruned > PRUNE_S:
                pruned = now
                self._prune(int(time.time()))

    def _add(self, revocations: Iterable[tuple[Any, ...]]) -> None:
        for user_id, mark, expires_at in revocations:
            self._by_user.setdefault(user_id, _Marks()).add(mark, expires_at)
        REVOCATIONS_HELD.set(len(self._by_user))

    def _prune(self, now: int) -> None:
        self._by_user = {user: marks for user, marks in self._by_user.items() if marks.until > now}
        REVOCATIONS_HELD.set(len(self._by_user))


def _member(revocation: Revocation) -> str:
    return f"{revocation.user_id} {revocation.mark}"


async def _subscribe(channel: PubSub) -> None:
    """Subscribe and wait until Redis says so: what is announced from then on is heard."""
    await channel.subscribe(CHANNEL)
    async with asyncio.timeout(SILENCE_S_MAX):
        while True:
            message = await channel.get_message(timeout=BEAT_S)
            if message is not None and message["type"] == "subscribe":
                return


REVOCATIONS: Final = web.AppKey("revocations", Revocations)


def attach_revocations(app: web.Application) -> Revocations:
    """Let the application carry its copy, once, whoever of those composed into it asks."""
    if REVOCATIONS not in app:
        settings: Settings = app[SETTINGS]
        app[REVOCATIONS] = Revocations(settings.redis_url)
        app.cleanup_ctx.append(_watching)
    return app[REVOCATIONS]


async def _watching(app: web.Application) -> AsyncIterator[None]:
    async with app[WATCH].kept(("revocations", app[REVOCATIONS].watch)):
        await app[REVOCATIONS].wait(START_S)
        yield
