"""
How much each account may ask for: a bound in front of the work, not behind it (spec.md I-4). Pure.

Bytes that a candidate may have decoded (the rate of events is bounded behind that, and a body of kilobytes
may unpack to megabytes), requests that somebody who is signed in may send, bodies of an address of which
nobody knows yet who sends them. Each process keeps its own.
"""

from typing import Final

from kernel.errors import RateLimitedError

ACCOUNTS_REMEMBERED_MAX: Final = 100_000


class Meter:
    """A virtual clock per account (GCRA): it may run ahead of the real one by the burst, and no further."""

    def __init__(
        self,
        units_per_s: float,
        burst_units: float,
        *,
        refusal: str,
        accounts_max: int = ACCOUNTS_REMEMBERED_MAX,
    ) -> None:
        """
        Start with every account empty.

        Args:
            units_per_s: what an account may use up in the long run.
            burst_units: what it may use up at once.
            refusal: the sentence for whoever is over it.
            accounts_max: beyond so many, settled ones are forgotten.
        """
        self._accounts_max = accounts_max
        self._refusal = refusal
        self._unit_s = 1 / units_per_s
        self._burst_s = burst_units / units_per_s
        self._paid_until: dict[str, float] = {}

    def check(self, account: str, now_s: float) -> None:
        """
        Raise RateLimitedError, with the time to wait, when the account's burst is used up.

        Args:
            account: whose.
            now_s: seconds of a clock that never runs backwards.
        """
        over = self._paid_until.get(account, 0.0) - now_s - self._burst_s
        if over > 0:
            raise RateLimitedError(self._refusal, retry_after_s=int(over) + 1)

    def charge(self, account: str, units: float, now_s: float) -> None:
        """
        Write `units` down to the account.

        Raises:
            RateLimitedError: as `check` does: what arrives at once is not done all the same.
        """
        if len(self._paid_until) >= self._accounts_max:
            self._paid_until = {who: until for who, until in self._paid_until.items() if until > now_s}
        self._paid_until[account] = max(self._paid_until.get(account, 0.0), now_s) + units * self._unit_s
        self.check(account, now_s)

    def spend(self, account: str, now_s: float) -> None:
        """
        Write one unit down where the account has room for it; what is refused costs nothing.

        Raises:
            RateLimitedError: it has none.
        """
        before = self._paid_until.get(account, 0.0)
        try:
            self.charge(account, 1, now_s)
        except RateLimitedError:
            self._paid_until[account] = before
            raise

    def give_back(self, account: str) -> None:
        """Take back one unit that was written down."""
        self._paid_until[account] = self._paid_until.get(account, 0.0) - self._unit_s
