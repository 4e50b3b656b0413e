"""
Password hashing off the event loop: a few threads, a bounded queue, fair shares of it (spec.md A-1).

bcrypt at 12 rounds takes a quarter of a second of one core and releases the interpreter lock while it works.
The threads are nicer than the event loop, so that whoever answers requests comes first where cores are few.

Who waits holds a place. Nobody holds more than a share of them, by account and address, by account, and by
address: however many sign-ins a few accounts send, with whatever passwords, the next one's turn comes soon.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import bcrypt
from aiohttp import web

from core_api.cases import Part
from core_api.identity.throttle import LIMITS, Source
from kernel import spelling
from kernel.errors import RateLimitedError
from kernel.running.runtime import LOGINS_THROTTLED
from kernel.running.threads import give_way

# bcrypt reads no further, and refuses more.
PASSWORD_BYTES_MAX: Final = 72
RETRY_AFTER_S: Final = 2


def hash_password(password: str, rounds: int) -> str:
    """
    Return the bcrypt hash as text (`$2b$…`).

    Raises:
        ValueError: over 72 bytes as UTF-8.
    """
    encoded = password.encode()
    if len(encoded) > PASSWORD_BYTES_MAX:
        message = f"a password may have {PASSWORD_BYTES_MAX} bytes at most"
        raise ValueError(message)
    return bcrypt.hashpw(encoded, bcrypt.gensalt(rounds)).decode()


def _matches(password: str, stored: str) -> bool:
    """
    Compare at the full cost of `stored`, also where the password is too long to be anybody's.

    Where a password has two spellings, both are tried: what was hashed before there was one stays good.
    """
    equal = False
    for spelt in spelling.passwords(password):
        encoded = spelt.encode()
        same = bcrypt.checkpw(encoded[:PASSWORD_BYTES_MAX], stored.encode())
        equal |= same and len(encoded) <= PASSWORD_BYTES_MAX
    return equal


class PasswordChecker:
    """Hashing threads with a bounded queue; past the bound a check is refused at once."""

    def __init__(
        self, *, rounds: int, waiting_max: int, pair_places: int, account_share: float, network_share: float
    ) -> None:
        """
        Start no thread yet.

        Args:
            rounds: the cost, also of accounts that do not exist.
            waiting_max: places beyond those that are hashed for at the moment.
            pair_places: places for one account from one address.
            account_share: share of all places for one account from anywhere, 0 to 1.
            network_share: share of all places for one address that is not exempt, 0 to 1.
        """
        # One core stays with the event loop, so that a storm of sign-ins costs the other routes little.
        self._threads = max(1, (os.cpu_count() or 1) - 1)
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="bcrypt", initializer=give_way)
        self._inside_max = self._threads + waiting_max
        self._pair_places = pair_places
        self._account_places = max(pair_places, int(account_share * self._inside_max))
        self._network_places = max(pair_places, int(network_share * self._inside_max))
        self._held: Counter[Hashable] = Counter()
        self._rounds = rounds
        self._nobody = hash_password("nobody has this password", rounds)

    @contextmanager
    def place(self, source: Source) -> Iterator[None]:
        """
        Take a place in the queue for one sign-in.

        Raises:
            RateLimitedError: as many as are allowed wait already, at all or of this account or address.
        """
        shares: list[tuple[Hashable, int]] = [
            (None, self._inside_max),
            ((source.network, source.account), self._pair_places),
            (source.account, self._account_places),
        ]
        if not source.exempt:
            shares.append((source.network, self._network_places))
        if any(self._held[key] >= most for key, most in shares):
            LOGINS_THROTTLED.labels("queue").inc()
            raise RateLimitedError("Too many sign in at once; try again soon.", retry_after_s=RETRY_AFTER_S)
        keys = [key for key, _ in shares]
        self._held.update(keys)
        try:
            yield
        finally:
            self._held.subtract(keys)
            for key in keys:
                if not self._held[key]:
                    del self._held[key]

    async def matches(self, password: str, stored: str | None) -> bool:
        """
        Tell whether the password is the stored one; without a stored hash spend the same time and say no.
        """
        loop = asyncio.get_running_loop()
        equal = await loop.run_in_executor(self._executor, _matches, password, stored or self._nobody)
        return equal and stored is not None

    async def hash(self, password: str) -> str:
        """Return a new password's hash; raises ValueError over 72 bytes as UTF-8."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, hash_password, password, self._rounds)

    def close(self) -> None:
        """End the threads; checks that still wait are dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)


CHECKER: Final = web.AppKey("checker", PasswordChecker)
# What of a request goes to a use case that hashes a password, by the names of its parameters.
HASHING: Final[dict[str, Part]] = {
    "checker": lambda request: request.app[CHECKER],
    "limits": lambda request: request.app[LIMITS],
}
