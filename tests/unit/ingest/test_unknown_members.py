"""Members that nobody knows are told or refused, and never gathered by the million (spec.md I-3, I-4)."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ingest.admission.reading import Posted, read_bulk, read_monitor
from kernel.errors import DomainError, TooLargeError
from kernel.settings import load

SETTINGS = load({})
MANY = 200_000
GATHERED_MAX = 4 << 20  # bytes; a dictionary of so many members takes 30 MiB
ATTEMPT = "01890a5d-ac96-774b-bcce-b302099a8057"


def members(count: int) -> dict[str, Any]:
    return {f"m{n}": 1 for n in range(count)}


def batch(events: list[dict[str, Any]], **beside: Any) -> bytes:
    return msgspec.json.encode({"proctorSessionId": 1, "events": events} | beside)


def monitored(events: list[dict[str, Any]]) -> bytes:
    known = {"attempt_id": ATTEMPT, "event_type": 102, "severity": 1}
    return msgspec.json.encode([known | event for event in events])


def measured(read: Callable[..., Posted[Any]], body: bytes) -> tuple[Posted[Any], int]:
    """Return what was read, and the bytes that were held at most for it."""
    tracemalloc.start()
    try:
        return read(body, SETTINGS), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_of_an_event_over_its_bound_nothing_unknown_is_gathered() -> None:
    large = batch([{"eventType": 102, "clientSequence": 7} | members(MANY), {"eventType": 102}])
    lists = monitored([members(MANY), {}])

    for read, body in ((read_bulk, large), (read_monitor, lists)):
        posted, held = measured(read, body)
        assert [(fault.place, fault.is_size) for fault in posted.faults] == [(0, True)]
        assert list(posted.places) == [1]
        assert not posted.ignored.named
        assert held < GATHERED_MAX
        assert posted.refused[0]["event_type"] == 102, "what it says of itself is read all the same"


def test_what_stands_beside_the_events_has_the_bound_of_an_event() -> None:
    body = batch([{"eventType": 102}], **members(MANY))
    wrong = batch([{"eventType": 102}], **members(MANY), clientInstance=3)

    for each, code in ((body, 413), (wrong, 422)):
        tracemalloc.start()
        with pytest.raises(DomainError) as refused:
            read_bulk(each, SETTINGS)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert refused.value.status == code
        assert held < GATHERED_MAX


@pytest.mark.parametrize("over", [False, True])
def test_a_request_has_a_bound_of_unknown_members(*, over: bool) -> None:
    each = SETTINGS.unknown_members_max // 10
    events = [members(each) for _ in range(10)]
    if over:
        events[-1]["one more"] = 1

    for read, body, place in (
        (read_bulk, batch([{"eventType": 102} | event for event in events]), "events[9]"),
        (read_monitor, monitored(events), "[9]"),
    ):
        if over:
            with pytest.raises(TooLargeError) as refused:
                read(body, SETTINGS)
            assert [fault["path"] for fault in refused.value.errors or []] == [place]
        else:
            posted = read(body, SETTINGS)
            assert (len(posted.events), posted.faults) == (10, [])
            assert sum(posted.ignored.counts.values()) == SETTINGS.unknown_members_max


@pytest.mark.parametrize("member", [b'"x":1', b'"severity":1', b'"x":{"y":[{"z":1}]}'])
def test_what_stands_many_times_in_small_events_is_not_looked_through_one_by_one(member: bytes) -> None:
    """However few names there are: a body of 4 MiB held the event loop for a quarter of a second."""
    fill = b",".join([member] * (32_000 // len(member)))
    event = b'{"eventType":102,"oops":1,%b}' % fill
    posted = b'{"attempt_id":"%b","event_type":102,"oops":1,%b}' % (ATTEMPT.encode(), fill)
    large = b'{"proctorSessionId":1,"events":[%b]}' % b",".join([event] * 100)
    lists = b"[%b]" % b",".join([posted] * 100)

    for read, body, path in ((read_bulk, large, "events["), (read_monitor, lists, "[")):
        tracemalloc.start()
        with pytest.raises(TooLargeError) as refused:
            read(body, SETTINGS)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [fault["path"][: len(path)] for fault in refused.value.errors or []] == [path]
        assert held < 2 * len(body)
