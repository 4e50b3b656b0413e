"""
What every process of ours does first: take all open files that it may have, and close its own to others.

A connection, a file, a link to a server is one descriptor each. Systems start programs with 1,024 of them and
allow many more; whoever serves an exam of 10,000 needs them.
"""

import contextlib
import ctypes
import os
import resource
from typing import Final

from kernel.settings import Settings

FILES_MAX: Final = 1 << 20  # more serves nobody, and some programs walk through all that they may have
FILES_KEPT: Final = 96  # for what is neither client's, pool's nor Redis' connection: files, refusals
LARGE_BYTES: Final = 128 << 10  # of a block that is given back once it is free
_MMAP_THRESHOLD: Final = -3  # M_MMAP_THRESHOLD, <malloc.h>
UMASK: Final = 0o027  # what we write is for its owner, and for its group to read


def prepare_process() -> None:
    """Raise the soft limit of open files to the hard one, and close what is written to other accounts."""
    os.umask(UMASK)
    raise_file_limit()


def raise_file_limit() -> int:
    """Raise this process's soft limit of open files as far as it may; return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return FILES_MAX if soft == resource.RLIM_INFINITY else soft


def give_large_blocks_back() -> None:
    """
    Let the system have large blocks of memory again as soon as they are free.

    glibc begins so, and stops at the first one that is freed: from then on what bodies leave lies scattered
    over the heap, and a process stays as large as its busiest minute. Elsewhere nothing happens.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, LARGE_BYTES)


def files_beside_clients(settings: Settings) -> int:
    """Return how many open files a process keeps for what is not a client's connection."""
    pools = 2 if settings.ingest_database_url else 1
    return pools * settings.pool_connections_max + settings.redis_connections + FILES_KEPT


def files_needed(settings: Settings) -> int:
    """Return how many open files a process that serves HTTP may come to with these settings."""
    return settings.http_connections_max + files_beside_clients(settings)


def connections_allowed(settings: Settings, limit: int) -> int:
    """Return how many clients' connections a process takes: its setting's, or what its limit leaves."""
    return max(1, min(settings.http_connections_max, limit - files_beside_clients(settings)))
