"""How many workers are woken."""

from pipeline.scheduler import WAKES_MAX, wakes


def test_nobody_is_woken_for_nothing() -> None:
    assert wakes(0, 200) == 0


def test_a_worker_is_woken_for_each_turn_and_not_for_each_session() -> None:
    assert [wakes(sessions, 200) for sessions in (1, 200, 201, 1_600)] == [1, 1, 2, 8]


def test_messages_are_bounded_however_much_is_due() -> None:
    assert wakes(20_000, 1) == WAKES_MAX
