"""
The states of a remediation, and which follows which: as the trigger `move_remediation` has them. Pure.
"""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """
    A draft changes nothing. From `applying` on, whatever is scored is scored by the new key; once it is
    `applied`, every submission from before is.
    """

    draft = "draft"
    applying = "applying"
    applied = "applied"
    cancelled = "cancelled"


MOVES: Final = frozenset(
    {
        (Status.draft, Status.applying),
        (Status.draft, Status.cancelled),
        (Status.applying, Status.applied),
    }
)
