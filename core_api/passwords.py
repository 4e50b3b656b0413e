"""
Password hashing off the event loop: a few threads, a bounded queue (spec.md A-1).

bcrypt at 12 rounds takes a quarter of a second of one core and releases the interpreter lock while it works.
The threads are nicer than the event loop, so that whoever answers requests comes first where cores are few.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import bcrypt

from kernel.errors import RateLimitedError

# bcrypt reads no further, and refuses more.
PASSWORD_BYTES_MAX: Final = 72
RETRY_AFTER_S: Final = 2
NICENESS: Final = 10


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
    """Compare at the full cost of `stored`, also where the password is too long to be anybody's."""
    encoded = password.encode()
    equal = bcrypt.checkpw(encoded[:PASSWORD_BYTES_MAX], stored.encode())
    return equal and len(encoded) <= PASSWORD_BYTES_MAX


def _give_way() -> None:
    """Make the calling thread nicer; elsewhere than on Linux niceness is the whole process's."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


class PasswordChecker:
    """Hashing threads with a bounded queue; past the bound a check is refused at once."""

    def __init__(self, *, rounds: int, waiting_max: int) -> None:
        """Start no thread yet; `rounds` is the cost spent on accounts that do not exist."""
        # One core stays with the event loop, so that a storm of sign-ins costs the other routes little.
        self._threads = max(1, (os.cpu_count() or 1) - 1)
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="bcrypt", initializer=_give_way)
        self._inside_max = self._threads + waiting_max
        self._inside = 0
        self._rounds = rounds
        self._nobody = hash_password("nobody has this password", rounds)

    @contextmanager
    def place(self) -> Iterator[None]:
        """
        Take a place in the queue for one sign-in.

        Raises:
            RateLimitedError: as many as are allowed wait already.
        """
        if self._inside >= self._inside_max:
            raise RateLimitedError("Too many sign-ins at once.", retry_after_s=RETRY_AFTER_S)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

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
