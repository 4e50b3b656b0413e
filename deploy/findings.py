"""What `veritas doctor` finds and what a tier says of itself; and the check of open files."""

import re
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import msgspec

from deploy.local.stack import Local
from kernel.process import FILES_KEPT, files_needed, raise_file_limit
from kernel.settings import Settings

CONNECT_S: Final = 3


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check: what was looked at, what was found, how to mend it. `required`: nothing works without it."""

    check: str
    ok: bool
    found: str
    mend: str = ""
    required: bool = True


class Health(msgspec.Struct, frozen=True):
    """What /readyz says: sentences of what keeps a tier from working, and of what part of it does not."""

    wrong: list[str] = []
    degraded: list[str] = []


def open_files(settings: Settings, local: Local | None) -> Iterator[Finding]:
    """Compare how many files may be open with what the settings come to, here and in each running tier."""
    needed, limit = files_needed(settings), raise_file_limit()
    mend = "raise the hard limit: `ulimit -Hn`, LimitNOFILE= of the unit"
    yield Finding(
        check="open files",
        ok=limit >= needed,
        found=f"{limit:,} allowed, {needed:,} needed by a process that serves HTTP",
        mend=f"{mend}, or lower VERITAS_HTTP_CONNECTIONS_MAX",
        required=False,
    )
    for name, address in local.metrics.items() if local else ():
        used, limit = _files_of(address)
        yield Finding(
            check=f"open files of {name}",
            ok=used is not None and used + FILES_KEPT <= limit and limit >= needed,
            found=f"{used:,} of {limit:,}" if used is not None else "not told",
            mend=mend,
            required=False,
        )


def _files_of(metrics_url: str) -> tuple[int | None, int]:
    """Return how many files a tier has open and may have, as its metrics say; None where they do not."""
    told = {}
    with suppress(OSError), urllib.request.urlopen(metrics_url, timeout=CONNECT_S) as reply:  # noqa: S310
        told = dict(re.findall(r"^process_(open|max)_fds (\S+)$", reply.read().decode(), re.MULTILINE))
    return (int(float(told["open"])), int(float(told["max"]))) if len(told) == 2 else (None, 0)


def promises(server: str, found: dict[str, str], wanted: dict[str, str]) -> Iterator[Finding]:
    """Compare the settings that "acknowledged means kept" rests on."""
    wrong = {name: found.get(name) for name, value in wanted.items() if found.get(name) != value}
    yield Finding(
        check=f"{server} durability",
        ok=not wrong,
        found=", ".join(f"{name}={found.get(name)}" for name in (wrong or wanted)),
        mend="set " + ", ".join(f"{name}={wanted[name]}" for name in wrong),
    )
