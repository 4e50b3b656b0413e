"""
The object stores as this process uses them: in a few threads, so that nobody else waits for a disk or a hash.
"""

import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Final, ParamSpec, TypeVar

import structlog
from aiohttp import web

from core_api.evidence.media import HEAD_BYTES
from kernel.errors import OverloadedError, UnavailableError
from kernel.http.web import SETTINGS
from kernel.settings import Settings
from kernel.storage.local import LocalStore
from kernel.storage.opening import STORE_FAILS, open_tiers
from kernel.storage.stores import MissingObjectError, Store

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 2  # that write and hash what arrives, and as many that read what is fetched
STORED_AT_ONCE: Final = 2  # connections of those who send: they leave the others to everybody else
TAKEN_AT_ONCE: Final = 4  # bodies that are read on; the others wait in their senders' sockets
RETRY_S: Final = 2
AWAY_RETRY_S: Final = 30  # until a store that is away or full may be tried again
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

log = structlog.get_logger(__name__)


class NoFileError(UnavailableError):
    """An object is in no store."""


class Storage:
    """The stores by tier, the threads that work on them, and how many uploads there are."""

    def __init__(self, settings: Settings) -> None:
        """Open the stores; raises ValueError where an address is none."""
        self.settings = settings
        self.tiers = open_tiers(settings)
        self.taking = asyncio.Semaphore(TAKEN_AT_ONCE)
        self._storing = asyncio.Semaphore(STORED_AT_ONCE)
        self._writing = ThreadPoolExecutor(THREADS, "evidence-writing")
        self._reading = ThreadPoolExecutor(THREADS, "evidence-reading")
        self._uploads = self._senders = 0

    @property
    def hot(self) -> Store:
        """The store that takes what arrives."""
        return self.tiers["hot"]

    @property
    def folder(self) -> LocalStore | None:
        """The folder that takes what arrives, where uploads come through us."""
        return self.hot if isinstance(self.hot, LocalStore) else None

    @contextmanager
    def one_upload(self) -> Iterator[None]:
        """Count an upload; raises OverloadedError where there are as many as may be."""
        if self._uploads >= self.settings.evidence_uploads_max:
            raise OverloadedError(
                "Too many uploads at the moment; nothing was stored.", retry_after_s=RETRY_S
            )
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    @asynccontextmanager
    async def storing(self) -> AsyncIterator[None]:
        """
        Wait for one's turn at the few connections of those who send.

        Raises:
            OverloadedError: as many wait as may.
        """
        if self._senders >= STORED_AT_ONCE + self.settings.evidence_waiting_max:
            raise OverloadedError(
                "Too many requests about evidence at the moment; nothing was changed.", retry_after_s=RETRY_S
            )
        self._senders += 1
        try:
            async with self._storing:
                yield
        finally:
            self._senders -= 1

    async def write(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Do what writes or hashes in its threads.

        Raises:
            UnavailableError: the store is away, or has no room.
        """
        return await self._run(self._writing, work, *args, **kwargs)

    def later(self, work: Callable[[], None]) -> None:
        """Do it in a thread, waited for by nobody."""
        self._writing.submit(work)

    async def open(self, tier: str, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """
        Return an object's bytes from one on, in pieces; what was moved a moment ago is found where it is now.

        Raises:
            NoFileError: it is in no store.
            UnavailableError: a store is away.
        """
        pieces = await self._read(self._begin, tier, key, start, length)
        return self._pieces(pieces)

    def _begin(self, tier: str, key: str, start: int, length: int) -> Iterator[bytes]:
        for each in sorted(self.tiers, key=lambda name: name != tier):
            try:
                return self.tiers[each].read(key, start, length)
            except MissingObjectError:
                continue
        raise NoFileError("The file cannot be read at the moment.", retry_after_s=RETRY_S)

    async def _pieces(self, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        while (piece := await self._read(next, pieces, None)) is not None:
            yield piece

    async def _read(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(self._reading, work, *args, **kwargs)

    @staticmethod
    async def _run(threads: ThreadPoolExecutor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, lambda: work(*args, **kwargs))
        except STORE_FAILS as error:
            log.warning("evidence_store_fails", error=error)
            has_room = getattr(error, "errno", None) not in NO_ROOM
            why = "cannot be reached" if has_room else "has no room"
            raise UnavailableError(
                f"The store of evidence {why} at the moment; nothing was done. Try it again later.",
                retry_after_s=AWAY_RETRY_S,
            ) from error

    def close(self) -> None:
        """Let the threads end after what they are at."""
        self._writing.shutdown()
        self._reading.shutdown()


class Read:
    """What a file's bytes were, as they went by: its beginning, its size, its hash."""

    def __init__(self) -> None:
        """Begin with none."""
        self.head = b""
        self.size_bytes = 0
        self._hash = hashlib.sha256()

    def take(self, piece: bytes) -> None:
        """Take the next ones."""
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + piece)[:HEAD_BYTES]
        self.size_bytes += len(piece)
        self._hash.update(piece)

    @property
    def sha256(self) -> bytes:
        """The hash of all of them."""
        return self._hash.digest()


def read_back(store: Store, key: str, bytes_max: int) -> Read:
    """Read an object through, up to a byte more than it may have; raises MissingObjectError."""
    read = Read()
    for piece in store.read(key):
        read.take(piece)
        if read.size_bytes > bytes_max:
            break
    return read


STORAGE: Final = web.AppKey("storage", Storage)


async def keep_storage(app: web.Application) -> AsyncIterator[None]:
    """Have the stores open while the application runs."""
    app[STORAGE] = storage = Storage(app[SETTINGS])
    yield
    await asyncio.to_thread(storage.close)
