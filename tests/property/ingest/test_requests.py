"""
What a reply says of a request (spec.md I-3, I-4): each fault and each unknown member by its path in the body
that was sent, on every route; one bound of an event, alone and in a list.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from kernel.events import Role
from tests.kits.ingest.api import Answer, Api, api_of, assert_problem
from tests.kits.ingest.forms import SHAPES, SNAKE, Shape, acks_of, at, faults_of
from tests.kits.ingest.station import Station, station
from tests.kits.ingest.world import Seat
from tests.kits.json_texts import nested

There = Callable[[Coroutine[Any, Any, Answer]], Answer]
EVENT_BYTES = 8192
METADATA_BYTES = 1024


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    free: dict[str, Any] = {
        "session_events_per_s": 100_000,
        "session_burst_events": 100_000,
        "sender_burst_bytes": 1 << 40,
        "unknown_attempts_burst": 100_000,
        "event_bytes_max": EVENT_BYTES,
        "metadata_bytes_max": METADATA_BYTES,
    }
    with station(postgres, template, redis_server.url, sweeps=False, **free) as at:
        yield at


async def with_examples(running: Station, examples: Callable[[Api, Seat, There], None]) -> None:
    """Run the examples of a property against the station, all with one candidate."""
    loop = asyncio.get_running_loop()

    def there(work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    async with api_of(running) as api:
        await asyncio.to_thread(examples, api, running.world.seat(), there)


WRONG: dict[str, list[Any]] = {
    "kind": [
        999,
        -1,
        59,
        2.0,
        10**30,
        None,
        [],
        {},
        True,
        "",
        "No Such Type",
        "ProctorFlagged",
        Raw(b"1e400"),
    ],
    "severity": [6, -1, 1.5, None, [], "loud", "3", Raw(b"-1e400"), Raw(b"1e1")],
    "at": [5, "never", "2026-01-01T00:00:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00", [], False],
    "n": [0, -1, "1", 2**22, 2**53, 1.5, [], Raw(b"1e0"), Raw(b"99999999999999999999999999999")],
    "buffered": [1, "yes", None, []],
    "said": ["{", "", nested(33), '{"a":"\\u0000"}', '"' + "x" * METADATA_BYTES + '"', "1e999", 5, {"a": 1}],
    "proctorSessionId": [0, -1, "1", None, 2**31, [], Raw(b"1e400")],
    "clientInstance": ["", "a b", 7, "x" * 65, "a\n", []],
    "attempt_id": ["", "550e8400...", None, 7, "-" * 36, "g" * 32, "0" * 31],
    "client_instance": ["", "a b", 7, "x" * 65, "a\n", []],
}
RAW_DATA = [Raw(nested(33).encode()), Raw(b'{"a":"\\u0000"}'), Raw(b"1e999"), "x" * METADATA_BYTES]


SCALARS: list[Any] = [17, "x", None, True, 1.5]
REQUIRED = ("attempt_id", "event_type", "eventType", "proctorSessionId")


def break_one(draw: Callable[[Any], Any], shape: Shape, body: Any) -> tuple[Any, str]:
    """Return the body with one place of it spoilt, and its path; of what is missing, that of its object."""
    events = shape.events_of(body)
    place = draw(st.integers(0, len(events) - 1))
    event = events[place]
    ways = ["body", "event", *(["events"] if shape.is_list else [])]
    ways += [f"without {name}" for holder in (event, body) for name in REQUIRED if name in holder]
    ways += [name for name in shape.words if shape.words[name] in event or name == "n"]
    ways += [name for name in WRONG if name in event or name in body]
    way = draw(st.sampled_from(sorted({*ways})))
    match way.split():
        case ["body"]:
            return draw(st.sampled_from(SCALARS)), "body"
        case ["event"] if shape.is_list:
            events[place] = draw(st.sampled_from([*SCALARS, [], [1]]))
            return body, shape.path(place)
        case ["events"] if isinstance(body, dict):
            body["events"] = draw(st.sampled_from([*SCALARS, {}, []]))
            return body, "events"
        case ["event" | "events"]:
            return [] if shape.is_list else "x", "body"
        case ["without", name]:
            holder, path = (event, shape.path(place)) if name in event else (body, "body")
            del holder[name]
            return body, path
    member = shape.words.get(way, way)
    holder, path = (
        (body, member) if member not in event and member in body else (event, shape.path(place, member))
    )
    holder[member] = draw(st.sampled_from(RAW_DATA if member == "data" else WRONG[way]))
    return body, path


def in_request(path: str) -> tuple[int, str]:
    """Return an event's place, then the member."""
    place = re.search(r"\[([0-9]+)\]", path)
    return (-1 if place is None else int(place[1]), path)


