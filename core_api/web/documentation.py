"""The OpenAPI document and a page to browse it, served from local files alone (spec.md X-3)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web

from kernel import VERSION
from kernel.errors import NotFoundError
from kernel.http.openapi import document
from kernel.http.web import Route

DOCUMENT: Final = web.AppKey("document", bytes)
STATIC: Final = Path(__file__).parent / "static"
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


def render(routes: Sequence[Route]) -> bytes:
    """Return the OpenAPI document of the routes as JSON bytes."""
    return orjson.dumps(document(routes, title="Veritas", version=VERSION))


async def openapi(request: web.Request) -> web.Response:
    """Return this document."""
    return web.Response(body=request.app[DOCUMENT], content_type="application/json")


async def docs_page(_: web.Request) -> web.FileResponse:
    """Show a page to browse this document."""
    return web.FileResponse(STATIC / "docs.html", headers=_HEADERS)


async def docs_file(request: web.Request) -> web.FileResponse:
    """Return one of the files of the page."""
    path = FILES.get(request.match_info["file"])
    if path is None:
        raise NotFoundError("There is no such file.")
    return web.FileResponse(path, headers=_HEADERS)


ROUTES: Final = (
    Route(
        method="GET",
        path="/openapi.json",
        handler=openapi,
        action=None,
        tag="Documentation",
        reply=dict[str, Any],
    ),
    Route(method="GET", path="/docs", handler=docs_page, action=None, tag="Documentation"),
    Route(method="GET", path="/docs/{file}", handler=docs_file, action=None, tag="Documentation"),
)
