"""
A submission by another key: the points of what the key has changed, and what all of them come to. Pure.

What did not change keeps its points to the hundredth, whichever version of the scoring gave them: a
remediation moves what it names, and nothing else. An answer in words that is kept no longer keeps its share
of the points.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import asyncpg
import msgspec

from core_api.authoring.items import KeyedItem, Response
from core_api.authoring.published import Current
from core_api.submissions import scoring
from core_api.submissions.scoring import Given, Totals
from core_api.wire import computed_as


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a submission came to; score, percentage and passed are None while anything waits for a grader."""

    points: Decimal
    max_points: Decimal
    score: Decimal | None
    percentage: Decimal | None
    passed: bool | None


class Rescored(msgspec.Struct, frozen=True, kw_only=True):
    """A submission by the new key, beside what it came to `before`, and the points that people gave."""

    before: Outcome
    totals: Totals
    given: Mapping[int, Given]

    @property
    def is_changed(self) -> bool:
        """Tell whether the result is another one."""
        return any(
            getattr(self.before, each) != getattr(self.totals, each) for each in Outcome.__struct_fields__
        )

    @property
    def passes_now(self) -> bool:
        """Tell whether it had failed, and passes."""
        return self.before.passed is False and self.totals.passed is True

    @property
    def fails_now(self) -> bool:
        """Tell whether it had passed, and fails."""
        return self.before.passed is True and self.totals.passed is False


def rescored(row: asyncpg.Record, current: Current, positions: Sequence[int]) -> Rescored:
    """
    Return what a submission comes to by another key.

    Args:
        row: of `read_batch`, as the submission is scored now.
        current: the new key.
        positions: of what it scores otherwise than the one before.

    Raises:
        StoredSpoiltError: what is stored of it cannot be read.
    """
    given = computed_as(row["given"], dict[int, Given], "points that were given", strict=False)
    responses = computed_as(row["responses"], dict[int, Response], "an answer", strict=False)
    scale = {"max_score": Decimal(row["max_score"]), "passing_score": Decimal(row["passing_score"])}
    gone = computed_as(row["gone"], dict[int, Given], "points that stand", strict=False)
    before = computed_as(row["item_points"], dict[int, Decimal | None], "a score", strict=False)
    changed = by_key(before, current.by_position, positions, responses, gone | given)
    totals = scoring.summed(current.items, changed, **scale)
    return Rescored(before=_outcome(row), totals=totals, given=given)


def by_key(
    before: Mapping[int, Decimal | None],
    items: Mapping[int, KeyedItem],
    positions: Sequence[int],
    responses: Mapping[int, Response],
    given: Mapping[int, Given],
) -> dict[int, Decimal | None]:
    """Return points by position: as they were, but for what these positions are scored anew."""
    anew = {at: scoring.item_points(items[at], responses.get(at), given.get(at)) for at in positions}
    return {**before, **anew}


def _outcome(row: asyncpg.Record) -> Outcome:
    decimals = {
        each: None if row[each] is None else Decimal(row[each])
        for each in ("points", "max_points", "score", "percentage")
    }
    return msgspec.convert({**decimals, "passed": row["passed"]}, Outcome)
