"""
The tallies of an exam's forms, carried forward: of ten thousand submissions those are read that have changed.

Beside each form's tally stands what each submission has put into it, its share. A turn takes the shares of
the attempts that have changed out of the tally, and puts in what is there of them now, in its own
transaction: each counts exactly once, whatever was marked twice, and however often a turn is begun.
"""

import zlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import polars as pl

from pipeline.extract import Snapshot
from pipeline.features.frames import GROUPS, RESPONSES, SUBMISSIONS, UTC
from pipeline.features.moments import Tally, merged, packed, subtracted, unpacked
from pipeline.features.tallying import TAKEN, tallied
from sql import named
from sql.running import Connection, run

TALLIES: Final = named("tallies")
VERSION: Final = "tally-2"  # of what a tally and a share are; others are counted anew
PUT_MAX: Final = 1_000  # shares that one statement stores
_TYPES: Final[dict[str, Any]] = {
    "exam_id": pl.String,
    "organisation_id": pl.String,
    "form_id": pl.String,
    "as_of": UTC,
    "tally": pl.Binary,
}
FORMS: Final = pl.Schema(_TYPES)
ROWS: Final = pl.Schema(
    {name: RESPONSES.schema[name] for name in ("submission_id", "exam_id", "form_id", *TAKEN)}
    | {"passed": SUBMISSIONS.schema["passed"], "group": GROUPS.schema["group"]}
)
Forms = dict[tuple[str, str], Tally]


def carried(
    conn: Connection, reader: Snapshot, exams: Sequence[str], attempts: Sequence[str] | None
) -> pl.DataFrame:
    """
    Carry the tallies of some exams forward, in the caller's transaction; return them, packed, by form.

    Args:
        conn: has the exams' turn.
        reader: a snapshot from after the turn began.
        exams: whose forms.
        attempts: of them, those that have changed; None counts all anew.
    """
    known = run(conn, TALLIES["list_tallies"], list(exams), VERSION).fetchall()
    if attempts is None or {exam_id for exam_id, _, _ in known} != set(exams):
        run(conn, TALLIES["delete_tallies"], list(exams))
        attempts, known = None, []
    forms = {(exam_id, form_id): unpacked(tally) for exam_id, form_id, tally in known}
    changed = None if attempts is None else list(attempts)
    rows = reader.frame(TALLIES["list_counted"], list(exams), changed)
    gone = _tallied(_taken(conn, list(exams), changed))
    come = _tallied(rows)
    for form, tally in gone.items():
        forms[form] = subtracted(forms[form], tally)
    for form, tally in come.items():
        forms[form] = merged(forms[form], tally) if form in forms else tally
    _put_shares(conn, rows)
    _put_tallies(conn, {form: forms[form] for form in sorted({*gone, *come})})
    return pl.DataFrame(run(conn, TALLIES["list_forms"], list(exams)).fetchall(), FORMS, orient="row")


def _tallied(rows: pl.DataFrame) -> Forms:
    """Return the tallies of rows of items, each with its submission's `passed` and `group`."""
    submissions = rows.select("submission_id", "passed", is_void=pl.lit(value=False)).unique()
    groups = rows.select("submission_id", "group").unique().drop_nulls()
    return tallied(submissions, rows, groups)


def _taken(conn: Connection, exams: list[str], attempts: list[str] | None) -> pl.DataFrame:
    """Take the shares of the attempts, or of all, away; return them as the rows that they were made of."""
    rows = []
    for exam_id, form_id, submission_id, share in run(conn, TALLIES["take_shares"], exams, attempts):
        passed, group, *columns = msgspec.msgpack.decode(zlib.decompress(share))
        owner = (submission_id, exam_id, form_id)
        rows += [(*owner, *values, passed, group) for values in zip(*columns, strict=True)]
    return pl.DataFrame(rows, ROWS, orient="row")


def _put_shares(conn: Connection, rows: pl.DataFrame) -> None:
    """Store what each submission has put in."""
    owners = ("submission_id", "attempt_id", "exam_id", "form_id", "as_of")
    whole = rows.group_by(owners, maintain_order=True).agg(pl.col("passed", "group").first(), pl.col(TAKEN))
    for part in whole.iter_slices(PUT_MAX):
        shares = part.select("passed", "group", *TAKEN).iter_rows()
        run(
            conn,
            *TALLIES.bind(
                "put_shares",
                submissions=part["submission_id"].to_list(),
                attempts=part["attempt_id"].to_list(),
                exams=part["exam_id"].to_list(),
                forms=part["form_id"].to_list(),
                moments=part["as_of"].to_list(),
                shares=[zlib.compress(msgspec.msgpack.encode(share), 1) for share in shares],
            ),
        )


def _put_tallies(conn: Connection, forms: Forms) -> None:
    """Store the tallies; one without any submission goes."""
    run(
        conn,
        *TALLIES.bind(
            "put_tallies",
            exams=[exam_id for exam_id, _ in forms],
            forms=[form_id for _, form_id in forms],
            tallies=[packed(tally) if tally.layouts else None for tally in forms.values()],
            version=VERSION,
        ),
    )
