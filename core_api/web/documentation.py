"""The OpenAPI document and a page to browse it, served from local files alone (spec.md X-3)."""

from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web

from kernel import VERSION
from kernel.errors import NotFoundError
from kernel.http.headers import ETAG, IF_NONE_MATCH
from kernel.http.openapi import document
from kernel.http.schemas import Json
from kernel.http.web import Route

DOCUMENT: Final = web.AppKey("document", bytes)
VERSION_OF: Final = web.AppKey("version_of_document", str)
FOLDER: Final = Path(__file__).parent / "document"
STATIC: Final = Path(__file__).parent / "static"
SUMMARY: Final = "Exams, their proctoring, and the record of both."
TAGS: Final = {
    "Authentication": "Registering, signing in and out, one's own account.",
    "Candidates": "Exams to take, the attempt, its paper and answers, handing in, and the receipt.",
    "Proctoring": "Proctor sessions, and their events as staff read them.",
    "Events": "What proctor clients and monitors report: acknowledged once it cannot be lost any more.",
    "Authoring": "Terms, passages, questions, and the evaluations that freeze them.",
    "Teachers": "Exams, assignments, launch links, submissions and their grades, and everything in numbers.",
    "Observers": "Observations of candidates.",
    "Admins": "The organisation: people, groups, permissions, the audit log.",
    "Ledger": "Signed heads and proofs that nothing was changed.",
    "Documentation": "This document, and a page to browse it.",
}
_HEADERS: Final = {
    # Swagger UI draws its icons from data: URLs and sets style attributes; nothing else leaves this origin.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_SWAGGER_UI: Final = STATIC / "vendor" / "swagger-ui-dist"
FILES: Final = {
    "docs.js": STATIC / "docs.js",
    "swagger-ui.css": _SWAGGER_UI / "swagger-ui.css",
    "swagger-ui-bundle.js": _SWAGGER_UI / "swagger-ui-bundle.js",
}


def publish(app: web.Application, routes: Sequence[Route]) -> None:
    """Make the document of the routes, once, for everybody who will ask for it."""
    app[DOCUMENT] = orjson.dumps(whole(routes))
    app[VERSION_OF] = sha256(app[DOCUMENT]).hexdigest()[:32]


def whole(routes: Sequence[Route]) -> Json:
    """Return the OpenAPI document of the routes as JSON values."""
    info = {
        "title": "Veritas",
        "version": VERSION,
        "summary": SUMMARY,
        "description": (FOLDER / "about.md").read_text(),
    }
    return document(routes, info, TAGS, {})


async def openapi(request: web.Request) -> web.Response:
    """Return this document; a client that has its newest version is told so alone."""
    version = request.app[VERSION_OF]
    if any(each.value in {version, "*"} for each in request.if_none_match or ()):
        response = web.Response(status=304)
    else:
        response = web.Response(body=request.app[DOCUMENT], content_type="application/json")
    response.etag = version
    return response


async def docs_page(_: web.Request) -> web.FileResponse:
    """Show a page to browse this document."""
    return web.FileResponse(STATIC / "docs.html", headers=_HEADERS)


async def docs_file(request: web.Request) -> web.FileResponse:
    """Return one of the files of the page."""
    path = FILES.get(request.match_info["file"])
    if path is None:
        raise NotFoundError("There is no such file.")
    return web.FileResponse(path, headers=_HEADERS)


_documented = partial(
    Route,
    method="GET",
    action=None,
    tag="Documentation",
    also_status=(304,),
    reads=(IF_NONE_MATCH,),
    sends=(ETAG,),
)
ROUTES: Final = (
    _documented(path="/openapi.json", name="get_openapi_document", handler=openapi, reply=dict[str, Any]),
    _documented(
        path="/docs", name="show_documentation", handler=docs_page, reply=str, media_type="text/html"
    ),
    _documented(
        path="/docs/{file}", name="get_documentation_file", handler=docs_file, reply=str, media_type="text/*"
    ),
)
