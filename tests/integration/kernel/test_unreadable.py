"""
Bytes that are no request, and requests whose bytes were changed: a reply of our own form or a closed
connection, with nothing in it or in the log of what was sent (RFC 9112, spec.md X-1).
"""

import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from kernel.http.web import COMMON
from tests.kits.core import Core
from tests.kits.ingest.station import Station

SECRET = b"canary-8d1f0c55"
WITHIN_S = 20.0
SILENCE_S = 0.05  # after which a client says that it sends no more; the answer may come before or after
HEAD = b"Host: x\r\nContent-Type: application/json\r\n"
LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST /api/auth/login HTTP/1.1\r\n" + HEAD
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
NONSENSE: dict[str, bytes] = {
    "TLS": b"\x16\x03\x01 " + SECRET + b"\r\n\r\n",
    "no method": b"G@T /" + SECRET + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\nHost: " + SECRET + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "2.0": b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n",
    "0.9": b"GET /" + SECRET + b"\r\n\r\n",
    "NUL in a header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + SECRET + b"\x00\r\n\r\n",
    "NUL in the path": b"GET /\x00" + SECRET + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the path": b"GET /\xff\xfe" + SECRET + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "no colon": b"GET /livez HTTP/1.1\r\nHost: x\r\n" + SECRET + b"\r\n\r\n",
    "a space in a name": b"GET /livez HTTP/1.1\r\nHost: x\r\n" + SECRET + b" a: b\r\n\r\n",
    "folded": b"GET /livez HTTP/1.1\r\nHost: x\r\nA: b\r\n " + SECRET + b"\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: " + SECRET + b"\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\nX: " + SECRET + b"\r\n\r\n",
    "newlines alone": b"GET /livez HTTP/1.1\nHost: " + SECRET + b"\n\n",
    "no such URI": b"GET http://[::1/" + SECRET + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "no such port": b"GET http://x:99999999/" + SECRET + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "no slash": b"GET livez" + SECRET + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "asterisk": b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "length of letters": POST + b"Content-Length: " + SECRET + b"\r\n\r\n",
    "length below zero": POST + b"Content-Length: -1\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown transfer": POST + b"Transfer-Encoding: " + SECRET + b"\r\n\r\n",
    "a chunk of letters": CHUNKED + SECRET + b"\r\n\r\n",
    "a later chunk": CHUNKED + b"3\r\nabc\r\nZZ" + SECRET + b"\r\n\r\n",
    "behind an upgrade": b"GET /livez HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n" + SECRET + b"\r\n\r\n",
    "behind a request": b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + SECRET + b"\r\n\r\n",
}  # fmt: skip
TOO_LONG = {
    "path": b"GET /" + SECRET * 1000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + SECRET * 1000 + b"\r\n\r\n",
}
REQUESTS = (
    b"GET /api/me?" + SECRET + b"=" + SECRET + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + SECRET
    + b"\r\n\r\n",
    b"GET /api/docs/" + SECRET + b" HTTP/1.1\r\nHost: x\r\nCookie: " + SECRET + b"\r\n\r\n",
    POST + b'Content-Length: 17\r\n\r\n"' + SECRET + b'"',
    CHUNKED + b'11\r\n"' + SECRET + b'"\r\n0\r\n\r\n',
    b"PUT /api/me HTTP/1.0\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 15\r\n\r\n" + SECRET,
)  # fmt: skip
PIECES = (
    b"\r\n", b"\n", b"\r\n\r\n", b"\x00", b":", b" ", b"\t", b"\xff", b"%", b"%00", b"[", b"//", b"*",
    b"HTTP/9.9",
    b"Content-Length: 99999\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n", b"Expect: 100-continue\r\n", b"Expect: \xff\r\n",
    UPGRADE, b"Connection: close\r\n", b"X: y\r\n" * 200, b"A" * 9000,
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n",
)  # fmt: skip
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.one_of(st.sampled_from(PIECES), st.binary(max_size=6))),
    max_size=5,
)


class Reply(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes
    version: str


def talk(url: str, *sent: bytes, hangs_up: bool = False) -> bytes:
    """
    Send bytes on a connection of their own, and read until the server closes it; who hangs up says after a
    moment that nothing more comes.
    """
    address = urlsplit(url)
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 80), timeout=WITHIN_S) as connection:
        received = []
        with suppress(ConnectionError):
            for each in sent:
                connection.sendall(each)
                connection.settimeout(SILENCE_S)
                with suppress(TimeoutError):
                    while more := connection.recv(65536):
                        received.append(more)
                connection.settimeout(WITHIN_S)
            if hangs_up:
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65536):
                received.append(more)
        return b"".join(received)


