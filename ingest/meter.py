"""
How many bytes each candidate may have decoded: a bound in front of the work, not behind it (spec.md I-4).

The rate of events is bounded in Redis, after a body was decoded and checked. A body of a few kilobytes may
unpack to megabytes, so that whoever sends those would slow everybody down without ever exceeding that rate.
Each process keeps its own account; a service, which sends for many, has none.
"""

from typing import Final

from kernel.errors import RateLimitedError

SENDERS_REMEMBERED_MAX: Final = 100_000


class Meter:
    """A virtual clock per sender (GCRA): it may run ahead of the real one by the burst, and no further."""

    def __init__(self, bytes_per_s: int, burst_bytes: int, senders_max: int = SENDERS_REMEMBERED_MAX) -> None:
        """Start with everybody's account empty; beyond `senders_max` accounts, settled ones are forgotten."""
        self._senders_max = senders_max
        self._byte_s = 1 / bytes_per_s
        self._burst_s = burst_bytes / bytes_per_s
        self._paid_until: dict[str, float] = {}

    def check(self, user: str, now_s: float) -> None:
        """
        Raise RateLimitedError, with the time to wait, when the sender's burst is used up.

        Args:
            user: the candidate.
            now_s: seconds of a clock that never runs backwards.
        """
        over = self._paid_until.get(user, 0.0) - now_s - self._burst_s
        if over > 0:
            raise RateLimitedError(
                "The candidate sends more bytes than it may; nothing was stored.", retry_after_s=int(over) + 1
            )

    def charge(self, user: str, size: int, now_s: float) -> None:
        """
        Write `size` decoded bytes down to the sender's account.

        Raises:
            RateLimitedError: as `check` does: bodies that arrive at once are not decoded all the same.
        """
        if len(self._paid_until) >= self._senders_max:
            self._paid_until = {who: until for who, until in self._paid_until.items() if until > now_s}
        self._paid_until[user] = max(self._paid_until.get(user, 0.0), now_s) + size * self._byte_s
        self.check(user, now_s)