async def test_faults_are_told_in_the_order_of_the_request_whoever_finds_which_first(
    running: Station,
) -> None:
    """I-3: what no type allows, what no value may be, and what is beside the events, all by their places."""
    service = running.world.token(Role.service)

    def examples(api: Api, seat: Seat, there: There) -> None:
        @settings(max_examples=40)
        @given(data=st.data(), shape=st.sampled_from(SHAPES), count=st.integers(1, 12))
        def posted(data: st.DataObject, shape: Shape, count: int) -> None:
            body = shape.body(seat, count)
            events = shape.events_of(body)
            spoilt = set()
            for place in range(len(events)):
                for way in data.draw(st.sets(st.sampled_from(["kind", "severity", "at", "buffered"]))):
                    member = shape.words.get(way, way)
                    if member in events[place]:
                        events[place][member] = data.draw(st.sampled_from(WRONG[way]))
                        spoilt.add(shape.path(place, member))

            answer = there(api.post(shape.address, body, service))

            refusals = [answer.body, *answer.body.get("results", [])]
            told = [[fault["path"] for fault in each.get("errors", [])] for each in refusals]
            assert {path for paths in told for path in paths} == spoilt, (body, answer.body)
            for paths in told:
                assert paths == sorted(paths, key=in_request), (body, answer.body)

        posted()

    await with_examples(running, examples)


async def test_a_fault_is_told_where_it_stands_in_the_request_that_was_sent(running: Station) -> None:
    """I-3: on every route; what is missing is told at the object that lacks it."""
    world = running.world
    service = world.token(Role.service)
    beside = world.seat()

    def examples(api: Api, seat: Seat, there: There) -> None:
        @settings(max_examples=150)
        @given(data=st.data(), shape=st.sampled_from(SHAPES), count=st.integers(1, 4))
        def posted(data: st.DataObject, shape: Shape, count: int) -> None:
            whole = shape.body(seat, count)
            if isinstance(whole, list):
                for event in whole[1::2]:
                    event["attempt_id"] = str(beside.attempt_id)
            body, path = break_one(data.draw, shape, whole)

            answer = there(api.post(shape.address, body, service))

            faults = faults_of(answer.body)
            assert {fault["path"] for fault in faults} == {path}, (body, answer.body)
            at(body, path)
            assert all(fault["message"] for fault in faults)
            if answer.status == 202:
                assert shape.is_list
                assert any(result["status"] != "refused" for result in answer.body["results"])
            else:
                assert_problem(answer, 422, "invalid_input")

        posted()

    await with_examples(running, examples)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
async def test_what_is_wrong_with_the_whole_is_told_at_a_place_of_it(running: Station, shape: Shape) -> None:
    """I-2, I-3: numbers without an instance, falling, received before; more events than may be."""
    number, last = shape.words["n"], 2 if shape.is_list else 0

    async def told(seat: Seat, body: Any, status: int) -> set[str]:
        answer = await api.post(shape.address, body, seat.token)
        assert answer.status == status, answer.body
        paths = {fault["path"] for fault in faults_of(answer.body)}
        for path in paths:
            at(body, path)
        return paths

    def numbered(seat: Seat, *numbers: int) -> Any:
        body = shape.body(seat, len(numbers))
        for event, n in zip(shape.events_of(body), numbers, strict=False):
            event[number] = n
        return body

    async with api_of(running) as api:
        seat = running.world.seat()
        nameless = numbered(seat, 1, 2, 3)
        for holder in [*shape.events_of(nameless), nameless]:
            if isinstance(holder, dict):
                holder.pop("clientInstance", None)
                holder.pop("client_instance", None)
        assert await told(seat, nameless, 422) == {shape.path(0, number)}

        assert (await api.post(shape.address, numbered(seat, 4, 5, 6), seat.token)).status == 202
        again = numbered(seat, 4, 5, 6)
        shape.events_of(again)[last][shape.words["at"]] = "2026-11-20T11:00:00Z"
        assert await told(seat, again, 409) == {shape.path(last)}
        if shape.is_list:
            assert await told(seat, numbered(seat, 7, 9, 8), 422) == {shape.path(2, number)}
            many = shape.body(seat, running.settings.batch_events_max + 1)
            assert await told(seat, many, 413) == {shape.events.partition("[")[0] or "body"}


