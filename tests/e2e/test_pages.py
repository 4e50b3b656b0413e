"""
Pages in headless Chromium against the whole stack as `veritas up` runs it (spec.md U-3, X-3): the client
class of proctor-module.txt, unchanged, on a page of another origin and on one of the core API's own.

Playwright has a loop of its own in a thread: its synchronous form would leave one running in the tests' own.
"""

import shutil
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
import pytest
from playwright.async_api import Browser, Error, Page, async_playwright
from psycopg.rows import dict_row

from tests.conftest import make_server_folder
from tests.integration.deploy.test_stack import answer, running_stack
from tests.kits.clusters import laid_state
from tests.kits.processes import There, loop_beside

HERE: Final = Path(__file__).parent
SCRIPTS: Final = [(HERE / name).read_text() for name in ("proctor_client.js", "page.js")]
BLANK: Final = "<!doctype html><html lang=en><meta charset=utf-8><title>Exam</title>"
ARGUMENTS: Final = (
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
WITHIN_S: Final = 60.0


class Site(SimpleHTTPRequestHandler):
    """Somebody else's web server: one blank page, whatever is asked for."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(BLANK.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class World(msgspec.Struct, frozen=True):
    """The running stack, somebody else's site, and the browser."""

    local: dict[str, Any]
    site_port: int
    browser: Browser
    there: There
    owner: "psycopg.Connection[dict[str, Any]]"

    @property
    def student(self) -> dict[str, str]:
        return self.account("student")

    def account(self, role: str) -> dict[str, str]:
        found: dict[str, str] = next(each for each in self.local["accounts"] if each["role"] == role)
        return found

    def open(self, address: str) -> "Tab":
        """Open a page and let it load its scripts."""

        async def opened() -> Page:
            page = await self.browser.new_page()
            page.set_default_timeout(WITHIN_S * 1000)
            await page.goto(address)
            for script in SCRIPTS:
                await page.add_script_tag(content=script)
            return page

        return Tab(self.there(opened()), self.there)

    def stored(self, told: str) -> list[dict[str, Any]]:
        """Wait until PostgreSQL holds an event whose metadata say this; return what holds it."""
        deadline = time.monotonic() + WITHIN_S
        while not (rows := self.events(told)):
            assert time.monotonic() < deadline, f"no event of {told} was stored; there are {self.events()}"
            time.sleep(0.1)
        return rows

    def events(self, told: str | None = None) -> list[dict[str, Any]]:
        return self.owner.execute(
            "SELECT event_type, severity, payload::text FROM events"
            " WHERE %(told)s::text IS NULL OR strpos(payload::text, %(told)s) > 0 ORDER BY session_id, seq",
            {"told": told},
        ).fetchall()


class Tab:
    """A page, and the way to it."""

    def __init__(self, page: Page, there: There) -> None:
        self.page = page
        self.there = there

    def run(self, script: str, **given: object) -> Any:
        """Run the body of an asynchronous function in the page, with `given` and what it kept in `window`."""
        return self.there(self.page.evaluate(f"async (given) => {{ {script} }}", given))

    def leave(self) -> None:
        """Go somewhere else, and close the page."""
        self.there(self.page.goto("about:blank"))
        self.there(self.page.close())


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One stack and one browser for all the tests here."""
    folder = make_server_folder()
    site = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=site.serve_forever, daemon=True)
    thread.start()
    try:
        with (
            running_stack(laid_state(folder / "state")) as (_, local),
            psycopg.connect(local["database_url"], autocommit=True, row_factory=dict_row) as owner,
            loop_beside() as there,
        ):
            playwright = there(async_playwright().start())
            launch = partial(playwright.chromium.launch, args=ARGUMENTS, timeout=WITHIN_S * 1000)
            browser = there(launch(executable_path=shutil.which("chromium")))
            try:
                yield World(local, site.server_port, browser, there, owner)
            finally:
                there(browser.close())
                there(playwright.stop())
    finally:
        site.shutdown()
        site.server_close()
        thread.join()
        shutil.rmtree(folder)


def allow(world: World, *origins: str) -> None:
    """Let an admin of the school allow these origins."""
    admin, url = world.account("admin"), world.local["url"]
    signed_in = answer(f"{url}/api/auth/login", {"email": admin["email"], "password": admin["password"]})
    put = {"origins": list(origins)}
    told = answer(f"{url}/api/admin/allowed-origins", put, method="PUT", token=signed_in["access_token"])
    assert told == put


SIT: Final = "window.client = await sit(given.core, given.email, given.password); return client.ingestUrl"


def work(tab: Tab, world: World, page: str, core: str) -> str:
    """Sit the exam in the page as its class does, and leave it; return where its events went."""
    student = world.student
    url: str = tab.run(SIT, core=core, email=student["email"], password=student["password"])
    tab.run("document.dispatchEvent(new ClipboardEvent('copy')); dispatchEvent(new Event('blur'))")
    tab.run("await client.logEvent('TabSwitched', 2, { page: given.page, tabCount: 3 })", page=page)
    tab.run("await client.sendHeartbeat()")
    beat = tab.run("""
        const reply = await fetch('/api/proctor/heartbeat', {
            method: 'POST',
            headers: { 'Content-Type': 'application/json', 'Authorization': `Bearer ${client.token}` },
            body: JSON.stringify({ proctorSessionId: client.sessionId }),
        });
        const { beaconToken } = await reply.json();
        client.beaconToken = beaconToken;
        return { url: reply.url, load: reply.headers.get('X-Ingest-Load'), isGiven: Boolean(beaconToken) };
    """)
    assert beat.pop("load").isdigit()  # 0 where the machine has time for it
    assert beat == {"url": f"{url}/api/proctor/heartbeat", "isGiven": True}
    tab.run("beaconAtTheEnd(client, 'FullscreenExited', { beaconOf: given.page })", page=page)
    tab.leave()
    return url


def test_a_page_of_another_origin_runs_the_client_class_posts_and_beacons(world: World) -> None:
    origin = f"http://127.0.0.1:{world.site_port}"
    allow(world, origin)
    tab = world.open(origin)
    until_allowed(tab, world)

    url = work(tab, world, "another origin", world.local["url"])

    assert url == world.local["ingest_url"]
    assert [row["event_type"] for row in world.stored("another origin")[:1]] == [2]
    assert [(row["event_type"], row["severity"]) for row in world.stored('beaconOf": "another origin')] == [
        (4, 2)
    ]
    assert {1, 3, 5} <= {row["event_type"] for row in world.events()}  # heartbeats, blurred, copied


def until_allowed(tab: Tab, world: World) -> None:
    """Wait until both tiers let the page read what they answer; they learn of it within seconds."""
    asked = "return (await fetch(given.url, { headers: { Authorization: 'Bearer x' } })).status"
    for tier in ("url", "ingest_url"):
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                assert tab.run(asked, url=f"{world.local[tier]}/api/proctor/event") == 405
                break
            except Error:
                assert time.monotonic() < deadline, f"{tier} does not let the page read"
                time.sleep(0.1)


def test_a_page_of_the_core_api_s_own_origin_posts_to_the_ingest_port(world: World) -> None:
    for host in ("127.0.0.1", "localhost"):
        core, ingest = (world.local[each].replace("127.0.0.1", host) for each in ("url", "ingest_url"))
        tab = world.open(f"{core}/livez")

        assert work(tab, world, f"own origin, {host}", core) == ingest

        assert world.stored(f'page": "own origin, {host}')
        assert world.stored(f'beaconOf": "own origin, {host}')


def test_a_page_that_nobody_allows_cannot(world: World) -> None:
    allow(world, f"http://127.0.0.1:{world.site_port}")
    tab = world.open(f"http://localhost:{world.site_port}")  # another origin than that one
    student = world.student
    own = {"email": student["email"], "password": student["password"]}
    token = answer(f"{world.local['url']}/api/auth/login", own)["access_token"]
    exams = answer(f"{world.local['url']}/api/student/exams/available", token=token)["exams"]
    start = f"{world.local['url']}/api/student/exams/{exams[0]['id']}/start"
    attempt = answer(start, {}, token=token)["attempt_id"]
    started = answer(f"{world.local['url']}/api/proctor/session", {"attemptId": attempt}, token=token)

    with pytest.raises(Error, match="Failed to fetch"):
        tab.run(SIT, core=world.local["url"], **own)
    for tier in ("url", "ingest_url"):
        with pytest.raises(Error, match="Failed to fetch"):
            tab.run(
                """
                const client = new ProctorClient(given.session);
                client.token = given.token;
                document.head.append(Object.assign(document.createElement('base'), { href: `${given.to}/` }));
                await client.logEvent('TabSwitched', 2, { page: 'a stranger' });
                """,
                session=started["data"]["proctorSessionId"], token=token, to=world.local[tier],
            )  # fmt: skip
        tab.run(
            "const page = { beaconToken: given.beaconToken, sessionId: given.data.proctorSessionId };"
            "beaconAtTheEnd(page, 'TabSwitched', { beaconOf: 'a stranger' });",
            **started,
        )
    tab.leave()
    # what comes after it is stored, and nothing of it
    last = world.open(world.local["url"] + "/livez")
    work(last, world, "after the stranger", world.local["url"])
    world.stored('beaconOf": "after the stranger')
    assert world.events("a stranger") == []
