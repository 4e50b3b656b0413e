"""
What every address of every tier has in common, whoever asks: the methods that it says it takes, and the
header of its replies (RFC 9110, spec.md X-1).
"""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from time import monotonic

import aiohttp
import pytest
from aiohttp import web

from core_api.app import build, routes
from core_api.web.documentation import FILES
from ingest.app import Part
from ingest.routes import ROUTES
from kernel.access import ACCESS
from kernel.http.health import add_health
from kernel.http.web import API_PREFIX, mount, new_app
from kernel.running.tasks import Watch
from kernel.settings import load
from pipeline.__main__ import serve_health
from pipeline.scheduler import Pulse
from tests.kits.access_matrix_world import furnish
from tests.kits.core import JWT_KEYS, Core, url_of
from tests.kits.ingest.station import Station

ASKERS = ("admin", "student", "teacher", "observer")
DOCUMENTATION = ("/api/docs", "/api/openapi.json")  # which may be kept
LARGE = 1024
WITHIN_S = 20.0
COUNTED = {"/metrics", "/readyz"}  # whose bodies tell of what came before
BY_THE_WAY = {
    "Date",
    "Transfer-Encoding",
}  # a HEAD has nothing to transfer, and an export no length beforehand


class Tier:
    """One that runs: where, which methods its addresses take, and who may ask them."""

    def __init__(
        self, app: web.Application, url: str, fill: Callable[[str], str], token: Callable[[str], str]
    ) -> None:
        self.url = url
        self.methods: dict[str, set[str]] = defaultdict(set)
        for route in app.router.routes():
            assert route.resource is not None
            self.methods[route.resource.canonical].add(route.method)
        self.fill = fill
        self.token = token

    def taken(self, address: str) -> set[str]:
        """Return the methods of every pattern that an address fits: `import` is an `{exam_id}`, too."""
        patterns = {re.sub(r"\{\w+\}", "[^/]+", path): methods for path, methods in self.methods.items()}
        return {
            each
            for pattern, methods in patterns.items()
            if re.fullmatch(pattern, address)
            for each in methods
        }

    def header(self, path: str) -> dict[str, str]:
        token = self.token(path)
        return {"X-Request-Id": "told-by-us", **({"Authorization": f"Bearer {token}"} if token else {})}


@pytest.fixture
async def tiers(core: Core, running: Station) -> AsyncIterator[list[Tier]]:
    settings = load({}, database_url="postgresql://nowhere", jwt_keys=JWT_KEYS)
    alone, part = new_app(settings), Part()
    mount(alone, ROUTES)
    part.attach(alone)
    add_health(alone, [part.ready], part.level)
    seat = running.world.seat()
    async with core.school() as api:
        world = await furnish(api)
        actions = {API_PREFIX + route.path: route.action for route in routes() if route.method == "GET"}

        def fill(path: str) -> str:
            return re.sub(r"\{(\w+)\}", lambda name: world.parameters.get(name[1], "docs.js"), path)

        def token(path: str) -> str:
            action = actions.get(path)
            entitled = [] if action is None else [name for name in ASKERS if name in ACCESS[action]]
            return api.token(entitled[0]) if entitled else ""

        pulses, at_will = {"scheduler": Pulse(turned_at=monotonic())}, load({}, metrics_port=0)
        pipeline = await serve_health(at_will, pulses, Watch())
        yield [
            Tier(await build(settings), core.url, fill, token),
            Tier(alone, running.url, fill, lambda _: seat.token),
            Tier(pipeline.app, url_of(pipeline), fill, lambda _: ""),
        ]
        await pipeline.cleanup()


async def test_head_is_get_without_the_body(tiers: list[Tier]) -> None:
    seen = set()
    async with aiohttp.ClientSession(auto_decompress=False) as http:

        async def ask(method: str) -> tuple[int, dict[str, str], bytes]:
            async with http.request(method, tier.url + tier.fill(path), headers=tier.header(path)) as reply:
                told = {
                    name.lower(): value for name, value in reply.headers.items() if name not in BY_THE_WAY
                }
                return reply.status, told, await reply.read()

        for tier in tiers:
            for path in [each for each, methods in tier.methods.items() if "GET" in methods]:
                if path.endswith("/stream"):  # which goes on for ever
                    continue
                until = monotonic() + WITHIN_S  # a list may grow by who looks at it
                while True:
                    status, told, body = await ask("GET")
                    again, same, nothing = await ask("HEAD")
                    if told == same or path in COUNTED or monotonic() > until:
                        break

                seen.add(status)
                assert (again, nothing, path) == (status, b"", path)
                assert int(told.get("content-length", len(body))) == len(body), path
                assert same.keys() == told.keys(), path
                if path not in COUNTED:
                    assert same == told, path
    assert 200 in seen