def test_a_path_leads_to_one_place_and_a_wrong_one_nowhere() -> None:
    """What the other tests go by."""
    body = {"events": [{"a b": 1, "x": [7, 8]}], "body": 2}

    assert (at(body, 'events[0]["a b"]'), at(body, "events[0].x[1]"), at([body], "[0].body")) == (1, 8, 2)
    for wrong in ("events[1]", "event", "events[0].y", "clientSequence 4"):
        with pytest.raises((KeyError, IndexError)):
            at(body, wrong)


ODD_NAMES = [
    "severty",
    "Severity",
    "event_type",
    "eventType ",
    "clientSequence",
    "metadata",
    "",
    "a.b",
    "[0]",
]
names = st.sampled_from(ODD_NAMES) | st.text(max_size=70)
KNOWN = {"clientSequence", "client_sequence", *SNAKE.values()}


async def test_members_that_nobody_knows_are_named_where_they_stand_and_no_others(running: Station) -> None:
    """I-3: in `ack.ignored`, on every route; a reply to a request without such has no member of that name."""
    bounds = running.settings

    def examples(api: Api, seat: Seat, there: There) -> None:
        @settings(max_examples=100)
        @given(
            shape=st.sampled_from(SHAPES),
            count=st.integers(1, 5),
            added=st.lists(st.tuples(st.integers(0, 5), names), max_size=6),
        )
        @example(
            shape=SHAPES[2], count=3, added=[(0, "severty"), (2, "severty"), (2, "colour"), (5, "severty")]
        )
        def posted(shape: Shape, count: int, added: list[tuple[int, str]]) -> None:
            body = shape.body(seat, count)
            events = shape.events_of(body)
            holders = [*events, *([body] if isinstance(body, dict) else [])]
            kinds = {name for holder in holders for name in holder} | KNOWN
            expected: list[Any] = []
            for place, name in added:
                holder = holders[place % len(holders)]
                if name not in kinds and name not in holder:
                    holder[name] = marker = [f"unknown {len(expected)}"]
                    expected.append(marker)

            answer = there(api.post(shape.address, body, seat.token))

            assert answer.status == 202, answer.body
            named = [path for ack in acks_of(answer.body) for path in ack.get("ignored", [])]
            whole = [path for path in named if not path.endswith('…"]')]
            assert len(named) == len(expected) <= bounds.ignored_members_max
            assert all(at(body, path) in expected for path in whole)
            assert len(named) == len(set(whole)) + len(named) - len(whole)
            assert all("ignored" in ack or not expected for ack in acks_of(answer.body))
            assert all("ignoredMore" not in ack for ack in acks_of(answer.body))

        posted()

    await with_examples(running, examples)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
async def test_names_of_unknown_members_are_bounded_in_number_and_length(
    running: Station, shape: Shape
) -> None:
    """I-3: every name is told once before any is told twice; the others are counted."""
    bounds = running.settings
    async with api_of(running) as api:
        seat = running.world.seat()
        body = shape.body(seat, 50)
        events = shape.events_of(body)
        for event in events:
            event |= {"severty": 3, "x" * 300: 1}
        events[-1] |= {f"m{n}": n for n in range(40)}

        answer = await api.post(shape.address, body, seat.token)

        (ack,) = acks_of(answer.body)
        named, count = ack["ignored"], 2 * len(events) + 40
        assert len(named) == bounds.ignored_members_max
        assert ack["ignoredMore"] == count - len(named)
        assert max(map(len, named)) < bounds.ignored_name_characters_max + 30
        assert [path for path in named if path.endswith('…"]')] == [
            f'{shape.events.format(0)}["{"x" * 64}…"]'
        ]
        assert [path for path in named if "severty" in path] == [shape.path(0, "severty")]
        assert len({path.rpartition(".")[2] for path in named}) == len(named)


