"""What a request may say: 400, 415, 422, each fault named (spec.md I-2, I-3, I-4, decision 4)."""

from typing import Any

import pytest

from kernel.events import Role
from tests.kits.ingest.api import ROUTES, Api, assert_problem, body_for, keystroke

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
    ("eventType", 999, "eventType"),
    ("eventType", -1, "eventType"),
    ("eventType", 10**30, "eventType"),
    ("eventType", 59, "eventType"),
    ("eventType", "ProctorTerminated", "eventType"),
    ("eventType", "proctor_flagged", "eventType"),
    ("eventType", "No Such Type", "eventType"),
    ("eventType", "", "eventType"),
    ("eventType", "x" * 65, "eventType"),
    ("eventType", "тип", "eventType"),
    ("eventType", "2", "eventType"),
    ("severity", 6, "severity"),
    ("severity", -1, "severity"),
    ("severity", "3", "severity"),
    ("severity", "fatal", "severity"),
    ("severity", 1.5, "severity"),
    ("severity", None, "severity"),
    ("metadataJson", {"a": 1}, "metadataJson"),
    ("metadataJson", "", "metadataJson"),
    ("metadataJson", "{", "metadataJson"),
    ("metadataJson", "{'a':1}", "metadataJson"),
    ("metadataJson", "NaN", "metadataJson"),
    ("metadataJson", '{"a":1e999}', "metadataJson"),
    ("metadataJson", '{"a":0e3000000000}', "metadataJson"),
    ("metadataJson", '{"a":1e-20000}', "metadataJson"),
    ("metadataJson", '{"a":' + "9" * 400 + "}", "metadataJson"),
    ("metadataJson", '{"a":"\\u0000"}', "metadataJson"),
    ("metadataJson", '{"\\u0000":1}', "metadataJson"),
    ("metadataJson", '"\\ud800"', "metadataJson"),
    ("metadataJson", '"\u0001"', "metadataJson"),
    ("metadataJson", "1\u0000", "metadataJson"),
    ("metadataJson", "[" * 33 + "]" * 33, "metadataJson"),
    ("metadataJson", '"' + "x" * 16_383 + '"', "metadataJson"),
    ("metadataJson", '"' + "ك" * 8_192 + '"', "metadataJson"),
    ("metadataJson", "[" * 16_000, "metadataJson"),
    ("clientTimestamp", "yesterday", "clientTimestamp"),
    ("clientTimestamp", "2024-01-15T10:15:30", "clientTimestamp"),
    ("clientTimestamp", 1705313730, "clientTimestamp"),
    ("clientTimestamp", "1969-12-31T23:59:59Z", "clientTimestamp"),
    ("clientTimestamp", "0001-01-01T00:00:00+14:00", "clientTimestamp"),
    ("clientTimestamp", "9999-12-31T23:59:59-12:00", "clientTimestamp"),
    ("clientSequence", 0, "clientSequence"),
    ("clientSequence", -5, "clientSequence"),
    ("clientSequence", 2**22, "clientSequence"),
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


async def test_partial_names_what_is_wrong_between_events_where_it_stands(api: Api) -> None:
    """I-3: by its path in the request, whatever is refused before it."""
    seat = api.world.seat()
    refused = {"eventType": 999, "clientSequence": 1}
    for wrong, path in ((keystroke(2), "events[2].clientSequence"), (keystroke(), "events[2]")):
        events = [refused, keystroke(3), wrong]
        answer = await api.bulk(seat, events, query="?partial=true", clientInstance="tab")

        assert_problem(answer, 422, "invalid_input")
        assert [each["path"] for each in answer.body["errors"]] == [path]


async def test_an_event_with_two_numbers_is_refused_and_neither_is_settled(api: Api) -> None:
    """I-2: whichever the client meant, it can send the event again under it."""
    seat, both = api.world.seat(), [keystroke(), keystroke(7)]
    whole = await api.bulk(seat, both, clientInstance="tab", clientSequence=1)
    part = await api.bulk(seat, both, query="?partial=true", clientInstance="tab", clientSequence=1)
    again = await api.tab(seat, [2, 7], "tab")

    assert_problem(whole, 422, "invalid_input")
    assert [each["status"] for each in part.body["results"]] == ["accepted", "refused"]
    assert part.body["results"][1]["errors"][0]["path"] == "events[1].clientSequence"
    assert (again.status, again.ack["duplicates"], again.ack["missing"]) == (202, 0, [[3, 6]])


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
        ({"clientSequence": 1}, "clientSequence"),
        ({"clientInstance": "t", "clientSequence": 1, "events": [keystroke(4)]}, "clientSequence"),
        ({"clientInstance": "t", "events": [keystroke(4), keystroke()]}, "events[1]"),
        ({"clientInstance": "t", "events": [keystroke(4), keystroke(4)]}, "events[1].clientSequence"),
        ({"clientInstance": "t", "events": [keystroke(4), keystroke(3)]}, "events[1].clientSequence"),
        ({"clientInstance": "t", "clientSequence": 2**22 - 1, "events": [keystroke()] * 2}, "clientSequence"),
        ({"clientInstance": "t", "clientSequence": 2**22 - 1, "events": [{}, {}]}, "clientSequence"),
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
        ({"event_type": 9999}, "event_type"),
        ({"severity": "loud"}, "severity"),
        ({"client_sequence": 3}, "client_sequence"),
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


@pytest.mark.parametrize(
    "encoding", ["br", "deflate", "gzip, br", "gzip, gzip, gzip", "gzip;q=1", "x", "x-zstd"]
)
async def test_other_content_encodings_are_not_read(api: Api, encoding: str) -> None:
    """I-4 415, with those that are."""
    seat = api.world.seat()

    answer = await api.post(ROUTES[0], body_for(ROUTES[0], seat), seat.token, Content_Encoding=encoding)

    assert_problem(answer, 415, "unsupported_media_type")
    assert answer.headers["Accept-Encoding"] == "gzip, zstd"


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
