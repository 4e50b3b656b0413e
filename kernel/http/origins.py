"""
Pages of other origins: which may call, and what their browsers are told (CORS, fetch.spec.whatwg.org).

A browser lets a page read a reply only where the reply names the page's origin, and asks before a request
that a plain form could not send (a preflight, which carries no token). So a preflight is answered for every
origin that anybody allows, the deployment or one of its organisations; the request that follows is its
asker's, and names the origin only where their organisation or the deployment allows it. Credentials in the
browser's sense, cookies, do not exist here, and are never allowed.

Who may do what is decided by tokens, as ever: this is about what pages may read. Only a request that the
browser itself says is another site's is refused, before anything is done.
"""

import asyncio
import contextlib
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final

import structlog
from aiohttp import web
from yarl import URL

from kernel.errors import OriginNotAllowedError, UnavailableError
from kernel.http.headers import IN_REQUESTS
from kernel.running.tasks import WATCH
from kernel.settings import Settings
from kernel.tokens import Claims

log = structlog.get_logger(__name__)

CHARS_MAX: Final = 300  # of an origin, as it is given
REFRESH_S: Final = 2.0
START_S: Final = 2.0  # for so long a process that starts waits to know them
OVERLAP: Final = timedelta(minutes=1)  # longer than a transaction that changes origins can take to commit
_GIVEN: Final = re.compile(r"https?://[^/?#@\\\s]+", re.IGNORECASE)
_NORMAL: Final = re.compile(
    r"https?://(?:(?P<name>(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)"
    r"|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?"
)
_NUMERIC: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_HOST: Final = re.compile(r"(\[[^\]]*\]|[^:]*)(?::[0-9]*)?")
# What a page of ours or of somebody else's sends, beyond what every page may send without asking.
REQUEST_HEADERS: Final = ", ".join(sorted({*IN_REQUESTS, "Authorization", "Content-Type"}))
# What replies carry that a page may read, beyond what every page may (Content-Type, Content-Length and such).
EXPOSED_HEADERS: Final = (
    "Accept-Encoding, Allow, Content-Disposition, ETag, Link, Location, Retry-After, Upgrade,"
    " WWW-Authenticate, X-Ingest-Load, X-Request-Id"
)
# A refusal from before a request was read tells nothing of anybody: whoever sees it may read it.
UNREAD: Final = {
    "Vary": "Origin",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": EXPOSED_HEADERS,
}
_ASKING: Final = "Access-Control-Request-Method"
_OTHER_SITES: Final = frozenset({"cross-site", "same-site"})

CLAIMS: Final = web.RequestKey("claims", Claims)  # of whoever asks, once their token is verified
# Organisations whose origins have changed since a time, with all of their origins, and when they have.
Read = Callable[[datetime], Awaitable[Iterable[tuple[str, list[str], datetime]]]]
Away = tuple[type[BaseException], ...]


def normal_origin(text: str) -> str:
    """
    Return an origin as browsers send it: `https://exams.example.org`, `http://localhost:3000`.

    Letters are small, names of other scripts are in their ASCII form, and the scheme's own port is left out.

    Raises:
        ValueError: it is no origin of a web page; the message says what is wrong, and quotes nothing.
    """
    if len(text) > CHARS_MAX:
        message = f"Expected at most {CHARS_MAX} characters"
        raise ValueError(message)
    if "*" in text:
        raise ValueError("Wildcards are not taken: name each origin")
    if not _GIVEN.fullmatch(text):
        raise ValueError("Expected http:// or https://, a host and at most a port, with no path behind it")
    try:
        origin = str(URL(text).origin())
    except ValueError:
        origin = ""
    found = _NORMAL.fullmatch(origin)
    if found is None or not _is_host(found["name"]) or text.endswith(":"):
        raise ValueError("The host or the port is not one that a page can have")
    return origin


def _is_host(name: str | None) -> bool:
    """Tell whether a name is one; what ends in a number is an IPv4 address to a browser, and no name."""
    if name is None or not _NUMERIC.fullmatch(name.rpartition(".")[2]):
        return name is None or len(name) <= 253
    try:
        return str(ip_address(name)) == name
    except ValueError:
        return False


def _port(text: str) -> str:
    """Return a port of any host, as `:8080`; raises ValueError."""
    normal_origin(f"http://localhost{text}")
    return text


def hostname(host: str) -> str:
    """Return the name in a Host header, without its port."""
    found = _HOST.match(host)
    return found[1] if found is not None else ""


def ingest_url(setting: str, request: web.Request) -> str | None:
    """
    Return where the page that asks reaches ingest, by the setting of that name: a port of the host that it
    reached us by, or a whole address; None where it has no address of its own.
    """
    if setting.startswith(":"):
        return f"{request.scheme}://{hostname(request.host)}{setting}"
    return setting or None


