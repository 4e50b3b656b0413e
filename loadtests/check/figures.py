"""
What a run came to: requests, events and latencies out of the clients' own log. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from loadtests.client.log import Acked, Created, Entry, Refused, Sent, Unanswered


class Latency(msgspec.Struct, frozen=True):
    """Time from a request's leaving to its 202, milliseconds; None where no request was answered."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """
    Counts of one run.

    `probes` are requests that only asked how far the server had stored, and are not counted among the others.
    `created`, `acknowledged`, `given_up`, `duplicates` are events, the last those that the server knew
    already; `waits` and `refusals` are replies by code that asked for another try, or for none; `unanswered`
    requests got no reply. `acked_events_per_s` is taken between the first request and the last
    acknowledgement.
    """

    created: int
    acknowledged: int
    given_up: int
    requests: int
    resent: int
    probes: int
    duplicates: int
    unanswered: int
    waits: dict[str, int]
    refusals: dict[str, int]
    latency_ms: Latency
    acked_events_per_s: float


def percentile(ascending: Sequence[float], share: float) -> float | None:
    """Return the value below which `share` (0 to 1) of an ascending list lies; None for an empty one."""
    if not ascending:
        return None
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


def latency(ascending: Sequence[float]) -> Latency:
    """Return the percentiles of an ascending list of milliseconds."""
    return Latency(*(percentile(ascending, share) for share in (0.5, 0.95, 0.99, 1.0)))


def figures(entries: Iterable[Entry]) -> Figures:
    """Fold a log into its figures."""
    waits: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    acknowledged: set[tuple[str, int]] = set()
    left: dict[tuple[int, str], float] = {}
    probing: dict[tuple[int, str], bool] = {}
    furthest: dict[tuple[int, str], int] = {}
    times: list[float] = []
    first_at = last_at = 0.0
    for entry in entries:
        client = (entry.session, entry.instance)
        match entry:
            case Created():
                counts["created"] += 1
            case Sent():
                counts["probes" if entry.probe else "requests"] += 1
                counts["resent"] += not entry.probe and entry.first <= furthest.get(client, 0)
                probing[client] = entry.probe
                furthest[client] = max(furthest.get(client, 0), entry.last)
                left[client] = entry.at
                first_at = first_at or entry.at
            case Acked():
                acknowledged.update((entry.instance, seq) for seq in range(entry.first, entry.last + 1))
                counts["duplicates"] += 0 if probing[client] else entry.duplicates
                times.append((entry.at - left[client]) * 1000)
                last_at = entry.at
            case Unanswered():
                counts["unanswered"] += 1
            case Refused():
                (refusals if entry.final else waits)[entry.code or str(entry.status)] += 1
                counts["given_up"] += (entry.last - entry.first + 1) * entry.final
    return Figures(
        created=counts["created"],
        acknowledged=len(acknowledged),
        given_up=counts["given_up"],
        requests=counts["requests"],
        resent=counts["resent"],
        probes=counts["probes"],
        duplicates=counts["duplicates"],
        unanswered=counts["unanswered"],
        waits=dict(waits),
        refusals=dict(refusals),
        latency_ms=latency(sorted(times)),
        acked_events_per_s=len(acknowledged) / (last_at - first_at) if last_at > first_at else 0.0,
    )
