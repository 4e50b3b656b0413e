"""
Which group a candidate of a file belongs to.
"""

from typing import Final

from kernel.files.findings import Kind, RowError
from kernel.files.values import Row
from kernel.values import wrong_text

NAME_MAX: Final = 100


def group_in(row: Row, column: str | None, before: str | None) -> str | None:
    """Return the group that a row of a result names, or the one of before; raises RowError if they differ."""
    value = None if column is None else row.get(column)
    name = "" if value is None else str(value).strip()
    if not name:
        return before
    wrong = wrong_text(name)
    if wrong is None and ("\n" in name or len(name) > NAME_MAX):
        wrong = f"it is longer than a line of {NAME_MAX} characters"
    if wrong is None and before not in {None, name}:
        wrong = f"an earlier row of this result says {before!r}"
    if wrong is not None:
        raise RowError(Kind.unusable_text, f"no group of the candidate: {wrong}", column)
    return name
