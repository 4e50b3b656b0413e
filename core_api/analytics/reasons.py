"""
Why a number is what it is, as it was projected with it.
"""

from typing import Any

import msgspec


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """
    What makes a number up, or stands out in it: its value, the bar that it is held to, of how many, and in a
    sentence.
    """

    code: str
    value: float
    threshold: float
    n: int
    text: str


def reasons_in(column: Any) -> list[Reason]:  # noqa: ANN401  JSON
    """Return the reasons in a column of them; none where it is null."""
    return msgspec.convert(column or [], list[Reason], strict=False)