def padded(shape: Shape, body: Any, size: int, filler: str) -> bytes:
    """Return the body as JSON, with its last event padded to so many bytes, by what `filler` says."""
    marker = "\N{INVERTED EXCLAMATION MARK}"
    events = shape.events_of(body)
    if filler == "unknown":
        events[-1]["note"] = marker
    else:
        events[-1][marker] = 0
    raw = msgspec.json.encode(body)
    event = msgspec.json.encode(events[-1])
    room = size - (len(event) - len(marker.encode()))
    if filler == "unknown":
        return raw.replace(marker.encode(), b"y" * room)
    space = {"space": b" ", "lines": b"\r\n\t "}[filler] * size
    cut = b',"' + marker.encode() + b'":0'
    room = size - (len(event) - len(cut))
    return raw.replace(cut, space[:room])


@pytest.mark.parametrize("filler", ["space", "lines", "unknown"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
async def test_an_event_has_one_bound_alone_and_in_a_list(
    running: Station, shape: Shape, filler: str
) -> None:
    """I-4: its bytes as sent, from its first brace to its last; what stands around it is no part of it."""
    async with api_of(running) as api:
        seat = running.world.seat()
        count = 3 if shape.is_list else 1
        fits = padded(shape, shape.body(seat, count), EVENT_BYTES, filler)
        over = padded(shape, shape.body(seat, count), EVENT_BYTES + 1, filler)
        assert len(over) == len(fits) + 1

        taken = await api.post(shape.address, b"\r\n " * 500 + fits + b" \t" * 500, seat.token)
        answer = await api.post(shape.address, over, seat.token)

        assert taken.status == 202, taken.body
        assert {fault["path"] for fault in faults_of(answer.body)} == {shape.path(count - 1)}
        if shape.name == "partial":
            assert [result.get("code") for result in answer.body["results"]] == [None, None, "too_large"]
        else:
            assert_problem(answer, 413, "too_large")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
async def test_metadata_have_one_bound_alone_and_in_a_list(running: Station, shape: Shape) -> None:
    """I-4."""
    async with api_of(running) as api:
        seat = running.world.seat()
        answers = []
        for size in (METADATA_BYTES, METADATA_BYTES + 1):
            body = shape.body(seat, 2)
            for event in shape.events_of(body)[-1:]:
                text = "x" * (size - 2)
                event[shape.words["said"]] = text if shape.words is SNAKE else f'"{text}"'
            answers.append(await api.post(shape.address, body, seat.token))

        taken, refused = answers
        assert taken.status == 202, taken.body
        assert "refused" not in [result["status"] for result in taken.body.get("results", [])]
        path = shape.path(1 if shape.is_list else 0, shape.words["said"])
        assert {fault["path"] for fault in faults_of(refused.body)} == {path}


# fmt: off
ODD: list[bytes] = [
    b"[]", b"{}", b"0", b"-0", b"1e400", b'""', b"null", b"true", b"[[]]", b"[{}]", b"[null]", b"{}{}",
    b"\xef\xbb\xbf{}", b'{"events":{}}', b'{"events":[[]]}', b'{"events":[{"eventType":1e400}]}', b"\x00{}",
    b'{"":{"":{"":""}}}', b'{"\\u0000":1}', b'{"\\ud800":1}', b'{"\xff":1}', b'{"a":"\xff"}', b'{"a":1}\x00',
    b'[{"attempt_id":[]}]', b'{"a":' + b"9" * 5000 + b"}", b"[" * 5000, b'{"a":' * 1000 + b"1" + b"}" * 1000,
    b'["\\ud800"]', b"{'a':1}", b'{"event\\u0054ype":[]}', b"\x00", b"[1e400]",
]
# fmt: on


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
async def test_odd_json_is_refused_in_a_documented_way(running: Station, shape: Shape) -> None:
    """I-4: alone, and as a member that nobody knows of a body that is valid."""
    async with api_of(running) as api:
        seat = running.world.seat()
        valid = msgspec.json.encode(shape.body(seat))
        for odd in ODD:
            alone = await api.post(shape.address, odd, seat.token)
            within = await api.post(
                shape.address, valid.replace(b"{", b'{"odd":' + odd + b",", 1), seat.token
            )
            twice = await api.post(
                shape.address, valid.replace(b"{", b'{"severity":' + odd + b",", 1), seat.token
            )

            assert alone.status in {400, 422}, (odd, alone.body)
            assert_problem(alone, alone.status, "malformed" if alone.status == 400 else "invalid_input")
            for answer in (within, twice):
                assert answer.status in {202, 400, 422}, (odd, answer.body)
                assert answer.status != 422 or faults_of(answer.body), (odd, answer.body)
