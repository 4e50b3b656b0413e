"""
The effective policy of one candidate at one exam. Pure (spec.md E-3).

From the general to the particular: the exam's own values, assignments to the candidate's groups, assignments
to the candidate (and group assignments with an override for them). The rules:

1. An override's values replace those of its own assignment, field by field.
2. A particular assignment that names a value wins over general ones. A window counts as one value: its two
   bounds are never mixed from two assignments.
3. Where several of the same rank name a value, the kinder one holds: the longer duration, more attempts. Of
   several windows, the one that is open now and closes last; else the next to open; else the last to close.
   Only monitoring takes the stricter mode, because it protects the others.
4. Extra time and rule exemptions are accommodations: the largest and the union over everything that applies.
   Nothing that is added can take them away.

The order in which assignments are given does not matter.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

_EVER: Final = datetime.max.replace(tzinfo=UTC)
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an assignment or an override says; None says nothing. `monitoring_mode` 0 is none."""

    opens_at: datetime | None = None
    closes_at: datetime | None = None
    duration_minutes: int | None = None
    extra_minutes: int | None = None
    attempts_allowed: int | None = None
    monitoring_mode: int | None = None
    rule_exemptions: tuple[int, ...] | None = None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """An assignment that reaches the candidate, with their override of it if there is one."""

    to_group: bool
    terms: Terms
    override: Terms | None = None


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What the exam itself says."""

    duration_minutes: int
    monitoring_mode: int
    attempts_allowed: int = 1


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the candidate; stored with the attempt. A window without a bound is open there."""

    opens_at: datetime | None
    closes_at: datetime | None
    duration_minutes: int
    extra_minutes: int
    attempts_allowed: int
    monitoring_mode: int
    rule_exemptions: tuple[int, ...]  # ascending

    def is_open(self, now: datetime) -> bool:
        """Tell whether an attempt may begin."""
        return (self.opens_at or _NEVER) <= now < (self.closes_at or _EVER)

    def expires_at(self, started_at: datetime) -> datetime:
        """
        Return when an attempt begun then ends: after its time, or when the window closes; extra time is added
        to both, so that it is not lost on who starts late.
        """
        extra = timedelta(minutes=self.extra_minutes)
        end = started_at + timedelta(minutes=self.duration_minutes)
        return (end if self.closes_at is None else min(end, self.closes_at)) + extra


def effective(defaults: Defaults, grants: Iterable[Grant], *, now: datetime) -> Policy:
    """
    Return the policy that holds for a candidate.

    Args:
        defaults: of the exam.
        grants: unrevoked assignments that reach the candidate, in any order; none where the exam is open to
            its whole organisation.
        now: chooses among several windows; tz-aware.

    Source: spec.md E-3, and the rules above.
    """
    given = list(grants)
    terms = [_with_override(each) for each in given]
    general = [
        each for each, grant in zip(terms, given, strict=True) if grant.to_group and grant.override is None
    ]
    particular = [
        each
        for each, grant in zip(terms, given, strict=True)
        if not grant.to_group or grant.override is not None
    ]
    opens_at, closes_at = _window(particular, now) or _window(general, now) or (None, None)

    def chosen(of: Callable[[Terms], int | None], default: int) -> int:
        return _greatest(particular, of) or _greatest(general, of) or default

    mode = _greatest(particular, lambda each: each.monitoring_mode)
    if mode is None:
        mode = _greatest(general, lambda each: each.monitoring_mode)
    return Policy(
        opens_at=opens_at,
        closes_at=closes_at,
        duration_minutes=chosen(lambda each: each.duration_minutes, defaults.duration_minutes),
        extra_minutes=_greatest(_said(given), lambda each: each.extra_minutes) or 0,
        attempts_allowed=chosen(lambda each: each.attempts_allowed, defaults.attempts_allowed),
        monitoring_mode=defaults.monitoring_mode if mode is None else mode,
        rule_exemptions=tuple(sorted({rule for each in _said(given) for rule in each.rule_exemptions or ()})),
    )


def _with_override(grant: Grant) -> Terms:
    changes = {} if grant.override is None else msgspec.structs.asdict(grant.override)
    return msgspec.structs.replace(
        grant.terms, **{name: value for name, value in changes.items() if value is not None}
    )


def _said(grants: Sequence[Grant]) -> list[Terms]:
    """Return everything that was said, assignments and overrides alike."""
    return [terms for each in grants for terms in (each.terms, each.override) if terms is not None]


def _greatest(terms: Iterable[Terms], of: Callable[[Terms], int | None]) -> int | None:
    return max((value for each in terms if (value := of(each)) is not None), default=None)


def _window(terms: Iterable[Terms], now: datetime) -> tuple[datetime | None, datetime | None] | None:
    """Return the window that counts now, or None where nobody sets one."""
    windows = [
        (each.opens_at or _NEVER, each.closes_at or _EVER)
        for each in terms
        if each.opens_at is not None or each.closes_at is not None
    ]
    if not windows:
        return None
    opens, closes = max(windows, key=lambda window: _preference(window, now))
    return (None if opens == _NEVER else opens), (None if closes == _EVER else closes)


def _preference(window: tuple[datetime, datetime], now: datetime) -> tuple[int, timedelta, timedelta]:
    """Order windows by rule 3; the last member settles ties, so that the order given cannot."""
    opens, closes = window
    if opens <= now < closes:
        return 2, closes - now, now - opens
    if now < opens:
        return 1, now - opens, closes - now
    return 0, closes - now, now - opens