def replies(raw: bytes) -> Iterator[Reply]:
    """Give each of the replies that came, whole and in order; fails where anything else came."""
    while raw:
        head, end, raw = raw.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        status = re.fullmatch(rb"HTTP/1\.[01] ([1-5]\d\d) [^\r\n\x00]*", line)
        assert end, head
        assert status, line
        read = [re.fullmatch(rb"([\w-]+): ([^\r\n\x00]*)", field) for field in fields]
        assert all(read), fields
        headers = {each[1].decode().lower(): each[2].decode() for each in read if each}
        length = int(headers.get("content-length", "0"))
        if raw.startswith(b"HTTP/1."):
            length = 0  # of a reply to HEAD
        body, raw = raw[:length], raw[length:]
        if status[1] != b"100":
            yield Reply(int(status[1]), headers, body, line[:8].decode())


def is_a_problem(reply: Reply) -> bool:
    body = orjson.loads(reply.body)
    return (
        reply.headers["content-type"] == "application/problem+json"
        and body["status"] == reply.status
        and body["requestId"] == reply.headers["x-request-id"]
    )


@contextmanager
def lines_written() -> Iterator[Callable[[], str]]:
    """Give all that is logged meanwhile, by us or by a library, as one text."""
    records: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: records.append(f"{record.getMessage()} {record.exc_info}")  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        with capture_logs() as lines:
            yield lambda: repr([*lines, *records])
    finally:
        logging.getLogger().removeHandler(handler)


@pytest.fixture(params=["core", "ingest"])
def url(request: Any) -> str:
    at: Core | Station = request.getfixturevalue("core" if request.param == "core" else "running")
    return at.url


@pytest.mark.parametrize("sent", NONSENSE.values(), ids=NONSENSE)
def test_what_is_no_request_gets_a_problem_that_quotes_nothing(url: str, sent: bytes) -> None:
    with lines_written() as written:
        raw = talk(url, sent)

    *_, last = replies(raw)
    assert (last.version, last.status) == ("HTTP/1.1", 400)
    assert is_a_problem(last)
    assert SECRET not in raw
    assert {name: last.headers[name.lower()] for name in COMMON} == COMMON
    assert written() == "[]", "a flood of nonsense writes no line"


@pytest.mark.parametrize("method", ["FOO", "get", "M-" + SECRET.decode(), "GETS", "PROPFIND"])
def test_a_method_that_nobody_knows_is_not_implemented_and_a_known_one_is_named_with_what_is(
    url: str, method: str
) -> None:
    raw = talk(url, f"{method} /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    (reply,) = replies(raw)
    assert (reply.status, reply.headers.get("allow")) == (
        (405, "GET, HEAD, OPTIONS") if method == "PROPFIND" else (501, None)
    )
    assert is_a_problem(reply)
    assert SECRET not in raw


@pytest.mark.parametrize("sent", TOO_LONG.values(), ids=TOO_LONG)
def test_a_header_that_is_too_long_is_named_as_such(url: str, sent: bytes) -> None:
    raw = talk(url, sent)

    (reply,) = replies(raw)
    assert (reply.version, reply.status) == ("HTTP/1.1", 431)
    assert is_a_problem(reply)
    assert SECRET not in raw


def test_a_chunk_that_breaks_after_the_handler_began_is_the_clients_fault(core: Core) -> None:
    with lines_written() as written:
        raw = talk(core.url, CHUNKED + b"3\r\nabc\r\n", b"ZZ" + SECRET + b"\r\n\r\n")

    (reply,) = replies(raw)
    assert reply.status == 400
    assert is_a_problem(reply)
    assert SECRET not in raw
    assert written() == "[]"


def test_the_server_as_a_whole_is_asked_with_an_asterisk(url: str) -> None:
    (reply,) = replies(talk(url, b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))

    assert reply.status == 204


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=st.sampled_from(REQUESTS), changes=CHANGES)
def test_changed_requests_are_answered_well_or_not_at_all(
    core: Core, request: bytes, changes: list[tuple[float, int, bytes]]
) -> None:
    for place, gone, put in changes:
        at = int(place * len(request))
        request = request[:at] + put + request[at + gone :]

    with lines_written() as written:
        raw = talk(core.url, request, hangs_up=True)
        alive = list(replies(talk(core.url, LIVE)))

    for reply in replies(raw):
        assert reply.status < 500 or reply.status == 501, "a method that was changed"
        assert reply.status < 400 or not reply.body or is_a_problem(reply)
    assert SECRET not in raw
    assert SECRET.decode() not in written()
    assert "Traceback" not in written()
    assert [each.status for each in alive] == [200]
