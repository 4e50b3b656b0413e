"""
What every process answers beside its routes: how it is, and what it has counted.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, Final

from aiohttp import web

from kernel.http.fields import wants_page
from kernel.http.web import Handler, expected, send_json
from kernel.running.tasks import WATCH

ReadyCheck = Callable[[], Awaitable[str | None]]
HEALTH_S: Final = 0.1  # for so long an answer of /readyz or /metrics is everybody's


def _for_all(answer: Callable[[], Awaitable[web.Response]]) -> Handler:
    """
    Return a handler that works the answer out once for all who ask within HEALTH_S.

    Whoever reaches the port may ask, as often as they like, and each answer takes milliseconds of everybody's
    loop, or a connection of the pool.
    """
    turn, kept, kept_at = asyncio.Lock(), web.Response(), -HEALTH_S

    async def handler(_: web.Request) -> web.Response:
        nonlocal kept, kept_at
        async with turn:
            if perf_counter() - kept_at >= HEALTH_S:
                kept = await answer()
                kept_at = perf_counter()
        return web.Response(body=kept.body, status=kept.status, headers=kept.headers)

    return handler


HEALTH: Final = {"liveness": "/livez", "readiness": "/readyz", "metrics": "/metrics"}
# What a link of `/` is for programs that follow none but those they know (RFC 8631).
_RELATIONS: Final = {"documentation": "service-doc", "openapi": "service-desc", "readiness": "status"}


def _front(links: Mapping[str, str]) -> Handler:
    """Return the handler of `/`: a browser is led to the documentation, where there is any."""
    headers = {"Vary": "Accept"} | {
        "Link": ", ".join(
            f'<{path}>; rel="{_RELATIONS[name]}"' for name, path in links.items() if name in _RELATIONS
        )
    }

    async def front(request: web.Request) -> web.Response:
        page = links.get("documentation")
        if page is not None and wants_page(request.headers.get("Accept", "")):
            return web.Response(status=302, headers={**headers, "Location": page})
        return send_json({"name": "Veritas", "links": links}, headers=headers)

    return front


def add_health(
    app: web.Application,
    checks: Sequence[ReadyCheck],
    level: Callable[[], dict[str, Any]],
    *,
    links: Mapping[str, str] | None = None,
) -> None:
    """
    Serve /livez, /readyz and /metrics, and `/` that leads to them.

    Args:
        app: the application.
        checks: each returns None when fine, or a sentence that says what is wrong; /readyz is 503 with those.
        level: what health says beside that, such as the durability level. Sentences under `degraded` say what
            part does not work while the rest does: the status is "degraded" then, and still 200.
        links: where else `/` leads, by name; a browser to `documentation`.
    """
    from prometheus_client import generate_latest  # noqa: PLC0415  spares short-lived commands the import

    async def livez(_: web.Request) -> web.Response:
        return send_json({"status": "ok"})

    async def readyz() -> web.Response:
        watch, said = app[WATCH], level()
        wrong = [sentence for check in checks if (sentence := await check()) is not None] + watch.wrong()
        if degraded := [*said.get("degraded", []), *watch.degraded()]:
            said = {**said, "degraded": degraded}
        status = "unavailable" if wrong else "degraded" if said.get("degraded") else "ok"
        told = {"status": status, "wrong": wrong, "pid": os.getpid(), **said}
        return send_json(told, status=503 if wrong else 200)

    async def metrics() -> web.Response:
        return web.Response(
            body=generate_latest(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    front = _front({**(links or {}), **HEALTH})
    handlers = (
        ("/", front),
        ("/livez", livez),
        ("/readyz", _for_all(readyz)),
        ("/metrics", _for_all(metrics)),
    )
    for path, handler in handlers:
        app.router.add_get(path, handler, expect_handler=expected)