async def test_an_address_says_which_methods_it_takes(tiers: list[Tier]) -> None:
    async with aiohttp.ClientSession() as http:
        for tier in tiers:
            for path in tier.methods:
                taken = tier.taken(tier.fill(path))
                others = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"} - taken
                for method in ["OPTIONS", *sorted(others)]:
                    async with http.request(method, tier.url + tier.fill(path)) as reply:
                        allowed = set(reply.headers["Allow"].split(", "))
                        assert reply.status == (204 if method == "OPTIONS" else 405), (path, method)
                        assert allowed >= {*taken, "OPTIONS"}, (path, method)
                        assert method == "OPTIONS" or method not in allowed
            async with http.options(tier.url + "/api/nowhere") as reply:
                assert reply.status == 404


async def test_every_reply_says_who_may_keep_it_and_is_what_its_type_says(tiers: list[Tier]) -> None:
    """Whatever the method, with a token or without one: success, refusal and what has no body alike."""
    async with aiohttp.ClientSession() as http:
        for tier in tiers:
            addresses = [(tier.fill(path), tier.header(path), path) for path in tier.methods]
            for address, own, path in [*addresses, ("/api/nowhere", {}, "/api/nowhere")]:
                for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE"):
                    for header in [own, {}] if method in {"GET", "HEAD"} else [{}]:
                        async with http.request(method, tier.url + address, headers=header) as reply:
                            said, where = reply.headers, (method, path)
                            assert said["Server"] == "Veritas", where
                            assert said["X-Content-Type-Options"] == "nosniff", where
                            assert re.fullmatch(r"[\w.-]{8,64}", said["X-Request-Id"]), where
                            if not path.startswith(DOCUMENTATION) or reply.status >= 400:
                                assert said["Cache-Control"] == "no-store", where
                            if reply.content_type == "text/html":
                                assert "frame-ancestors 'none'" in said["Content-Security-Policy"], where
                                assert "default-src 'none'" in said["Content-Security-Policy"], where
                                assert said["Referrer-Policy"] == "no-referrer", where


async def test_the_front_leads_a_browser_and_a_program_on(tiers: list[Tier]) -> None:
    """Everything that it names is there."""
    core, *others = tiers
    page = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with aiohttp.ClientSession() as http:
        async with http.get(core.url, headers=page) as shown:
            assert (shown.status, shown.url.path, shown.content_type) == (200, "/api/docs", "text/html")
        for tier in tiers:
            async with http.get(tier.url) as reply:
                assert (reply.status, "Accept" in reply.headers.getall("Vary")) == (200, True)
                links = (await reply.json())["links"]
                assert all(f"<{path}>" in reply.headers["Link"] for path in links.values() if "api" in path)
            for path in links.values():
                async with http.get(tier.url + path) as reply:
                    assert reply.status == 200, path
        for tier in others:
            async with http.get(tier.url, headers=page) as reply:
                assert reply.content_type == "application/json"


async def test_the_documentation_is_sent_once_and_asked_after(tiers: list[Tier]) -> None:
    core = tiers[0]
    async with aiohttp.ClientSession() as http:
        for path in ("/api/docs", "/api/openapi.json", *(f"/api/docs/{name}" for name in FILES)):
            async with http.get(core.url + path) as reply:
                version, body = reply.headers["ETag"], await reply.read()
                assert reply.headers["Cache-Control"] == "no-cache"
                assert len(body) < LARGE or reply.headers["Content-Encoding"] in {"gzip", "zstd"}
            async with http.get(core.url + path, headers={"If-None-Match": version}) as reply:
                assert (reply.status, await reply.read()) == (304, b"")
                assert reply.headers["ETag"].removeprefix("W/") == version.removeprefix("W/")
