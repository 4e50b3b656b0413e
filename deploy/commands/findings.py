"""What `veritas doctor` finds and what a tier says of itself; and the check of open files."""

import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPException
from typing import Final

import msgspec

from deploy.local.stack import Local
from kernel.http.networks import http_url
from kernel.running.process import FILES_KEPT, files_needed, raise_file_limit
from kernel.settings import Settings

CONNECT_S: Final = 3
LIVE_LAG_S_MAX: Final = 1.0  # spec.md U-1
LAG: Final = "veritas_live_lag_recent_seconds"
_METRIC: Final = re.compile(r"^(\w+) (\d+(?:\.\d+)?(?:e[+-]?\d+)?)$", re.MULTILINE)  # one without labels


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check: what was looked at, what was found, how to mend it. `required`: nothing works without it."""

    check: str
    ok: bool
    found: str
    mend: str = ""
    required: bool = True


class Health(msgspec.Struct, frozen=True):
    """What /readyz says: sentences of what keeps a tier from working, and of what part of it does not."""

    status: str
    wrong: list[str] = []
    degraded: list[str] = []


def readiness(url: str) -> str:
    """Return `ready`, or what the tier itself says is wrong or works in part only."""
    try:
        status, body = _asked(url)
        health = msgspec.json.decode(body, type=Health)
    except OSError as error:
        return str(error)
    except msgspec.DecodeError:
        return f"answers {status}, and not as a tier does"
    return "; ".join([*health.wrong, *health.degraded]) or "ready"


def metrics_of(url: str) -> dict[str, float]:
    """Return the metrics without labels that a process tells; none where it tells nothing."""
    try:
        _, body = _asked(url)
    except OSError:
        return {}
    return {name: float(value) for name, value in _METRIC.findall(body.decode(errors="replace"))}


def _asked(url: str) -> tuple[int, bytes]:
    """Return the status and body of an address of ours; raises OSError where nobody answers in HTTP."""
    try:
        with urllib.request.urlopen(url, timeout=CONNECT_S) as reply:  # noqa: S310  an address of our own
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except HTTPException as error:
        raise OSError(f"no answer in HTTP ({type(error).__name__})") from error


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
        told = metrics_of(address)
        used, limit = int(told.get("process_open_fds", 0)), int(told.get("process_max_fds", 0))
        yield Finding(
            check=f"open files of {name}",
            ok=used + FILES_KEPT <= limit and limit >= needed,
            found=f"{used:,} of {limit:,}" if limit else "not told",
            mend=mend,
            required=False,
        )


def live(settings: Settings, local: Local | None) -> Iterator[Finding]:
    """Tell who watches and who is connected, and whether what changes has reached them in time lately."""
    metrics = list(local.metrics.values()) if local else []
    metrics.append(f"{http_url(settings.http_host, settings.http_port)}/metrics")
    told = Counter[str]()
    lags = []
    for url in dict.fromkeys(metrics):
        found_there = metrics_of(url)
        told.update(found_there)
        lags += [found_there[LAG]] if LAG in found_there else []  # of the last minute, where there is one
    found = [
        f"{told['veritas_live_watches']:.0f} watches",
        f"{told['veritas_client_sockets']:.0f} sockets of candidates",
        f"changes told after {max(lags):.2f} s at most in the last minute" if lags else "nothing told lately",
        f"{told['veritas_live_dropped_total']:.0f} slow watchers dropped",
    ]
    yield Finding(
        check="live",
        ok=max(lags, default=0.0) <= LIVE_LAG_S_MAX,
        found=", ".join(found),
        mend="give the origin a core more, or start another one beside it",
        required=False,
    )


def promises(server: str, found: dict[str, str], wanted: dict[str, str]) -> Iterator[Finding]:
    """Compare the settings that "acknowledged means kept" rests on."""
    wrong = {name: found.get(name) for name, value in wanted.items() if found.get(name) != value}
    yield Finding(
        check=f"{server} durability",
        ok=not wrong,
        found=", ".join(f"{name}={found.get(name)}" for name in (wrong or wanted)),
        mend="set " + ", ".join(f"{name}={wanted[name]}" for name in wrong),
    )
