"""The OpenAPI document and a page to browse it, served from local files alone (spec.md X-3)."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache, lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
from aiohttp import ETag, web

from kernel import VERSION
from kernel.errors import NotFoundError
from kernel.http.compression import KEPT
from kernel.http.headers import ETAG, IF_NONE_MATCH
from kernel.http.openapi import Example, Examples, document
from kernel.http.schemas import Json
from kernel.http.web import Route

DOCUMENT: Final = web.AppKey("document", bytes)
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
# For whoever looks for more than one address: what stands at `/`.
LINKS: Final = {"documentation": "/api/docs", "openapi": "/api/openapi.json"}
_HEADERS: Final = {
    # Swagger UI draws its icons from data: URLs and sets style attributes; nothing else leaves this origin.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
}
_SWAGGER_UI: Final = STATIC / "vendor" / "swagger-ui-dist"
FILES: Final = {
    "docs.js": STATIC / "docs.js",
    "swagger-ui.css": _SWAGGER_UI / "swagger-ui.css",
    "swagger-ui-bundle.js": _SWAGGER_UI / "swagger-ui-bundle.js",
}


_made: Final[dict[tuple[str, ...], bytes]] = {}  # by the operations' names


def publish(app: web.Application, routes: Sequence[Route]) -> None:
    """Make the document of the routes, once in a process, for everybody who will ask for it."""
    names = tuple(route.name for route in routes)
    if names not in _made:
        _made[names] = orjson.dumps(whole(routes))
    app[DOCUMENT] = _made[names]


def whole(routes: Sequence[Route]) -> Json:
    """Return the OpenAPI document of the routes as JSON values."""
    info = {
        "title": "Veritas",
        "version": VERSION,
        "summary": SUMMARY,
        "description": (FOLDER / "about.md").read_text(),
    }
    return document(routes, info, TAGS, examples())


@cache
def examples() -> Examples:
    """Return the examples: a file each, `operation.json`, and `operation.word.json` for further ones."""
    found: dict[str, dict[str, Example]] = defaultdict(dict)
    for file in sorted((FOLDER / "examples").glob("*.json")):
        operation, _, word = file.stem.partition(".")
        found[operation][word or "example"] = msgspec.json.decode(file.read_bytes(), type=Example)
    return found


async def openapi(request: web.Request) -> web.Response:
    """Return this document; a client that has its newest version is told so alone."""
    return _kept(request, request.app[DOCUMENT], "application/json")


async def docs_page(request: web.Request) -> web.Response:
    """Show a page to browse this document."""
    return _kept(request, _file(STATIC / "docs.html"), "text/html")


async def docs_file(request: web.Request) -> web.Response:
    """Return one of the files of the page."""
    path = FILES.get(request.match_info["file"])
    if path is None:
        raise NotFoundError("There is no such file.")
    return _kept(request, _file(path), "text/css" if path.suffix == ".css" else "text/javascript")


@cache
def _file(path: Path) -> bytes:
    return path.read_bytes()


@lru_cache(KEPT)
def _version(body: bytes) -> str:
    return sha256(body).hexdigest()[:32]


def _kept(request: web.Request, body: bytes, content_type: str) -> web.Response:
    """Return what anybody may keep, and asks after with the version that they have."""
    version = _version(body)
    if any(each.value in {version, "*"} for each in request.if_none_match or ()):
        response = web.Response(status=304)
    else:
        charset = "utf-8" if content_type.startswith("text/") else None
        response = web.Response(body=body, content_type=content_type, charset=charset)
    response.headers.update(_HEADERS)
    response.etag = ETag(version, is_weak=True)  # of every coding
    return response


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
