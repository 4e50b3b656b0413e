"""
What the ledger says of the rows: each record's, against the newest event about it (spec.md L-1).

An event commits to its record's rows as they stood after the change; which rows those are says `record_rows`
of the migrations, which made the commitment and makes the comparison. Rows that only a use case writes, and
that no event speaks of, are named as well.
"""

from collections.abc import Iterator
from typing import Final

from deploy.ledger_report import Connection, Report, lines_of, stream
from kernel.ledger import PAIRS, RECORD, RECORDS
from sql import named

QUERIES: Final = named("ledger_audit")
NUMBER_DIGITS: Final = 16  # in front of a commitment to a record: which is the newest


def check_records(conn: Connection, report: Report) -> None:
    """Compare every record's rows with what its newest event commits to."""
    pairs = [RECORD + name for name in PAIRS]
    known = [RECORD + name for name in {each for each in RECORDS.values() if each is not None}]
    rows = stream(conn, "stream_records", pairs, known)
    for event_id, name, aggregate_id, subject, _, recorded, found, is_erased in rows:
        report.records += 1
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
                report.find(f"{where}: {sentence}")
    for (name,) in conn.execute(QUERIES["list_unrecorded"].encode()):
        report.find(f"{name}: no event speaks of it")


def _differences(recorded: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    """Yield a sentence for each row that differs."""
    for name in sorted(recorded.keys() | found.keys()):
        if name not in found:
            yield f"its row {name} is not there"
        elif name not in recorded:
            yield f"its row {name} was not recorded"
        elif recorded[name] != found[name]:
            yield f"its row {name} is not what was recorded"
