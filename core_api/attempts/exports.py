"""
A candidate's own results to take away (spec.md W-6, decision 6): what their dashboard shows of them, and what
they answered; never what an item earned, which would tell its key.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final

import msgspec
import pyarrow as pa
from aiohttp import web
from msgspec import Meta

from core_api.actors import actor_of
from core_api.exports.caliper import envelopes
from core_api.exports.learning import NDJSON_TYPE, RESULTS, Lines, Names
from core_api.exports.sending import ROWS, Form, reading, send
from core_api.exports.tables import CSV_TYPE, Csv
from core_api.exports.xapi import statements
from kernel.http.web import SETTINGS, decode_query
from sql import named
from warehouse.layout import TIME, column, describe

QUERIES: Final = named("own_results")
OPEN: Final = "it is not over"
NO_SCORE: Final = "it is not scored, or void"
MARKS: Final = describe(
    "own_results",
    1,
    grain="one row per attempt",
    partition_key="attempt_id",
    group=slice(-2, None),
    sort=("attempt_id",),
    columns=[
        column("attempt_id", pa.string(), "The attempt.", "UUID as text"),
        column("exam_title", pa.string(), "Title of its exam."),
        column("subject", pa.string(), "Subject of that."),
        column("status", pa.string(), "in_progress, completed or abandoned."),
        column("started_at", TIME, "When it began.", "UTC"),
        column("completed_at", TIME, "When it was handed in.", "UTC", null=OPEN),
        column("score", pa.float64(), "Points on the exam's scale.", "points", null=NO_SCORE),
        column(
            "max_score", pa.float64(), "What they could have been.", "points", null="the exam does not say"
        ),
        column("percentage", pa.float64(), "The score, of a hundred.", "0 to 100", null=NO_SCORE),
        column("passed", pa.bool_(), "It was enough.", null=NO_SCORE),
        column("is_void", pa.bool_(), "The result does not count."),
    ],
)


class ExportOwnCsv(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the results are exported."""

    bom: Annotated[bool, Meta(description="Begin with a byte order mark: Excel then knows UTF-8.")] = False


async def export_csv(request: web.Request) -> web.StreamResponse:
    """Export the candidate's own results as CSV, one attempt a line, safe to open in a spreadsheet."""
    form = Csv(MARKS, bom=decode_query(request, ExportOwnCsv).bom)
    return await _export(request, "list_own_marks", form, "results.csv", CSV_TYPE, ROWS)


async def export_xapi(request: web.Request) -> web.StreamResponse:
    """
    Export the candidate's own results as xAPI 1.0.3 statements, one a line, for a learning record store of
    theirs: what they answered, when they handed in, and what it came to, once that is known.
    """
    form = Lines(partial(statements, Names(request.app[SETTINGS].export_home_page)))
    return await _export(request, "list_own_results", form, "results-xapi.ndjson", NDJSON_TYPE, RESULTS)


async def export_caliper(request: web.Request) -> web.StreamResponse:
    """Export the candidate's own results as Caliper 1.2 events, one envelope a line, an attempt each."""
    form = Lines(partial(envelopes, Names(request.app[SETTINGS].export_home_page), datetime.now(UTC)))
    return await _export(request, "list_own_results", form, "results-caliper.ndjson", NDJSON_TYPE, RESULTS)


async def _export(
    request: web.Request, statement: str, form: Form, name: str, media_type: str, rows: int
) -> web.StreamResponse:
    async with reading(request) as conn:
        whose = actor_of(request).user_id
        return await send(
            request, conn, QUERIES[statement], whose, form=form, name=name, media_type=media_type, rows=rows
        )
