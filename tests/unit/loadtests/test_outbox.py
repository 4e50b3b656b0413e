"""What a good client keeps and sends next (spec.md decision 7, I-2)."""

import pytest

from loadtests.client.outbox import Ack, Outbox, OutboxFullError


def filled(count: int) -> Outbox:
    outbox = Outbox()
    for n in range(count):
        outbox.add(102, b'{"n":%d}' % n)
    return outbox


def ack(first: int, last: int, **fields: object) -> Ack:
    base = {"sequence_from": first, "sequence_through": last, "stored_through": 0, "acked_through": last}
    return Ack(**(base | fields))  # type: ignore[arg-type]


def sequences(outbox: Outbox) -> list[int]:
    return [held.seq for held in outbox.next_batch()]


def test_events_are_numbered_from_one_and_offered_in_order() -> None:
    outbox = filled(3)

    assert sequences(outbox) == [1, 2, 3]
    assert [held.seq for held in outbox.next_batch(events_max=2)] == [1, 2]


def test_an_unanswered_batch_is_offered_again_unchanged() -> None:
    outbox = filled(2)
    first = outbox.next_batch()

    assert outbox.next_batch() == first


def test_a_batch_stays_under_its_byte_bound_and_never_below_one_event() -> None:
    outbox = filled(3)

    assert len(outbox.next_batch(bytes_max=15)) == 2
    assert len(outbox.next_batch(bytes_max=1)) == 1


def test_an_acknowledged_event_is_kept_until_it_is_stored() -> None:
    outbox = filled(2)
    outbox.acknowledge(outbox.next_batch(), ack(1, 2))
    assert (outbox.offered, len(outbox)) == (0, 2)

    outbox.acknowledge(outbox.probe(), ack(2, 2, duplicate=True, stored_through=2))

    assert len(outbox) == 0


def test_an_event_that_the_server_misses_is_offered_again_before_what_is_new() -> None:
    outbox = filled(4)
    outbox.acknowledge(outbox.next_batch(), ack(1, 4))
    outbox.add(102, b"{}")

    lost = outbox.acknowledge(outbox.next_batch(), ack(3, 3, acked_through=1, missing=[(2, 4)]))

    assert lost == [2, 3, 4]
    assert sequences(outbox) == [2, 3, 4]


def test_without_a_hole_all_behind_the_last_received_is_offered_again() -> None:
    outbox = filled(4)
    outbox.acknowledge(outbox.next_batch(), ack(1, 4))
    resent = outbox.next_batch() or outbox.probe()

    lost = outbox.acknowledge(resent, ack(2, 2, acked_through=2))

    assert lost == [3, 4]


def test_a_number_given_out_again_after_a_loss_does_not_free_the_lost_event() -> None:
    outbox = filled(2)
    outbox.acknowledge(outbox.next_batch(), ack(1, 2))
    outbox.add(102, b"{}")

    outbox.acknowledge(outbox.next_batch(), ack(2, 2, acked_through=1, missing=[(2, 2)], stored_through=2))

    assert sequences(outbox) == [2]
    assert len(outbox) == 2  # the third is stored as number 2, and stays until what is before it may go


def test_a_partly_received_batch_takes_the_numbers_it_is_told() -> None:
    outbox = filled(3)
    outbox.acknowledge(outbox.next_batch(), ack(1, 9, sequences=[1, 8, 9], stored_through=1))

    assert len(outbox) == 2


def test_a_reply_about_another_number_of_events_is_an_error() -> None:
    outbox = filled(2)

    with pytest.raises(ValueError, match="2 events were sent and 3 acknowledged"):
        outbox.acknowledge(outbox.next_batch(), ack(1, 3))


def test_a_refused_batch_is_given_up_and_the_next_one_offered() -> None:
    outbox = filled(3)
    outbox.refuse(outbox.next_batch(events_max=2))

    assert sequences(outbox) == [3]
    assert len(outbox) == 1


def test_a_full_outbox_refuses_loudly() -> None:
    outbox = Outbox(held_max=1)
    outbox.add(102, b"{}")

    with pytest.raises(OutboxFullError, match="1 events are waiting"):
        outbox.add(102, b"{}")
