"""
Every way in which ingest refuses, by status, code and effect (spec.md I-3, I-4, decision 4), and hostile
bodies.
"""

import asyncio
import base64
import gzip
import io
import json
import resource
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from backports import zstd

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from kernel.events import Role
from kernel.tokens import Audience, Keyring
from tests.integration.ingest_kit import (
    Answer,
    Api,
    Seat,
    Station,
    answered,
    api_of,
    keystroke,
    stamp,
    station,
    until,
)

DEADLINE_S = 0.4
MIB = 1 << 20


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    with station(postgres, template, redis_server.url, read_deadline_s=DEADLINE_S) as at:
        yield at


@pytest.fixture
async def api(running: Station) -> AsyncIterator[Api]:
    async with api_of(running) as client:
        yield client


def assert_problem(answer: Answer, status: int, code: str) -> None:
    """Decision 4: one form of error on every route, and nothing of our insides in it."""
    assert (answer.status, answer.body.get("code")) == (status, code), answer.body
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.body["success"] is False
    assert answer.body["requestId"] == answer.headers["X-Request-Id"]
    assert {"type", "title", "status", "detail"} <= set(answer.body)
    assert "Traceback" not in str(answer.body)
    assert "X-Ingest-Load" in answer.headers


ROUTES = ["/api/proctor/event", "/api/proctor/events/bulk", "/api/proctor/heartbeat", "/api/monitor/events"]


def body_for(path: str, seat: Seat, **more: Any) -> dict[str, Any]:
    """Return the smallest body that the route takes."""
    if path.endswith("monitor/events"):
        return {"attempt_id": str(seat.attempt_id), "event_type": "keystroke", **more}
    if path.endswith("bulk"):
        return {"proctorSessionId": seat.session_id, "events": [{"eventType": 102}], **more}
    kind = {} if path.endswith("heartbeat") else {"eventType": 102}
    return {"proctorSessionId": seat.session_id, **kind, **more}


# -- 401, 403, 404


