"""
Pages of other origins at every address of every tier: whatever is answered, a page that may call can read it,
and no other (spec.md X-3). The wall walks the routes.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from time import monotonic
from typing import Any

import aiohttp
import psycopg
import pytest
from msgspec import Struct
from multidict import CIMultiDictProxy
from uuid_utils.compat import uuid7

from core_api import seeding
from core_api.app import routes
from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from deploy.origin import build
from ingest.routes import ROUTES
from kernel.access import ACCESS
from kernel.events import Role
from kernel.http.headers import IN_REQUESTS
from kernel.http.origins import EXPOSED_HEADERS, REQUEST_HEADERS, UNREAD
from kernel.http.serving import _refusal, serve
from kernel.http.web import API_PREFIX, Route
from tests.conftest import emptied, logins_on, new_database
from tests.kits.core import Api, Core, put, settings_of, url_of
from tests.kits.ingest.station import Station, listening, station
from tests.kits.ingest.waiting import until
from tests.kits.processes import loop_beside


def names(field: str) -> set[str]:
    return {each.strip().lower() for each in field.split(",")}


PORTAL, BESIDE = "https://portal.example.org", "http://127.0.0.1:3000"
ALLOWED = f"{PORTAL},:3000"
STRANGERS = (
    "https://evil.example.org",
    "https://portal.example.org/",
    "null",
    "http://portal.example.org",
    "https://PORTAL.example.org",
    "portal.example.org",
    "*",
    "",
    "https://portal.example.org, https://evil.example.org",
    "https://portal.example.org.evil.example",
    f"https://{'a' * 4000}.example",
)
WITHIN_S = 30.0
# What a page may read of any reply (CORS-safelisted), and what concerns it not at all.
SAFE = names("Content-Type, Content-Length, Cache-Control, Content-Language, Expires, Last-Modified, Pragma")
NOT_FOR_PAGES = names(
    "Date, Server, Vary, Connection, Keep-Alive, Transfer-Encoding, Content-Encoding, Accept-Ranges,"
    "X-Content-Type-Options, Content-Security-Policy, Referrer-Policy, Strict-Transport-Security"
)
ROOMS = {"core": routes(), "ingest": ROUTES}


def check(origin: str, headers: "CIMultiDictProxy[str]", *, may_read: bool) -> None:
    """Check what a reply says of origins."""
    assert headers.getall("Access-Control-Allow-Origin", []) == ([origin] if may_read else [])
    assert "origin" in names(",".join(headers.getall("Vary")))
    assert "Access-Control-Allow-Credentials" not in headers
    exposed = names(headers.get("Access-Control-Expose-Headers", ""))
    assert exposed == (names(EXPOSED_HEADERS) if may_read else {""})
    carried = {name.lower() for name in headers if not name.lower().startswith("access-control-")}
    assert carried - SAFE - NOT_FOR_PAGES <= names(EXPOSED_HEADERS), carried


def address(route: Route) -> str:
    return API_PREFIX + re.sub(
        r"\{(\w+)\}", lambda name: "7" if name[1] == "id" else str(uuid7()), route.path
    )


@pytest.fixture(scope="module")
def core(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Core]:
    """The one origin: the core API and ingest, with no writer behind it."""
    with new_database(postgres) as database, seeding.connect(database) as seeder, loop_beside() as there:
        database_as = logins_on(database, template, emptied(redis_server))
        settings = settings_of(
            database_as,
            ingest_database_url=database_as("veritas_ingest"),
            allowed_origins=ALLOWED,
            account_burst_requests=1_000_000,
        )

        async def ready() -> None:
            return None

        async def begin() -> Any:
            return await serve(await build(settings, ready), settings, port=0)

        runner = there(begin())
        try:
            yield Core(url_of(runner), database, database_as, seeder)
        finally:
            there(runner.cleanup())


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    with station(postgres, template, redis_server.url, allowed_origins=ALLOWED) as at:
        yield at


class Pages(Struct, frozen=True):
    """People of two organisations, and an origin that each of them allows."""

    api: Api
    own: str
    others: str

    @property
    def allowed(self) -> set[str]:
        """What may be read of by somebody whom nobody knows yet."""
        return {self.own, self.others, PORTAL, BESIDE}


@pytest.fixture
async def pages(core: Core) -> AsyncIterator[Pages]:
    async with core.school() as api:
        pages = Pages(api, *(f"https://{uuid7()}.example" for _ in range(2)))
        for admin, origin in (("admin", pages.own), ("boss", pages.others)):
            answer = await put(api, "/api/admin/allowed-origins", admin, origins=[origin])
            assert answer.status == 200, answer.body
        await until_told(api, "/api/me", pages.own, pages.others)
        yield pages


async def preflight(api: Api, path: str, origin: str, method: str = "POST") -> Any:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    return await api.call(
        "OPTIONS", path, headers=asked | {"Access-Control-Request-Headers": "authorization"}
    )


async def until_told(api: Api, path: str, *origins: str, allowed: bool = True) -> None:
    """Wait until the process knows of the origins; that takes seconds."""
    deadline = monotonic() + WITHIN_S
    for origin in origins:
        while True:
            told = (await preflight(api, path, origin)).headers.get("Access-Control-Allow-Origin")
            if (told == origin) is allowed:
                break
            assert monotonic() < deadline, f"{origin} is told {told}"
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("room", ROOMS)
async def test_a_page_reads_every_reply_where_its_origin_is_allowed_and_no_other_page_does(
    pages: Pages, room: str
) -> None:
    seen: set[int] = set()
    gate = asyncio.Semaphore(16)
    api, anybodys = pages.api, pages.allowed
    origins = (pages.own, pages.others, PORTAL, *STRANGERS[:3])

    async def ask(method: str, path: str, origin: str, by: str | None, allowed: set[str]) -> None:
        async with gate:
            answer = await api.call(method, path, by, headers={"Origin": origin}, json={})
        seen.add(answer.status)
        try:
            check(origin, answer.headers, may_read=origin in allowed)
        except AssertionError as error:
            error.add_note(f"{method} {path} of {origin[:80]!r} by {by}: {answer.status}")
            raise

    asked = []
    for route in ROOMS[room]:
        path, wrong = address(route), "PATCH" if route.method != "PATCH" else "PUT"
        roles = () if route.action is None else ACCESS[route.action]
        by = next((str(role) for role in roles), None)
        theirs = anybodys if by is None else anybodys - {pages.others}
        for origin in origins:
            asked.append(ask(route.method, path, origin, by, theirs))
            asked.append(ask(wrong, path, origin, by, anybodys if answers_nobody(wrong, path) else theirs))
            if by is not None:
                asked.append(ask(route.method, path, origin, None, anybodys))
    asked += [ask("GET", "/api/nowhere", origin, None, anybodys) for origin in (*origins, BESIDE, *STRANGERS)]
    asked += [ask("GET", "/readyz", origin, None, anybodys) for origin in (*origins, BESIDE, *STRANGERS)]
    await asyncio.gather(*asked)

    assert seen >= {401, 404, 405, 422} | ({200} if room == "core" else {503})


def answers_nobody(method: str, path: str) -> bool:
    """Tell whether an address does not take the method: nobody looks at who asks."""
    return not any(
        each.method == method
        and re.fullmatch(API_PREFIX + re.sub(r"\{\w+\}", "[^/]+", each.path), path) is not None
        for room in ROOMS.values()
        for each in room
    )


async def test_a_preflight_says_what_the_address_takes_to_pages_that_anybody_allows(pages: Pages) -> None:
    api = pages.api
    taken: dict[str, set[str]] = {}
    for route in (route for room in ROOMS.values() for route in room):
        taken.setdefault(route.path, set()).add(route.method)
    for route in (route for room in ROOMS.values() for route in room):
        for prefix in ("/api", "") if route.also_bare else ("/api",):
            for origin in (*pages.allowed, *STRANGERS[:3]):
                answer = await preflight(
                    api, prefix + address(route).removeprefix("/api"), origin, route.method
                )
                may_read = origin in pages.allowed
                check(origin, answer.headers, may_read=may_read)
                assert (answer.status, answer.body) == (204, b""), route.path
                assert names(answer.headers["Allow"]) >= {each.lower() for each in taken[route.path]}
                told = {
                    name: answer.headers.get(f"Access-Control-{name}")
                    for name in ("Allow-Methods", "Allow-Headers", "Max-Age")
                }
                assert told == {
                    "Allow-Methods": answer.headers["Allow"] if may_read else None,
                    "Allow-Headers": REQUEST_HEADERS if may_read else None,
                    "Max-Age": "600" if may_read else None,
                }
    read = {name.lower() for name in IN_REQUESTS} | {"authorization", "content-type"}
    assert names(REQUEST_HEADERS) == read
    assert read >= {"accept-language", "content-encoding", "idempotency-key", "if-none-match", "x-request-id"}
    assert (await preflight(api, "/api/nowhere", pages.own)).status == 404


async def test_an_origin_that_is_taken_back_reads_nothing_more(pages: Pages) -> None:
    api, own = pages.api, pages.own
    before = await api.get("/api/me", "student", headers={"Origin": own})
    assert before.headers["Access-Control-Allow-Origin"] == own

    assert (await put(api, "/api/admin/allowed-origins", "admin", origins=[])).body == {"origins": []}
    await until_told(api, "/api/me", own, allowed=False)

    after = await api.get("/api/me", "student", headers={"Origin": own})
    assert after.status == 200
    check(own, after.headers, may_read=False)


async def test_what_a_browser_says_is_another_site_s_is_refused_before_anything_is_done(
    pages: Pages,
) -> None:
    api = pages.api

    def sent(origin: str, site: str) -> dict[str, str]:
        return {"Origin": origin, "Sec-Fetch-Site": site}

    async def rename(name: str, origin: str, site: str) -> Any:
        return await api.call(
            "PUT", "/api/me", "student", json={"full_name": name}, headers=sent(origin, site)
        )

    assert (await rename("Mine", pages.own, "cross-site")).status == 200
    for origin in (pages.others, *STRANGERS[:6]):
        for site in ("cross-site", "same-site"):
            refused = await rename("Theirs", origin, site)
            assert (refused.status, refused.body["code"]) == (403, "origin_not_allowed")
            check(origin, refused.headers, may_read=False)
    assert (await api.get("/api/me", "student")).body["full_name"] == "Mine"
    # a page of our own, at an address that nobody told us; and what is no browser
    assert (await rename("Ours", "https://our.example", "same-origin")).status == 200
    assert (await api.get("/api/me", "student", headers={"Origin": pages.others})).status == 200


async def test_ingest_alone_learns_of_origins_and_lets_their_pages_read(running: Station) -> None:
    world = running.world
    own, others = "https://exams.example.org", "https://other.example.org"
    seat = world.seat()
    elsewhere = world.token(Role.service, org=world.elsewhere)
    for org, origin in ((world.org, own), (world.elsewhere, others)):
        world.run("INSERT INTO allowed_origins VALUES (%s, %s, now())", org, [origin])
    body = {"proctorSessionId": seat.session_id, "eventType": 2}
    async with aiohttp.ClientSession() as http:

        async def post(origin: str, token: str, path: str = "/api/proctor/event") -> Any:
            headers = {"Origin": origin, "Authorization": f"Bearer {token}"}
            async with http.post(running.url + path, json=body, headers=headers) as reply:
                await reply.read()
                return reply

        deadline = monotonic() + WITHIN_S
        while "Access-Control-Allow-Origin" not in (await post(own, seat.token)).headers:
            assert monotonic() < deadline, "ingest does not learn of the origin"
            await asyncio.sleep(0.05)
        for origin in (own, others, PORTAL, BESIDE, *STRANGERS):
            stored = await post(origin, seat.token)
            assert stored.status == 202
            check(origin, stored.headers, may_read=origin in {own, PORTAL, BESIDE})
            foreign = await post(origin, elsewhere)
            assert foreign.status == 404
            check(origin, foreign.headers, may_read=origin in {others, PORTAL, BESIDE})
            unknown = await post(origin, "x")
            assert unknown.status == 401
            check(origin, unknown.headers, may_read=origin in {own, others, PORTAL, BESIDE})


async def test_while_origins_are_not_known_a_page_is_asked_to_come_again_and_not_refused(
    running: Station,
) -> None:
    """A process that starts while PostgreSQL does not say; what a page that is left sends comes once."""
    world = running.world
    allowed, other = (f"https://{uuid7()}.example" for _ in range(2))
    seat = world.seat()
    world.run(
        "INSERT INTO allowed_origins VALUES (%s, %s, now()) ON CONFLICT (organisation_id)"
        " DO UPDATE SET origins = excluded.origins, changed_at = excluded.changed_at",
        world.org, [allowed],
    )  # fmt: skip

    async with aiohttp.ClientSession() as http:

        async def post(url: str, origin: str, *, beacon: str = "", path: str = "/events/bulk") -> Any:
            headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
            body: dict[str, Any] = {"proctorSessionId": seat.session_id}
            if path == "/events/bulk":
                body["events"] = [{"eventType": 2}]
            if beacon:
                body["beaconToken"] = beacon
            else:
                headers["Authorization"] = f"Bearer {seat.token}"
            async with http.post(f"{url}/api/proctor{path}", json=body, headers=headers) as reply:
                return reply.status, reply.headers, await reply.json()

        page = (await post(running.url, PORTAL, path="/heartbeat"))[2]["beaconToken"]
        with psycopg.connect(world.address) as holder:
            holder.execute("LOCK TABLE allowed_origins IN ACCESS EXCLUSIVE MODE")
            with listening(running.settings) as (url, part, there):
                await until(lambda: there(part.ready()) is None, "every shard to be open")
                for origin in (allowed, other):
                    status, headers, body = await post(url, origin)
                    assert (status, body["code"]) == (503, "unavailable")
                    assert "pages may call" in body["detail"]
                    assert int(headers["Retry-After"]) > 0
                    assert (await post(url, origin, beacon=page))[0] == 202
                assert (await post(url, PORTAL))[0] == 202, "the deployment's own are known from the start"

                holder.rollback()
                deadline = monotonic() + WITHIN_S
                while (last := (await post(url, allowed))[0]) != 202:
                    assert monotonic() < deadline, f"{last}: the origin is not learned of"
                    await asyncio.sleep(0.05)
                for beacon in ("", page):
                    status, _, body = await post(url, other, beacon=beacon)
                    assert (status, body["code"]) == (403, "origin_not_allowed")


async def test_what_is_refused_before_it_was_read_is_for_every_page_and_tells_of_nobody(core: Core) -> None:
    host, port = core.url.removeprefix("http://").split(":")
    for nonsense in (b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nOrigin: a\x00b\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(nonsense)
        async with asyncio.timeout(WITHIN_S):
            reply = await reader.read()
        writer.close()
        assert b"Access-Control-Allow-Origin: *\r\n" in reply, reply
        assert b"Access-Control-Allow-Credentials" not in reply
    for part in UNREAD.items():
        assert ": ".join(part).encode() in _refusal()  # too many are connected
