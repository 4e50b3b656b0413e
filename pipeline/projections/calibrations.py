"""
The calibrations of exams, carried forward: of ten thousand sessions those are read that have changed.

Beside an exam's calibration stands what each session has put into it. A turn takes out what the sessions of
the attempts that have changed had put in, and puts in what is there of them now, in its own transaction: each
counts exactly once, whatever was marked twice, and however often a turn is begun.
"""

import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import msgspec
import polars as pl

from pipeline.extract import Snapshot
from pipeline.features.anomalies import Calibration, merged, negated
from pipeline.features.event_norms import CELLS, TAKEN, calibration_of
from sql import named
from sql.running import Connection, run

CALIBRATIONS: Final = named("calibrations")
VERSION: Final = "calibration-1"  # of what is packed, and of cells; others are counted anew
STATES: Final = pl.Schema({"exam_id": pl.String(), "state": pl.Binary()})
Both = tuple[Calibration, Calibration]  # of the usual sessions, and of those with an upheld flag


def carried(
    conn: Connection, _: Snapshot, exams: Sequence[str], attempts: Sequence[str] | None
) -> pl.DataFrame:
    """
    Carry the calibrations of some exams forward, in the caller's transaction; return them, packed.

    Args:
        conn: has the exams' turn.
        exams: whose.
        attempts: of them, those that have changed; None counts all anew.
    """
    known: dict[str, bytes] = dict(
        run(conn, CALIBRATIONS["list_calibrations"], list(exams), VERSION).fetchall()
    )
    if attempts is None or set(known) != set(exams):
        run(conn, CALIBRATIONS["delete_calibrations"], list(exams))
        attempts, known = None, {}
    changed = None if attempts is None else list(attempts)
    gone = _by_exam(run(conn, CALIBRATIONS["take_shares"], list(exams), changed).fetchall())
    come = _by_exam(run(conn, CALIBRATIONS["put_shares"], list(exams), changed).fetchall())
    for exam in exams:
        if exam not in known or exam in gone or exam in come:
            known[exam] = _moved(known.get(exam), gone.get(exam), come.get(exam))
            run(conn, CALIBRATIONS["put_calibration"], exam, VERSION, known[exam])
    return pl.DataFrame(sorted(known.items()), STATES, orient="row")


def _by_exam(rows: Sequence[tuple[Any, ...]]) -> dict[str, Both]:
    """Return what sessions add up to, by exam."""
    given = pl.DataFrame(rows, {name: CELLS[name] for name in TAKEN}, orient="row")
    return {
        str(exam): (calibration_of(own.filter(~pl.col("is_upheld"))), calibration_of(own.filter("is_upheld")))
        for (exam,), own in given.partition_by("exam_id", as_dict=True).items()
    }


def _moved(state: bytes | None, gone: Both | None, come: Both | None) -> bytes:
    parts = [(nothing(), nothing()) if state is None else unpacked(state)]
    parts += [] if gone is None else [(negated(gone[0]), negated(gone[1]))]
    parts += [] if come is None else [come]
    usual, outside = zip(*parts, strict=True)
    return packed((merged(usual), merged(outside)))


@cache
def nothing() -> Calibration:
    """Return what no session adds up to; not as the module is imported, for that would begin threads."""
    return calibration_of(pl.DataFrame(schema=CELLS))


def packed(both: Both) -> bytes:
    """Return calibrations as bytes: the same for the same sessions, however they were added up."""
    columns = [
        [column.to_list() for column in frame.iter_columns()]
        for each in both
        for frame in (each.cells, each.rates)
    ]
    return zlib.compress(msgspec.msgpack.encode(columns), 1)


def unpacked(state: bytes) -> Both:
    """Return the calibrations of these bytes."""
    columns = iter(msgspec.msgpack.decode(zlib.decompress(state)))

    def taken(like: pl.DataFrame) -> pl.DataFrame:
        return pl.DataFrame(dict(zip(like.columns, next(columns), strict=True)), like.schema)

    usual, outside = (Calibration(taken(nothing().cells), taken(nothing().rates)) for _ in range(2))
    return usual, outside
