"""What came of the requests: counts by operation and role, and whatever was wrong, each kind of it once."""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from rich.console import Console
from rich.table import Table
from schemathesis import Response

from kernel.access import ACCESS
from kernel.events import Role
from kernel.http.web import Route

REPLY_CHARS_MAX: Final = 800
# Replies that came before anything was looked at: who asks, what of, with which values.
EARLY: Final = (400, 401, 403, 404, 422)


class Report:
    """Replies by operation, role and status; faults by operation and kind, the first of each."""

    def __init__(self) -> None:
        self.statuses: dict[str, Counter[tuple[str | None, int]]] = defaultdict(Counter)
        self.faults: dict[tuple[str, str], str] = {}
        self.routes: dict[str, Route] = {}

    @property
    def requests(self) -> int:
        return sum(counted.total() for counted in self.statuses.values())

    def count(self, route: Route, role: str | None, status: int) -> None:
        self.routes[label(route)] = route
        self.statuses[label(route)][role, status] += 1

    def fault(self, route: Route, role: str | None, response: Response, what: str, command: str) -> None:
        """Note what is wrong with a reply."""
        kind = f"{response.status_code} {what.splitlines()[0]} {' '.join(what.split())[:160]}"
        if (label(route), kind) not in self.faults:
            text = f"{label(route)} as {role}: {what}\n{command}\n{response.text[:REPLY_CHARS_MAX]}"
            self.faults[label(route), kind] = text
            print(text, file=sys.stderr, flush=True)  # noqa: T201  a run may take long

    def never_done(self) -> set[str]:
        """Return the operations that nobody got a 2xx of."""
        return {
            name for name, counted in self.statuses.items() if not any(status < 300 for _, status in counted)
        }

    def told(self) -> str:
        """Return the faults as a text to read."""
        return "\n\n".join(self.faults.values())

    def show(self, console: Console) -> None:
        """Print what share of each operation's requests got how far, of those whose role may ask for it."""
        table = Table("operation", title="Replies to those whose role may ask")
        columns = ("requests", "2xx", "409", "404", "400, 422", "401, 403", "other", "past these")
        for column in columns:
            table.add_column(column, justify="right")
        for name, counted in sorted(self.statuses.items()):
            mine = Counter[int]()
            for (role, status), many in counted.items():
                if may(self.routes[name], role):
                    mine[status] += many
            table.add_row(name, *_cells(mine))
        console.print(table)
        done = len(self.statuses) - len(self.never_done())
        console.print(
            f"{self.requests:,} requests; {done} of {len(self.statuses)} operations were done for somebody."
            f" Not once: {', '.join(sorted(self.never_done())) or 'none'}."
        )


def label(route: Route) -> str:
    return f"{route.method} {route.path}"


def may(route: Route, role: str | None) -> bool:
    """Tell whether the access table has an entry for the role."""
    return route.action is None or (role is not None and Role(role) in ACCESS[route.action])


def _cells(counted: Counter[int]) -> Iterable[str]:
    total = counted.total()
    groups = ((200, 201, 202, 204), (409,), (404,), (400, 422), (401, 403))
    seen = [sum(counted[status] for status in group) for group in groups]
    past = total - sum(counted[status] for status in EARLY)
    return (f"{total:,}", *map(str, seen), str(total - sum(seen)), f"{past / max(total, 1):.0%}")
