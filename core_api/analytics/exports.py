"""
An exam's rows to take away, as whoever may see its analytics sees them (spec.md W-6).
"""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core_api.actors import actor_of
from core_api.exams import exams
from core_api.exports.caliper import envelopes
from core_api.exports.learning import NDJSON_TYPE, RESULTS, Lines, Names
from core_api.exports.sending import ROWS, Form, reading, send
from core_api.exports.tables import CSV_TYPE, PARQUET_TYPE, Csv, Exported, Parquet, statement_of
from core_api.exports.xapi import statements
from core_api.ledger.viewings import note_view
from core_api.wire import uuid_in_path
from kernel.http.web import SETTINGS, Shows, decode_query
from sql import named
from warehouse.datasets import DATASETS

RESULTS_OF_EXAM: Final = named("exported")["list_results_of_exam"]
SHOWS: Final = Shows("exam_export", "exam_id")


class ExportParquet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dataset is exported."""

    dataset: Annotated[
        Exported, Meta(description="docs/warehouse.md says what a row and a column of each mean.")
    ] = Exported("submissions")


class ExportCsv(ExportParquet, frozen=True, kw_only=True):
    """Which dataset is exported, and how."""

    bom: Annotated[bool, Meta(description="Begin with a byte order mark: Excel then knows UTF-8.")] = False


async def export_csv(request: web.Request) -> web.StreamResponse:
    """
    Export an exam's rows of a dataset as CSV, safe to open in a spreadsheet.

    UTF-8 with the columns' names in the first line; null is nothing and an empty text `""`; times are ISO
    8601 in UTC; lists and objects are JSON. A text that a spreadsheet would take for a formula has an
    apostrophe in front: programs had better read Parquet. All rows are of one moment. Whoever gets less than
    the whole sees the connection break.
    """
    query = decode_query(request, ExportCsv)
    dataset = DATASETS[query.dataset.value]
    form = Csv(dataset, bom=query.bom)
    return await _export(request, statement_of(dataset), form, dataset.name, "csv", CSV_TYPE)


async def export_parquet(request: web.Request) -> web.StreamResponse:
    """
    Export an exam's rows of a dataset as Parquet, with its columns' descriptions in the schema.

    The schema is the warehouse's own. All rows are of one moment.
    """
    dataset = DATASETS[decode_query(request, ExportParquet).dataset.value]
    form = Parquet(dataset)
    return await _export(request, statement_of(dataset), form, dataset.name, "parquet", PARQUET_TYPE)


async def export_xapi(request: web.Request) -> web.StreamResponse:
    """
    Export an exam's results as xAPI 1.0.3 statements, one a line, for a learning record store.

    Of each attempt that was handed in: initialized, answered (an item), completed, scored. Whoever it is of
    is an account at the deployment's home page, under their pseudonym; what an essay says is left out. A
    statement's id follows from what it says: exported again it is the same, with another score it is another.
    A void result has no score.
    """
    form = Lines(partial(statements, _names(request)))
    return await _export(request, RESULTS_OF_EXAM, form, "xapi", "ndjson", NDJSON_TYPE)


async def export_caliper(request: web.Request) -> web.StreamResponse:
    """
    Export an exam's results as Caliper 1.2 events, one envelope a line, for a Caliper endpoint.

    An envelope has the events of one attempt that was handed in: AssessmentEvent (started, submitted),
    AssessmentItemEvent (completed), GradeEvent (graded, the items and the whole). Ids are as those of xAPI.
    """
    form = Lines(partial(envelopes, _names(request), datetime.now(UTC)))
    return await _export(request, RESULTS_OF_EXAM, form, "caliper", "ndjson", NDJSON_TYPE)


def _names(request: web.Request) -> Names:
    return Names(request.app[SETTINGS].export_home_page)


async def _export(
    request: web.Request, statement: str, form: Form, what: str, ending: str, media_type: str
) -> web.StreamResponse:
    exam_id = uuid_in_path(request, "exam_id")
    async with reading(request) as conn:
        await exams.require_analysed(conn, actor_of(request), exam_id)
        return await send(
            request, conn, statement, exam_id,
            form=form, name=f"{what}-{exam_id}.{ending}", media_type=media_type,
            rows=RESULTS if media_type == NDJSON_TYPE else ROWS,
            seen=lambda: note_view(request, SHOWS, request.query_string),
        )  # fmt: skip
