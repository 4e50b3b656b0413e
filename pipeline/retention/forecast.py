"""What a sweep would take now, and what it would leave and why, by the sweep's own statement."""

from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from sql import named
from sql.running import Connection, rows

RETENTION: Final = named("retention")


class Foreseen(Struct, frozen=True, kw_only=True):
    """
    What of one organisation is past its policy of so many `days`, and may go where `why` is None; else why
    it stays. Of events `pieces` are sessions and `total` is how many rows they have, of evidence files and
    bytes, of submissions how many and bytes of text, of runtime attempts and saved answers, of people both
    are how many.
    """

    organisation_id: UUID
    what: str
    days: int
    why: str | None
    pieces: int
    total: int
    oldest: datetime
    newest: datetime


def forecast(conn: Connection, *, now: datetime, organisation_id: UUID | None = None) -> list[Foreseen]:
    """Return what is past its policy, of one organisation or of all."""
    return [Foreseen(**row) for row in rows(conn, RETENTION["forecast"], organisation_id, now)]