class Origins:
    """The origins that may call: the deployment's, and each organisation's as far as this process knows."""

    def __init__(self, settings: Settings) -> None:
        """
        Know the deployment's; `watch` learns of the organisations'.

        Raises:
            ValueError: `allowed_origins` is malformed.
        """
        given = [each.strip() for each in settings.allowed_origins.split(",") if each.strip()]
        try:
            self._everywhere = frozenset(normal_origin(each) for each in given if not each.startswith(":"))
            self._ports = [_port(each) for each in given if each.startswith(":")]
        except ValueError as error:
            message = f"allowed_origins: {error}"
            raise ValueError(message) from error
        self._of: dict[str, frozenset[str]] = {}
        self._anybodys: frozenset[str] = frozenset()
        self._since = datetime.fromtimestamp(0, UTC)
        self.known = asyncio.Event()  # set once the organisations' were read
        self.max_age_s = settings.preflight_max_age_s

    def allow(self, origin: str, host: str, organisation: str | None) -> bool:
        """
        Tell whether pages of an origin may call.

        Args:
            origin: as the browser sent it.
            host: the Host header of the request.
            organisation: of whoever asks; None where nobody can know, and anybody's origins count.
        """
        theirs = self._anybodys if organisation is None else self._of.get(organisation, frozenset())
        return origin in self._everywhere or origin in theirs or self._is_beside(origin, host)

    def _is_beside(self, origin: str, host: str) -> bool:
        """Tell whether it is a page of the same host, on one of the ports that pages are served from."""
        if not self._ports:
            return False
        name = hostname(host)
        return any(
            origin == f"{scheme}://{name}" + ("" if port == own else port)
            for scheme, own in (("http", ":80"), ("https", ":443"))
            for port in self._ports
        )

    def learn(self, rows: Iterable[tuple[str, list[str]]]) -> None:
        """Take in the origins of these organisations, which replace what was known of them."""
        of = self._of | {organisation: frozenset(origins) for organisation, origins in rows}
        self._of = {organisation: origins for organisation, origins in of.items() if origins}
        self._anybodys = frozenset().union(*self._of.values())

    async def refresh(self, read: Read) -> None:
        """
        Learn what has changed since the last change that was read, by the clock that stamps them.

        What began before that and was committed after it is found by looking a moment further back.
        """
        rows = list(await read(self._since))
        if rows:
            self.learn((organisation, origins) for organisation, origins, _ in rows)
            self._since = max(changed_at for _, _, changed_at in rows) - OVERLAP
        self.known.set()

    async def watch(self, read: Read, away: Away) -> None:
        """
        Learn of changes for ever.

        Args:
            read: asks PostgreSQL.
            away: what it raises while nobody can say; what is known stays.
        """
        while True:
            try:
                await self.refresh(read)
            except away as error:
                log.warning("origins_not_refreshed", error=error)
            await asyncio.sleep(REFRESH_S)


ORIGINS: Final = web.AppKey("origins", Origins)
_IS_WATCHED: Final = web.AppKey("origins_are_watched", bool)


def attach_origins(app: web.Application, read: Read, away: Away) -> None:
    """Let the application learn of changes while it runs, once, whoever of those composed into it asks."""
    if app.get(_IS_WATCHED, False):
        return
    app[_IS_WATCHED] = True
    origins = app[ORIGINS]

    async def watching(app: web.Application) -> AsyncIterator[None]:
        async with app[WATCH].kept(("origins", lambda: origins.watch(read, away))):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(origins.known.wait(), START_S)
            yield

    app.cleanup_ctx.append(watching)


def asked_by(request: web.Request, claims: Claims, *, by_page: bool = False) -> None:
    """
    Note who asks, once their token is verified.

    Args:
        request: what they ask.
        claims: of their token.
        by_page: the token is a page's own. It says itself who may, and nobody reads the reply: while nobody
            knows which origins are allowed, it passes.

    A WebSocket is opened by a browser for any page, which may read it: there the origin itself says whose
    page it is.

    Raises:
        OriginNotAllowedError: the browser says that a page of another site does, and their organisation does
            not allow its origin.
        UnavailableError: it says so, and what their organisation allows was not read yet.
    """
    request[CLAIMS] = claims
    origin, origins = request.headers.get("Origin"), request.app[ORIGINS]
    if (
        origin is None
        or not _is_other_sites(request, origin)
        or origins.allow(origin, request.host, claims.org)
    ):
        return
    if origins.known.is_set():
        raise OriginNotAllowedError("Your organisation does not allow pages of this origin.")
    if not by_page:
        message = "Which pages may call is not known yet; nothing was done."
        raise UnavailableError(message, retry_after_s=math.ceil(REFRESH_S))


def _is_other_sites(request: web.Request, origin: str) -> bool:
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return origin.partition("://")[2] != request.host
    return request.headers.get("Sec-Fetch-Site") in _OTHER_SITES


async def say_origin(request: web.Request, response: web.StreamResponse) -> None:
    """
    Let the page that asked read any reply, a refusal above all, where its origin is allowed; and where it
    asks whether it may ask, say what.

    Every reply says that it depends on the origin, to whatever keeps replies on the way.
    """
    headers = response.headers
    headers.add("Vary", "Origin")
    origin = request.headers.get("Origin")
    if origin is None:
        return
    origins, claims = request.app[ORIGINS], request.get(CLAIMS)
    if not origins.allow(origin, request.host, None if claims is None else claims.org):
        return
    headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    if request.method == "OPTIONS" and "Allow" in headers and _ASKING in request.headers:
        headers["Access-Control-Allow-Methods"] = headers["Allow"]
        headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
        headers["Access-Control-Max-Age"] = str(origins.max_age_s)
