"""
Sums over an exam's submissions, carried forward: of ten thousand those are read that have changed.

Beside the sums stands what each submission has put in. A turn takes that out for the attempts that have
changed, and puts in what they come to now, in its own transaction: each counts exactly once, whatever was
marked twice, and however often a turn is begun.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from pipeline.extract import Snapshot
from pipeline.features.exam_performance import SUMS
from sql import named
from sql.running import Connection, run

EXAM_SUMS: Final = named("exam_sums")
VERSION: Final = "sums-2"  # of what is put in; sums of another are counted anew


def carried(
    conn: Connection, _: Snapshot, exams: Sequence[str], attempts: Sequence[str] | None
) -> pl.DataFrame:
    """
    Carry the sums of some exams forward, in the caller's transaction; return them.

    Args:
        conn: has the exams' turn.
        exams: whose.
        attempts: of them, those that have changed; None counts all anew.
    """
    known = {exam for (exam,) in run(conn, EXAM_SUMS["list_known_sums"], list(exams), VERSION)}
    if anew := [exam for exam in exams if attempts is None or exam not in known]:
        run(conn, EXAM_SUMS["delete_sums"], anew)
        run(conn, EXAM_SUMS["carry_sums"], anew, None, VERSION)
    kept = [exam for exam in exams if exam not in anew]
    if kept and attempts:
        run(conn, EXAM_SUMS["carry_sums"], kept, list(attempts), VERSION)
    found = run(conn, EXAM_SUMS["list_sums"], list(exams)).fetchall()
    return pl.DataFrame(found, SUMS.schema, orient="row")