def forged(claims: dict[str, Any], **header: Any) -> str:
    """Return a token with these claims that nobody signed."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'typ': 'JWT', **header})}.{part(claims)}."


@pytest.mark.parametrize("path", ROUTES)
async def test_nobody_posts_without_a_genuine_access_token(api: Api, path: str) -> None:
    """
    I-4 401: absent, malformed, expired, forged, unsigned, of an unknown key, or made for something else.
    """
    seat, world = api.world.seat(), api.world
    other_keys = Keyring({"test": b"another key of at least thirty-two bytes"})
    unknown_kid = Keyring({"elsewhere": b"a key that only the tests know, of 32 bytes or more"})
    genuine = world.token(Role.student, user=seat.user_id)
    claims = json.loads(base64.urlsafe_b64decode(genuine.split(".")[1] + "=="))
    tokens = [
        "",
        "nonsense",
        "a.b.c",
        genuine[:-3] + ("aaa" if genuine[-3:] != "aaa" else "bbb"),
        genuine.replace(".", "..", 1),
        world.token(Role.student, user=seat.user_id, life_s=-1),
        world.token(Role.student, user=seat.user_id, audience=Audience.launch),
        world.token(Role.student, user=seat.user_id, keyring=other_keys),
        world.token(Role.student, user=seat.user_id, keyring=unknown_kid),
        forged(claims, alg="none", kid="test"),
        forged(claims, alg="HS256", kid="test"),
        forged(claims, alg="HS256", kid=["test"]),
        forged(claims, alg="HS256"),
    ]

    answers = [await api.post(path, body_for(path, seat), token) for token in tokens]
    answers.append(await api.post(path, body_for(path, seat)))
    answers.append(await api.post(path, body_for(path, seat), Authorization=f"Basic {genuine}"))
    answers.append(await api.post(path, body_for(path, seat), Authorization=f"bearer{genuine}"))

    for answer in answers:
        assert_problem(answer, 401, "not_authenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert api.world.sequences(seat.session_id) == []


async def test_a_token_that_was_good_a_moment_ago_is_refused_once_it_expires(api: Api) -> None:
    """I-4 401: what is remembered of a token does not outlive it."""
    seat = api.world.seat()
    token = api.world.token(Role.student, user=seat.user_id, life_s=2)
    body = body_for(ROUTES[0], seat)
    assert (await api.post(ROUTES[0], body, token)).status == 202

    answer = await answered(lambda: api.post(ROUTES[0], body, token), 401, within_s=4)

    assert_problem(answer, 401, "not_authenticated")


@pytest.mark.parametrize("role", [Role.teacher, Role.reviewer, Role.observer, Role.admin])
async def test_only_candidates_and_services_post_events(api: Api, role: Role) -> None:
    """I-4 403, A-4."""
    seat = api.world.seat()

    for path in ROUTES:
        assert_problem(await api.post(path, body_for(path, seat), api.world.token(role)), 403, "forbidden")


@pytest.mark.parametrize("path", ROUTES)
async def test_what_is_unknown_and_what_is_somebody_elses_is_not_told_apart(api: Api, path: str) -> None:
    """I-4 404: an unknown session, a classmate's, another organisation's."""
    seat = api.world.seat()
    nobody = Seat(session_id=2**31 - 1, attempt_id=seat.user_id, user_id=seat.user_id, token=seat.token)
    classmate = api.world.seat()
    outsider = api.world.token(Role.service, org=api.world.elsewhere)
    namesake = api.world.token(Role.student, user=seat.user_id, org=api.world.elsewhere)

    answers = [
        await api.post(path, body_for(path, nobody), seat.token),
        await api.post(path, body_for(path, seat), classmate.token),
        await api.post(path, body_for(path, seat), outsider),
        await api.post(path, body_for(path, seat), namesake),
    ]

    for answer in answers:
        assert_problem(answer, 404, "not_found")
    assert len({(answer.body["title"]) for answer in answers}) == 1
    assert api.world.sequences(seat.session_id) == []


async def test_a_service_posts_for_every_session_of_its_organisation(api: Api) -> None:
    """A-4: the proctor routes too."""
    seat = api.world.seat()

    answer = await api.post(ROUTES[0], body_for(ROUTES[0], seat), api.world.token(Role.service))

    assert answer.status == 202


async def test_unknown_addresses_and_methods_are_problems_too(api: Api) -> None:
    """Decision 4."""
    assert_problem(await api.post("/api/proctor/events", {}), 404, "not_found")
    assert_problem(await api.get("/api/proctor/event"), 405, "method_not_allowed")


# -- 400, 415, 422

MALFORMED: list[bytes] = [
    b"",
    b" ",
    b"{",
    b"}",
    b"[",
    b'{"proctorSessionId":1',
    b"{'proctorSessionId':1}",
    b'{"proctorSessionId":1,}',
    b'{"proctorSessionId":01,"eventType":1}',
    b'{"proctorSessionId":1,"eventType":1} x',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b'{"proctorSessionId":1,"eventType":"\xff"}',
    b'{"proctorSessionId":1,"eventType":"\\ud800"}',
    b'{"proctorSessionId":1,"eventType":"\\udc00\\ud800"}',
    b'{"proctorSessionId":1,"eventType":NaN}',
    b'{"proctorSessionId":1,"eventType":Infinity}',
    b'{"proctorSessionId":1,"eventType":+1}',
    b'{"proctorSessionId":1,"eventType":.5}',
    b'{"proctorSessionId":1,"eventType":"\x00"}',
    b'{"proctorSessionId":1 /* c */,"eventType":1}',
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b'{"proctorSessionId":1,"eventType":1,"x":' + b"[" * 60_000 + b"]" * 60_000 + b"}",
    b"\x1f\x8b\x08\x00",
]


@pytest.mark.parametrize("path", ROUTES)
async def test_bytes_that_are_not_json_are_refused_as_such(api: Api, path: str) -> None:
    """I-4 400; never a 500, whatever comes."""
    seat = api.world.seat()

    for raw in MALFORMED:
        answer = await api.post(path, raw, seat.token)
        assert answer.status in {400, 413, 422} or b"proctorSessionId" in raw, (raw[:60], answer.body)
        assert answer.status in {400, 404, 413, 422}, (raw[:60], answer.body)
        if path == "/api/proctor/event" and len(raw) < 100 and not raw.startswith(b"["):
            assert_problem(answer, 400, "malformed")


INVALID: list[tuple[str, Any, str]] = [
    ("proctorSessionId", "1", "proctorSessionId"),
    ("proctorSessionId", 1.0, "proctorSessionId"),
    ("proctorSessionId", 0, "proctorSessionId"),
    ("proctorSessionId", -1, "proctorSessionId"),
    ("proctorSessionId", 2**31, "proctorSessionId"),
    ("proctorSessionId", 10**40, "proctorSessionId"),
    ("proctorSessionId", None, "proctorSessionId"),
    ("proctorSessionId", True, "proctorSessionId"),
    ("eventType", None, "eventType"),
    ("eventType", [], "eventType"),
    ("eventType", 2.0, "eventType"),
    ("eventType", True, "eventType"),
    ("eventType", 999, "events[0].eventType"),
    ("eventType", -1, "events[0].eventType"),
    ("eventType", 10**30, "events[0].eventType"),
    ("eventType", 59, "events[0].eventType"),
    ("eventType", "ProctorTerminated", "events[0].eventType"),
    ("eventType", "proctor_flagged", "events[0].eventType"),
    ("eventType", "No Such Type", "events[0].eventType"),
    ("eventType", "", "events[0].eventType"),
    ("eventType", "x" * 65, "events[0].eventType"),
    ("eventType", "тип", "events[0].eventType"),
    ("eventType", "2", "events[0].eventType"),
    ("severity", 6, "events[0].severity"),
    ("severity", -1, "events[0].severity"),
    ("severity", "3", "events[0].severity"),
    ("severity", "fatal", "events[0].severity"),
    ("severity", 1.5, "severity"),
    ("severity", None, "severity"),
    ("metadataJson", {"a": 1}, "metadataJson"),
    ("metadataJson", "", "events[0].metadataJson"),
    ("metadataJson", "{", "events[0].metadataJson"),
    ("metadataJson", "{'a':1}", "events[0].metadataJson"),
    ("metadataJson", "NaN", "events[0].metadataJson"),
    ("metadataJson", '{"a":1e999}', "events[0].metadataJson"),
    ("metadataJson", '"\\ud800"', "events[0].metadataJson"),
    ("metadataJson", '"\u0001"', "events[0].metadataJson"),
    ("metadataJson", "1\u0000", "events[0].metadataJson"),
    ("metadataJson", "[" * 33 + "]" * 33, "events[0].metadataJson"),
    ("metadataJson", '"' + "x" * 16_383 + '"', "events[0].metadataJson"),
    ("metadataJson", '"' + "ك" * 8_192 + '"', "events[0].metadataJson"),
    ("metadataJson", "[" * 16_000, "events[0].metadataJson"),
    ("clientTimestamp", "yesterday", "clientTimestamp"),
    ("clientTimestamp", "2024-01-15T10:15:30", "clientTimestamp"),
    ("clientTimestamp", 1705313730, "clientTimestamp"),
    ("clientTimestamp", "1969-12-31T23:59:59Z", "events[0].clientTimestamp"),
    ("clientTimestamp", "0001-01-01T00:00:00+14:00", "events[0].clientTimestamp"),
    ("clientTimestamp", "9999-12-31T23:59:59-12:00", "events[0].clientTimestamp"),
    ("clientSequence", 0, "clientSequence"),
    ("clientSequence", -5, "clientSequence"),
    ("clientSequence", 2**53, "clientSequence"),
    ("clientSequence", 10**30, "clientSequence"),
    ("clientSequence", "1", "clientSequence"),
    ("clientInstance", "", "clientInstance"),
    ("clientInstance", "a b", "clientInstance"),
    ("clientInstance", "x" * 65, "clientInstance"),
]


async def test_every_value_that_is_not_allowed_is_named_by_its_path(api: Api) -> None:
    """I-4 422."""
    seat = api.world.seat()

    for member, value, path in INVALID:
        body = {"proctorSessionId": seat.session_id, "eventType": 102, "clientInstance": "tab", member: value}
        answer = await api.post("/api/proctor/event", body, seat.token)
        assert answer.status == 422, (member, value, answer.body)
        assert_problem(answer, 422, "invalid_input")
        assert path in [fault["path"] for fault in answer.body["errors"]], (member, value, answer.body)
    assert api.world.sequences(seat.session_id) == []


async def test_a_member_that_stands_twice_is_read_the_same_way_everywhere(api: Api) -> None:
    """
    The last one counts, in every decoder: nobody can show one session to the check and another to the append.
    """
    seat, other = api.world.seat(), api.world.seat()
    raw = f'{{"proctorSessionId":{seat.session_id},"proctorSessionId":{other.session_id},"eventType":102}}'

    assert_problem(await api.post("/api/proctor/event", raw.encode(), seat.token), 404, "not_found")
    answer = await api.post("/api/proctor/event", raw.encode(), other.token)
    assert answer.body["data"]["proctorSessionId"] == other.session_id


async def test_every_fault_of_a_batch_is_named_with_its_index_and_nothing_is_stored(api: Api) -> None:
    """I-3."""
    seat = api.world.seat()
    events: list[Any] = [
        keystroke(),
        {"eventType": 999},
        {"eventType": 102, "severity": 9, "metadataJson": "{"},
        {"severity": 1},
        keystroke(),
        {"eventType": 102, "clientTimestamp": "never"},
        17,
    ]

    answer = await api.bulk(seat, events)

    assert_problem(answer, 422, "invalid_input")
    paths = {fault["path"] for fault in answer.body["errors"]}
    assert {
        "events[1].eventType",
        "events[2].severity",
        "events[2].metadataJson",
        "events[5].clientTimestamp",
    } <= paths
    assert {path.split(".")[0] for path in paths} == {f"events[{i}]" for i in (1, 2, 3, 5, 6)}
    assert api.world.sequences(seat.session_id) == []


async def test_partial_stores_what_is_valid_and_answers_for_each_event(api: Api) -> None:
    """I-3: `partial=true`."""
    seat = api.world.seat()
    events: list[Any] = [keystroke(), {"eventType": 999}, keystroke(), "x"]

    answer = await api.bulk(seat, events, query="?partial=true", clientInstance="tab", clientSequence=11)

    assert (answer.status, answer.body["data"]) == (202, 2)
    results = answer.body["results"]
    assert [(r["index"], r["status"], r.get("sequenceNumber")) for r in results] == [
        (0, "accepted", 1),
        (1, "refused", None),
        (2, "accepted", 2),
        (3, "refused", None),
    ]
    assert results[1]["errors"][0]["path"] == "events[1].eventType"
    assert [row["client_seq"] for row in await api.stored(seat, 2)] == [11, 13]
    again = await api.bulk(seat, events, query="?partial=true", clientInstance="tab", clientSequence=11)
    assert again.ack["duplicate"] is True
    assert [r.get("sequenceNumber") for r in again.body["results"]] == [1, None, 2, None]


async def test_partial_with_nothing_valid_is_refused_as_a_whole(api: Api) -> None:
    """I-3."""
    seat = api.world.seat()

    answer = await api.bulk(seat, [{"eventType": 999}, 3], query="?partial=true")

    assert_problem(answer, 422, "invalid_input")
    assert_problem(await api.bulk(seat, [keystroke()], query="?partial=perhaps"), 422, "invalid_input")
    assert_problem(await api.bulk(seat, [keystroke()], query="?partail=true"), 422, "invalid_input")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"events": []}, "events"),
        ({"clientSequence": 1}, "clientInstance"),
        ({"clientInstance": "t", "clientSequence": 1, "events": [keystroke(4)]}, "clientSequence"),
        ({"clientInstance": "t", "events": [keystroke(4), keystroke()]}, "events[1].clientSequence"),
        ({"clientInstance": "t", "events": [keystroke(4), keystroke(4)]}, "events[1].clientSequence"),
        ({"clientInstance": "t", "events": [keystroke(4), keystroke(3)]}, "events[1].clientSequence"),
    ],
)
async def test_a_batchs_client_sequences_rise_and_have_an_instance(
    api: Api, change: dict[str, Any], path: str
) -> None:
    """I-2, I-3."""
    seat = api.world.seat()
    body = {"proctorSessionId": seat.session_id, "events": [keystroke()], **change}

    answer = await api.post("/api/proctor/events/bulk", body, seat.token)

    assert_problem(answer, 422, "invalid_input")
    assert path in [fault["path"] for fault in answer.body["errors"]]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"attempt_id": "550e8400..."}, "attempt_id"),
        ({"attempt_id": "-" * 36}, "attempt_id"),
        ({"attempt_id": None}, "attempt_id"),
        ({"event_type": 9999}, "events[0].eventType"),
        ({"severity": "loud"}, "events[0].severity"),
        ({"client_sequence": 3}, "clientInstance"),
    ],
)
async def test_a_monitoring_events_faults_are_named(api: Api, change: dict[str, Any], path: str) -> None:
    """I-4 422."""
    seat = api.world.seat()
    body = body_for("/api/monitor/events", seat) | change

    answer = await api.post("/api/monitor/events", body, api.world.token(Role.service))

    assert_problem(answer, 422, "invalid_input")
    assert path in [fault["path"] for fault in answer.body["errors"]]


@pytest.mark.parametrize(
    "data",
    [
        b'"\xff\xfe"',
        b'"\\ud800"',
        b"1e999",
        b"[" * 500 + b"]" * 500,
        b"[" * 30_000 + b"]" * 30_000,
        b"nul",
        b"NaN",
    ],
)
async def test_raw_monitoring_data_is_checked_like_metadata(api: Api, data: bytes) -> None:
    """I-4: what is carried as it came is read first; no byte of it makes a 500."""
    seat, service = api.world.seat(), api.world.token(Role.service)
    raw = f'{{"attempt_id":"{seat.attempt_id}","event_type":"keystroke","data":'.encode() + data + b"}"

    for body in (raw, b"[" + raw + b"]"):
        answer = await api.post("/api/monitor/events", body, service)
        refused = [result["status"] for result in answer.body.get("results", [])] == ["refused"]
        assert answer.status in {400, 422} or refused, answer.body
    assert api.world.sequences(seat.session_id) == []


@pytest.mark.parametrize(
    "kind",
    ["text/html", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"],
)
async def test_other_content_types_are_not_read(api: Api, kind: str) -> None:
    """I-4 415."""
    seat = api.world.seat()

    for path in ROUTES:
        answer = await api.post(path, body_for(path, seat), seat.token, Content_Type=kind)
        assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, zstd", "gzip;q=1", "x"])
async def test_other_content_encodings_are_not_read(api: Api, encoding: str) -> None:
    """I-4 415."""
    seat = api.world.seat()

    answer = await api.post(ROUTES[0], body_for(ROUTES[0], seat), seat.token, Content_Encoding=encoding)

    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("key", ["", "x" * 201, "schlüssel", "a\tb"])
async def test_an_idempotency_key_is_short_and_printable(api: Api, key: str) -> None:
    """I-2, I-4."""
    seat = api.world.seat()

    answer = await api.event(seat, headers={"Idempotency_Key": key})

    assert_problem(answer, 422, "invalid_input")


async def test_a_request_id_is_taken_over_only_where_it_is_harmless(api: Api) -> None:
    seat = api.world.seat()

    good = await api.event(seat, headers={"X_Request_Id": "abcdefgh-1234"})
    bad = await api.event(seat, headers={"X_Request_Id": '"><script>alert(1)</script>'})

    assert good.headers["X-Request-Id"] == "abcdefgh-1234"
    assert "script" not in bad.headers["X-Request-Id"]


# -- compression, 413, 408


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress), ("GZIP", gzip.compress)]
)
async def test_compressed_bodies_are_read(api: Api, encoding: str, pack: Any) -> None:
    """I-4: gzip and zstd."""
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
    seat = api.world.seat()
    pack = gzip.compress if encoding == "gzip" else zstd.compress
    good = pack(msgspec.json.encode(body_for(ROUTES[0], seat)))

    for raw in (b"nonsense", b"", good[:-3], good + b"x", good + good):
        answer = await api.post(ROUTES[0], raw, seat.token, Content_Encoding=encoding)
        assert_problem(answer, 400, "malformed")


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
        await api.bulk(seat, [keystroke(), large], query="?partial=true"),
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


# -- 409, 429


@pytest.mark.parametrize("status", [2, 3])
async def test_an_ended_session_takes_no_live_events(api: Api, status: int) -> None:
    """I-4 409, P-2: completed and cancelled."""
    seat = api.world.seat()
    await api.event(seat)
    api.world.end(seat.session_id, status=status)

    answer = await answered(lambda: api.event(seat), 409)

    assert_problem(answer, 409, "session_not_active")
    for path in ROUTES:
        refused = await api.post(
            path, body_for(path, seat, **({"data": 1} if "monitor" in path else {})), seat.token
        )
        assert_problem(refused, 409, "session_not_active")


async def test_a_session_that_sends_too_fast_is_told_when_to_go_on(api: Api) -> None:
    """I-4 429: a burst of 500, then 50 a second; Retry-After is enough, and others are not touched."""
    seat, other = api.world.seat(), api.world.seat()
    assert (await api.bulk(seat, [keystroke()] * 500)).status == 202

    answer = await api.bulk(seat, [keystroke()] * 100)

    assert_problem(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 2
    assert (await api.event(other)).status == 202
    await asyncio.sleep(int(answer.headers["Retry-After"]))
    assert (await api.bulk(seat, [keystroke()] * 100)).status == 202
    assert len(await api.stored(seat, 600)) == 600


async def test_too_many_holes_are_refused_until_some_are_filled(api: Api) -> None:
    """I-2, I-4 409: at most 64 ranges of clientSequence."""
    seat = api.world.seat()
    odd = list(range(1, 128, 2))
    assert len(odd) == 64
    assert (await api.tab(seat, odd)).status == 202

    refused = await api.tab(seat, [129])
    filled = await api.tab(seat, [2])
    taken = await api.tab(seat, [129])

    assert_problem(refused, 409, "too_many_holes")
    assert (filled.status, taken.status) == (202, 202)
    assert taken.ack["missing"] == [[n, n] for n in range(4, 129, 2)]


async def test_thousands_of_sessions_are_served_at_once(api: Api) -> None:
    """D-3: every one read through from PostgreSQL, each event once."""
    world = api.world
    attempt, user = world.attempt()
    with psycopg.connect(world.owner.info.dsn, password=world.owner.info.password, autocommit=True) as conn:
        (exam,) = conn.execute("SELECT exam_id FROM exam_attempts WHERE id = %s", (attempt,)).fetchall()[0:1]
        conn.execute(
            "INSERT INTO exam_attempts (id, exam_id, student_id, status, started_at, expires_at)"
            " SELECT gen_random_uuid(), %s, %s, 'completed', now(), now() FROM generate_series(1, 2000)",
            (exam[0], user),
        )
        sessions = conn.execute(
            "INSERT INTO proctor_sessions"
            " (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at)"
            " SELECT id, exam_id, student_id, %s, 1, now() FROM exam_attempts"
            " WHERE student_id = %s RETURNING id",
            (world.org, user),
        ).fetchall()
    token = world.token(Role.student, user=user)

    async def one(session: int) -> int:
        body = {"proctorSessionId": session, "eventType": 102}
        return (await api.post("/api/proctor/event", body, token)).status

    gate = asyncio.Semaphore(200)

    async def gated(session: int) -> int:
        async with gate:
            return await one(session)

    statuses = await asyncio.gather(*(gated(session) for (session,) in sessions))

    assert set(statuses) == {202}
    ids = [session for (session,) in sessions]

    def done() -> bool:
        found = "SELECT count(*) FROM session_progress WHERE session_id = ANY(%s) AND through_seq = 1"
        return bool(world.one(found, ids) == len(ids))

    await until(done, "every session's event to be stored")
    assert stamp()
