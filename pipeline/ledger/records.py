"""
What the ledger says of the rows: each record's, against the newest event about it (spec.md L-1).

An event commits to its record's rows as they stood after the change; which rows those are says
`record_of_<record>` of the migrations, which made the commitment and makes the comparison. Rows that only a
use case writes, and that no event speaks of, are named as well.
"""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from kernel.ledger.event import RECORD
from kernel.ledger.kinds import NUMBERED, PAIRS, RECORDS
from pipeline.ledger.report import Report, lines_of
from sql import named
from sql.running import Connection, run, stream

QUERIES: Final = named("ledger_audit")
NUMBER_DIGITS: Final = 16  # in front of a commitment to a record: which is the newest


def check_records(conn: Connection, report: Report) -> None:
    """Compare every record's rows with what its newest event commits to."""
    kinds = {kind: RECORD + name for kind, name in RECORDS.items() if name is not None}
    pairs, numbered = ([RECORD + name for name in names] for names in (PAIRS, NUMBERED))
    uncompared = 0
    for committed, *row in stream(
        conn, QUERIES["stream_records"], list(kinds), list(kinds.values()), pairs, numbered
    ):
        if committed is None:
            uncompared += 1
        else:
            report.records += 1
            _check_record(report, *row)
    if uncompared:
        report.remarks.append(f"{uncompared} records are not compared: their events record no rows")
    for (name,) in run(conn, QUERIES["list_misnumbered"]):
        report.find(name)
    for (name,) in run(conn, QUERIES["list_unrecorded"]):
        report.find(f"{name}: no event speaks of it")
    for relation, count, first in run(conn, QUERIES["count_unspoken"]):
        report.remarks.append(f"{count} rows of {relation} that no event speaks of, {first} is the first")


def _check_record(
    report: Report,
    event_id: UUID,
    name: str,
    aggregate_id: str,
    subject: UUID | None,
    recorded: str | None,
    found: str | None,
    is_erased: bool,  # noqa: FBT001  the statement's columns
    later: str | None,
) -> None:
    """
    Compare one record's rows; the parameters are the columns of `stream_records`.

    Rows that differ are not wrong, and not proven either, where a release that committed to nothing has
    written a later event about them.
    """
    who = f"{name.removeprefix(RECORD)} {aggregate_id}" + (f" of {subject}" if subject else "")
    where = f"{who}, event {event_id}"
    if found is None:
        report.find(f"{where}: its rows cannot be looked for")
    elif recorded is None and found:
        report.find(f"{where}: its rows are there, what the event recorded of them is not")
    elif recorded is None and not is_erased:
        report.find(f"{where}: it is gone with what the event recorded of it, and no event says why")
    elif recorded is not None:
        for sentence in _differences(lines_of(recorded), lines_of(found)):
            if later is None:
                report.find(f"{where}: {sentence}")
            else:
                report.unproven.append(f"{where}: {sentence}; event {later} is newer and records nothing")


def _differences(recorded: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    """Yield a sentence for each row that differs."""
    for name in sorted(recorded.keys() | found.keys()):
        if name not in found:
            yield f"its row {name} is not there"
        elif name not in recorded:
            yield f"its row {name} was not recorded"
        elif recorded[name] != found[name]:
            yield f"its row {name} is not what was recorded"
