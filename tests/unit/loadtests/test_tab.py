"""A batch that the server refuses: what it names is given up, its neighbours are sent again."""

from typing import Any

import msgspec
import pytest

from kernel.events import EventType
from loadtests.client.log import Acked, Log, Refused
from loadtests.client.outbox import Held
from loadtests.client.tab import Tab


def filled(count: int) -> tuple[Tab, Log]:
    log = Log()
    tab = Tab(1, log)
    for n in range(count):
        tab.record(EventType.Keystroke, metadata={"n": n})
    return tab, log


def refuse(tab: Tab, batch: list[Held], status: int, *wrong: int) -> bool:
    errors = [{"path": f"events[{n}].severity", "message": "Expected 0 to 5"} for n in wrong]
    tab.sent(batch)
    return tab.refused(batch, status, msgspec.json.encode({"code": "invalid_input", "errors": errors}))


def accept(tab: Tab, batch: list[Held], first: int, *refused: int) -> None:
    """Answer a batch as the server does: the events with these indices refused, the others numbered."""
    through = first + len(batch) - len(refused) - 1
    said = {
        "sequenceFrom": first,
        "sequenceThrough": through,
        "storedThrough": 0,
        "ackedThrough": batch[-1].seq,
    }
    results: list[dict[str, Any]] = [{"index": n, "errors": [{"path": "", "message": "no"}]} for n in refused]
    tab.sent(batch)
    tab.accepted(batch, msgspec.json.encode({"ack": said, "results": results}))


def given_up(log: Log) -> list[int]:
    return [entry.first for entry in log if isinstance(entry, Refused) and entry.final]


def test_the_rest_of_a_refused_batch_goes_again_with_the_wrong_ones_settled() -> None:
    tab, log = filled(4)
    batch = tab.outbox.next_batch()
    assert refuse(tab, batch, 422, 1)

    again = tab.outbox.next_batch()
    path, _ = tab.request_of(again)
    assert ([held.seq for held in again], path) == ([1, 2, 3, 4], "/api/proctor/events/bulk?partial=true")

    accept(tab, again, 1, 1)
    acked = [(entry.first, entry.last, entry.numbers) for entry in log if isinstance(entry, Acked)]
    assert (given_up(log), tab.outbox.offered) == ([2], 0)
    assert acked == [(1, 1, (1,)), (3, 4, (2, 3))]


def test_a_server_that_takes_no_batch_in_part_still_gets_the_rest() -> None:
    tab, log = filled(3)
    for _ in range(2):
        refuse(tab, tab.outbox.next_batch(), 422, 0)

    assert (given_up(log), [held.seq for held in tab.outbox.next_batch()]) == ([1], [2, 3])


@pytest.mark.parametrize("wrong", [1, 2, 5, 8])
def test_a_batch_of_which_nothing_is_named_is_halved_until_the_wrong_one_stands_alone(wrong: int) -> None:
    tab, log = filled(8)
    number = 1
    while batch := tab.outbox.next_batch():
        if any(held.seq == wrong for held in batch):
            assert refuse(tab, batch, 413)
        else:
            accept(tab, batch, number)
            number += len(batch)

    assert (given_up(log), number) == ([wrong], 8)


def test_a_session_that_has_ended_ends_the_client() -> None:
    tab, log = filled(2)
    batch = tab.outbox.next_batch()

    assert refuse(tab, batch, 409)
    assert (tab.stopped_by, given_up(log)) == ("invalid_input", [1, 2])


def test_what_may_succeed_later_is_kept_and_waits() -> None:
    tab, log = filled(2)

    assert not refuse(tab, tab.outbox.next_batch(), 503, 0)
    assert (tab.outbox.offered, given_up(log)) == (2, [])


def test_a_member_that_the_server_does_not_know_is_a_fault_of_this_client() -> None:
    """Whatever it says there is not stored: nobody may take the event for delivered whole."""
    tab, _ = filled(1)
    ack = {"sequenceFrom": 1, "sequenceThrough": 1, "storedThrough": 0, "ignored": ["severty"]}

    with pytest.raises(ValueError, match="severty"):
        tab.accepted(tab.outbox.next_batch(), msgspec.json.encode({"ack": ack}))
