"""Bodies and connections: compressed, too large, too slow, broken: 400, 408, 413 (spec.md I-4)."""

import asyncio
import gzip
import io
import itertools
import resource
from collections.abc import AsyncIterator, Iterator
from time import monotonic
from typing import Any

import msgspec
import pytest
from backports import zstd

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from kernel.events import Role
from tests.kits.ingest.api import ROUTES, Answer, Api, assert_problem, body_for, keystroke
from tests.kits.ingest.station import Station, station

DEADLINE_S = 0.4
MIB = 1 << 20


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    with station(postgres, template, redis_server.url, read_deadline_s=DEADLINE_S) as at:
        yield at


def halves(pack: Any) -> Any:
    """Return what compresses the two halves of a body one by one, with nothing in between."""
    return lambda raw: pack(raw[: len(raw) // 2]) + pack(b"") + pack(raw[len(raw) // 2 :])


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("zstd", zstd.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("X-GZip", halves(gzip.compress)),
        ("gzip", halves(gzip.compress)),
        ("zstd", halves(zstd.compress)),
        ("gzip, zstd", lambda raw: zstd.compress(gzip.compress(raw))),
        ("gzip , gzip", lambda raw: gzip.compress(gzip.compress(raw))),
        ("identity, Gzip", gzip.compress),
        (" zstd,identity", zstd.compress),
        ("Identity", bytes),
        ("", bytes),
    ],
)
async def test_compressed_bodies_are_read(api: Api, encoding: str, pack: Any) -> None:
    """I-4: gzip and zstd, in any case, of several members, one around the other."""
    seat = api.world.seat()
    raw = msgspec.json.encode({"proctorSessionId": seat.session_id, "events": [keystroke()] * 100})

    answer = await api.post("/api/proctor/events/bulk", pack(raw), seat.token, Content_Encoding=encoding)

    assert (answer.status, answer.body["data"]) == (202, 100)


async def test_a_small_body_that_decompresses_to_gigabytes_costs_no_memory(api: Api) -> None:
    """I-4 413: a gzip and a zstd bomb, and a frame that asks for a huge window."""
    seat = api.world.seat()
    packer = zstd.ZstdCompressor(level=1)
    zeros = bytes(16 * MIB)
    bombs = [
        ("gzip", gzip.compress(bytes(256 * MIB), compresslevel=9)),
        ("zstd", b"".join([*(packer.compress(zeros) for _ in range(64)), packer.flush()])),
    ]
    assert all(len(bomb) < MIB for _, bomb in bombs), "the wire's bound must not be what refuses them"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    answers = [
        await api.post(ROUTES[1], bomb, seat.token, Content_Encoding=encoding) for encoding, bomb in bombs
    ]

    for answer in answers:
        assert_problem(answer, 413, "too_large")
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 48 * 1024, f"grew by {grown_kib} KiB"


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
async def test_members_have_no_bound_of_their_own(api: Api, encoding: str, pack: Any) -> None:
    """I-4 413: many small bombs one after the other, one within the other, and more members than are read."""
    most = api.at.settings.decoded_bytes_max
    member, within = pack(bytes(most // 4)), pack(pack(bytes(most + 1)))
    tried = [(member * 5, encoding), (within, f"{encoding}, {encoding}"), (pack(b"") * 1000, encoding)]
    for raw, named in tried:
        seat = api.world.seat()  # each counts as much as the largest body

        answer = await api.post(ROUTES[1], raw, seat.token, Content_Encoding=named)

        assert_problem(answer, 413, "too_large")


async def test_a_zstd_frame_with_a_huge_window_is_refused(api: Api) -> None:
    """I-4 400: the window is memory before the first byte."""
    seat = api.world.seat()
    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.content_size_flag: 0,
    }
    packer = zstd.ZstdCompressor(options=options)
    frame = packer.compress(b"{}") + packer.flush()

    answer = await api.post(ROUTES[0], frame, seat.token, Content_Encoding="zstd")

    assert_problem(answer, 400, "malformed")


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_broken_compression_is_refused_as_such(api: Api, encoding: str) -> None:
    """I-4 400: nonsense, cut short, followed by more."""
    pack = gzip.compress if encoding == "gzip" else zstd.compress
    good = pack(msgspec.json.encode(body_for(ROUTES[0], api.world.seat())))

    for raw in (b"nonsense", b"", good[:-3], good + b"x", good + good):
        seat = api.world.seat()  # each counts as much as the largest body
        answer = await api.post(ROUTES[0], raw, seat.token, Content_Encoding=encoding)
        assert_problem(answer, 400, "malformed")


async def test_who_sends_megabytes_in_kilobytes_waits_and_nobody_else(api: Api) -> None:
    """I-4 429: decoded bytes are bounded per candidate, in front of the work that they cause."""
    loud, quiet = api.world.seat(), api.world.seat()
    packed = gzip.compress(b" " * api.at.settings.decoded_bytes_max)
    bodies_in_a_burst = api.at.settings.sender_burst_bytes // api.at.settings.decoded_bytes_max

    answers = [
        await api.post(ROUTES[1], packed, loud.token, Content_Encoding="gzip")
        for _ in range(bodies_in_a_burst + 1)
    ]
    small = await api.event(loud)

    assert {answer.status for answer in answers[:-1]} == {400}
    for refused in (answers[-1], small):
        assert_problem(refused, 429, "rate_limited")
        assert 1 <= int(refused.headers["Retry-After"]) <= 5
    assert (await api.event(quiet)).status == 202


@pytest.mark.parametrize("path", ROUTES)
async def test_who_sends_request_after_request_waits_whatever_is_in_them(api: Api, path: str) -> None:
    """I-4 429: small ones, wrong ones and what cannot be read cost time as well, which is others' too."""
    loud, quiet = api.world.seat(), api.world.seat()
    settings = api.at.settings
    a_second = settings.sender_bytes_per_s / settings.sender_request_bytes_min
    burst = settings.sender_burst_bytes // settings.sender_request_bytes_min
    kinds = itertools.cycle(["text/xml", "text/plain"])
    started, taken = monotonic(), 0
    while (answer := await api.post(path, b"[]", loud.token, Content_Type=next(kinds))).status != 429:
        assert answer.status in {415, 422}
        taken += 1

    assert burst <= taken <= burst + 2 + a_second * (monotonic() - started)
    assert_problem(answer, 429, "rate_limited")
    assert int(answer.headers["Retry-After"]) == 1
    assert (await api.event(quiet)).status == 202


async def test_whoever_has_a_link_uses_up_nothing_of_the_candidates_own(api: Api) -> None:
    """A-7: a sign-in by link has a share of its own, of requests and of questions for what is not there."""
    seat = api.world.seat()
    bound = api.world.token(Role.student, user=seat.user_id, exam=api.world.exams[api.world.org])
    unknown = {"attempt_id": "0" * 32, "event_type": "keystroke"}
    while (answer := await api.post(ROUTES[3], unknown, bound)).status == 404:
        pass
    asked = await api.post(ROUTES[3], unknown, seat.token)
    while (late := await api.post(ROUTES[3], b"{}", bound)).status == 422:
        pass

    assert_problem(answer, 429, "rate_limited")
    assert_problem(asked, 404, "not_found")
    assert_problem(late, 429, "rate_limited")
    assert (await api.event(seat)).status == 202


async def test_bodies_over_their_bounds_are_refused(api: Api) -> None:
    """I-4 413: on the wire (declared or not), decoded, the batch, an event."""
    seat = api.world.seat()
    head = {"Authorization": f"Bearer {seat.token}", "Content-Type": "application/json"}

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    async with api.http.post(api.at.url + ROUTES[1], data=endless(), headers=head) as response:
        undeclared = Answer(response.status, msgspec.json.decode(await response.read()), response.headers)
    large = keystroke(metadataJson='"' + "x" * 16_000 + '"', padding="y" * 50_000)
    answers = [
        undeclared,
        await api.post(ROUTES[1], io.BytesIO(b" " * (MIB + 1)), seat.token),
        await api.post(ROUTES[1], gzip.compress(b" " * (4 * MIB + 1)), seat.token, Content_Encoding="gzip"),
        await api.bulk(seat, [keystroke()] * 501),
        await api.bulk(seat, [{}] * 501, query="?partial=true"),
        await api.bulk(seat, [keystroke(), large]),
        await api.bulk(seat, [large, large], query="?partial=true"),
        await api.event(seat, padding="y" * 66_000),
        await api.heartbeat(seat, padding="y" * 66_000),
        await api.post(ROUTES[3], [body_for(ROUTES[3], seat)] * 501, api.world.token(Role.service)),
        await api.post(
            ROUTES[3], body_for(ROUTES[3], seat, data="y" * 66_000), api.world.token(Role.service)
        ),
    ]

    for number, answer in enumerate(answers):
        assert answer.status == 413, (number, answer.body)
        assert_problem(answer, 413, "too_large")
    assert api.world.sequences(seat.session_id) == []
    assert (await api.bulk(seat, [keystroke()] * 500)).status == 202


async def test_the_largest_body_that_is_allowed_is_taken(api: Api) -> None:
    """I-4: nearly 1 MiB on the wire, nearly 4 MiB decoded."""
    seat = api.world.seat()
    events = [keystroke(metadataJson='"' + "x" * 8_000 + '"')] * 500
    raw = msgspec.json.encode({"proctorSessionId": seat.session_id, "events": events})
    assert 3.8 * MIB < len(raw) < 4 * MIB

    answer = await api.post(ROUTES[1], gzip.compress(raw), seat.token, Content_Encoding="gzip")

    assert (answer.status, answer.body["data"]) == (202, 500)


async def spoken(api: Api, *pieces: bytes | float) -> bytes:
    """
    Write pieces to a connection of its own, waiting where a number stands; return what comes until the end.
    """
    host, _, port = api.at.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for piece in pieces:
            if isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
            else:
                await asyncio.sleep(piece)
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
            return head + await reader.readexactly(length)
    finally:
        writer.close()


async def test_a_body_that_stalls_is_given_up_after_the_deadline(api: Api) -> None:
    """I-4 408: nothing comes, or too slowly."""
    seat = api.world.seat()
    head = (
        f"POST /api/proctor/event HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {seat.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    ).encode()

    silent = await spoken(api, head, b'{"proctor')
    drops: list[bytes | float] = [b"{", DEADLINE_S / 3]
    drip = await spoken(api, head, *(drops * 4))

    for reply in (silent, drip):
        assert b" 408 " in reply.split(b"\r\n")[0]
        assert b'"code":"read_timeout"' in reply
        assert b"connection: close" in reply.lower()


@pytest.mark.parametrize("said", [b"", b"POST /api/proctor/event HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_connection_that_never_finishes_its_headers_is_closed(api: Api, said: bytes) -> None:
    """I-4: the read deadline holds for headers too; a connection that had a request is kept."""
    host, _, port = api.at.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    idle_reader, idle_writer = await asyncio.open_connection(host, int(port))
    ask = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    writer.write(said)
    replies = []
    async with asyncio.timeout(10 * DEADLINE_S):
        for pause_s in (0.0, 2 * DEADLINE_S):
            await asyncio.sleep(pause_s)
            idle_writer.write(ask)
            replies.append(await idle_reader.readuntil(b'"ok"}'))
        rest = await reader.read()
    for each in (writer, idle_writer):
        each.close()

    assert rest == b""
    assert [reply.split(b" ")[1] for reply in replies] == [b"200", b"200"]


@pytest.mark.parametrize(
    "head",
    [
        b"POST /api/proctor/event HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/proctor/event HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        (
            b"POST /api/proctor/event HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        b"POST /api/proctor/event HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /api/proctor/event HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST /api/proctor/event HTTP/1.1\r\nHost: x\r\n bad: folded\r\n\r\n",
        b"POST /api/proctor/event HTTP/9.9\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_ambiguous_and_broken_http_is_refused(api: Api, head: bytes) -> None:
    """Request smuggling starts with two lengths; every such request ends its connection."""
    reply = await spoken(api, head)

    assert reply.split(b" ")[1] in {b"400", b"401", b"431", b"505"}, reply[:200]
    assert b"Traceback" not in reply
