"""
An attempt's clock: it runs to an end, stands still in a pause, and gets extra time. Pure (spec.md D-2, P-4).

While it stands, `expires_at` already counts the longest that the pause may last. So whoever looks at
`expires_at` alone is right: nothing ends the attempt sooner, and the clock runs again by itself when the
longest pause is over.
"""

from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """When an attempt ends, and its pause: since when, until when at the latest; None while there is none."""

    expires_at: datetime
    paused_at: datetime | None = None
    paused_until: datetime | None = None

    def is_paused(self, now: datetime) -> bool:
        """Tell whether it stands still."""
        return self.paused_until is not None and now < self.paused_until

    def remaining_s(self, now: datetime) -> float:
        """Return the seconds that are left of it, which stay the same in a pause; 0 at the end."""
        since = now if self.paused_until is None else max(now, self.paused_until)
        return max(0.0, (self.expires_at - since).total_seconds())

    def paused(self, now: datetime, *, longest: timedelta, bound: datetime | None) -> "Clock":
        """
        Return it standing still from now on.

        Args:
            now: before its end, and not in a pause.
            longest: that the pause may last.
            bound: past which a pause moves no end; None: there is no such moment.
        """
        return Clock(
            expires_at=_moved(self.expires_at, longest, bound), paused_at=now, paused_until=now + longest
        )

    def resumed(self, now: datetime, *, expires_before: datetime, bound: datetime | None) -> "Clock":
        """Return it running again since the end of its pause; without the pause it would end then."""
        return Clock(expires_at=_moved(expires_before, self.lasted(now), bound))

    def lasted(self, now: datetime) -> timedelta:
        """Return how long its pause has lasted by now: no longer than it might."""
        if self.paused_at is None or self.paused_until is None:
            return timedelta()
        return max(timedelta(), min(now, self.paused_until) - self.paused_at)

    def extended(self, by: timedelta) -> "Clock":
        """Return it with extra time; a pause goes on as it was."""
        return msgspec.structs.replace(self, expires_at=self.expires_at + by)


def _moved(end: datetime, by: timedelta, bound: datetime | None) -> datetime:
    """Return an end moved past a pause: never past the bound, never to sooner."""
    return end + by if bound is None else max(end, min(end + by, bound))


class Row(Protocol):
    """A row of a statement: its columns by name."""

    def __getitem__(self, name: str, /) -> Any: ...  # noqa: ANN401  of any type


def clock_of(row: Row) -> Clock:
    """Return the clock of an attempt's row."""
    return Clock(expires_at=row["expires_at"], paused_at=row["paused_at"], paused_until=row["paused_until"])
