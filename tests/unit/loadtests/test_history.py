"""The checker finds what is planted, and nothing where there is nothing (spec.md decision 7, I-2)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from kernel.events import EventType
from loadtests.check.history import Report, Row, check, dead_row
from loadtests.client.log import Acked, Created, Entry, Reoffered, Sent

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
SESSION = 7


def row(seq: int, **changes: object) -> Row:
    base = Row(SESSION, seq, START + timedelta(seconds=seq), 99, seq, int(EventType.Keystroke), f"m{seq}")
    return msgspec.structs.replace(base, **changes)


def created(seq: int, instance: str = "a", marker: str | None = None) -> Created:
    return Created(
        SESSION, instance, seq, seq, 0.0, marker=marker or f"m{seq}", event_type=int(EventType.Keystroke)
    )


def sent(first: int, last: int, instance: str = "a") -> Sent:
    return Sent(SESSION, instance, first, last, 0.0)


def acked(first: int, last: int, number: int | None = None, instance: str = "a") -> Acked:
    start = number or first
    return Acked(SESSION, instance, first, last, 0.0, numbers=tuple(range(start, start + last - first + 1)))


def two_requests() -> list[Entry]:
    """Two batches of two, the second sent after the first was acknowledged."""
    return [*map(created, range(1, 5)), sent(1, 2), acked(1, 2), sent(3, 4), acked(3, 4)]


def four_rows() -> list[Row]:
    return [row(seq) for seq in range(1, 5)]


def faults(entries: Sequence[Entry], rows: list[Row]) -> set[str]:
    return set(check(entries, rows).faults)


def test_a_kept_promise_is_reported_as_such() -> None:
    report = check(two_requests(), four_rows())

    assert report.ok
    assert (report.created, report.acknowledged, report.stored) == (4, 4, 4)
    assert "nothing lost" in report.text()


def test_an_acknowledged_event_without_a_row_is_lost() -> None:
    report = check(two_requests(), four_rows()[:3])

    assert len(report.lost) == 1
    assert "m4" in report.text()


def test_a_dead_letter_keeps_the_promise() -> None:
    report = check(two_requests(), [*four_rows()[:3], row(4, dead=True)])

    assert report.ok
    assert report.dead == 1


def test_an_unacknowledged_event_may_be_absent_or_present_once() -> None:
    entries = two_requests()[:-1]

    assert check(entries, four_rows()[:2]).ok
    assert check(entries, four_rows()).unacknowledged_stored == 2
    assert "doubled" in faults(entries, [*four_rows(), row(5, marker="m4", client_seq=4)])


def test_an_event_in_two_rows_is_doubled() -> None:
    assert faults(two_requests(), [*four_rows(), row(5, marker="m2", client_seq=2)]) == {"doubled"}


def test_an_event_in_the_table_and_in_dead_letters_is_doubled() -> None:
    assert faults(two_requests(), [*four_rows(), row(2, dead=True)]) == {"doubled"}


def test_a_dead_letter_tells_what_event_it_was() -> None:
    event = b'{"client":"-5","clientSequence":3,"eventType":102,"metadataJson":"{\\"marker\\":\\"m3\\"}"}'

    assert dead_row(SESSION, 4, START, event) == Row(SESSION, 4, START, -5, 3, 102, "m3", dead=True)


def test_a_dead_letter_that_cannot_be_read_matches_nothing() -> None:
    assert dead_row(SESSION, 4, START, b"\xff").marker is None


def test_two_events_that_changed_places_are_not_where_they_were_acknowledged() -> None:
    rows = [row(1), row(2), row(3, marker="m4", client_seq=4), row(4, marker="m3", client_seq=3)]

    assert "changed" in faults(two_requests(), rows)


def test_an_event_stored_before_one_acknowledged_before_it_was_sent_is_out_of_order() -> None:
    entries = [created(1), created(2), sent(1, 1), acked(1, 1, 2), sent(2, 2), acked(2, 2, 1)]
    rows = [row(1, marker="m2", client_seq=2), row(2, marker="m1", client_seq=1)]

    assert faults(entries, rows) == {"out_of_order"}


def test_order_is_held_between_two_tabs_of_one_session() -> None:
    entries = [
        created(1),
        sent(1, 1),
        acked(1, 1, 2),
        created(1, "b", "b1"),
        sent(1, 1, "b"),
        acked(1, 1, 1, "b"),
    ]
    rows = [row(1, marker="b1", client_seq=1, client=5), row(2, marker="m1", client_seq=1)]

    assert faults(entries, rows) == {"out_of_order"}


def test_requests_under_way_at_the_same_time_may_be_stored_in_either_order() -> None:
    entries = [
        created(1),
        created(1, "b", "b1"),
        sent(1, 1),
        sent(1, 1, "b"),
        acked(1, 1, 2),
        acked(1, 1, 1, "b"),
    ]
    rows = [row(1, marker="b1", client_seq=1, client=5), row(2, marker="m1", client_seq=1)]

    assert check(entries, rows).ok


def test_events_of_one_unanswered_request_may_not_turn_round() -> None:
    entries = [created(1), created(2), sent(1, 2)]
    rows = [row(1, marker="m2", client_seq=2), row(2, marker="m1", client_seq=1)]

    assert faults(entries, rows) == {"out_of_order"}


def test_time_that_runs_backwards_is_out_of_order() -> None:
    rows = [row(1), row(2, occurred_at=START), row(3), row(4)]

    assert faults(two_requests(), rows) == {"out_of_order"}


def test_a_hole_in_a_sessions_sequence_is_a_gap() -> None:
    entries = [*two_requests()[:-1], acked(3, 4, 5)]
    rows = [row(1), row(2), row(5, marker="m3", client_seq=3), row(6, marker="m4", client_seq=4)]

    assert check(entries, rows).gaps == ["session 7: 3 to 4 missing"]


def test_another_type_than_was_sent_is_a_change() -> None:
    assert faults(two_requests(), [row(1, event_type=2), *four_rows()[1:]]) == {"changed"}


def test_a_resend_that_is_told_another_number_is_a_change() -> None:
    assert "changed" in faults([*two_requests(), sent(4, 4), acked(4, 4, 9)], four_rows())


def test_a_row_that_nobody_sent_is_invented() -> None:
    assert faults(two_requests(), [*four_rows(), row(5, marker="stranger", client_seq=5)]) == {"invented"}


def test_the_two_ends_of_a_heartbeat_gap_are_the_servers_own() -> None:
    mark = row(5, marker=None, client=None, client_seq=None, event_type=int(EventType.NetworkDisconnected))
    report = check(two_requests(), [*four_rows(), mark])

    assert report.ok
    assert report.made_by_server == 1


def test_an_event_offered_again_after_a_named_loss_may_stand_elsewhere() -> None:
    entries = [*two_requests(), Reoffered(SESSION, "a", 4, 4, 0.0), sent(4, 4), acked(4, 4, 5)]
    rows = [
        row(1),
        row(2),
        row(3),
        row(4, marker="b1", client=5, client_seq=1),
        row(5, marker="m4", client_seq=4),
    ]
    other = [created(1, "b", "b1"), sent(1, 1, "b"), acked(1, 1, 4, "b")]

    assert check([*entries[:-2], *other, *entries[-2:]], rows).ok


def test_the_report_of_an_empty_log_is_clean() -> None:
    assert check([], []) == Report()
