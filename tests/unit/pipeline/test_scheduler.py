from pipeline.scheduler import ATTEMPTS_MAX, RESEND_S, group


def test_an_attempt_with_many_dirty_rows_is_sent_once_and_oldest_first() -> None:
    messages, sent = group([(1, "b"), (2, "a"), (3, "b")], {}, 10.0)

    assert messages == [["b", "a"]]
    assert sent == {1: 10.0, 2: 10.0, 3: 10.0}


def test_a_row_on_its_way_is_not_sent_again_until_it_is_overdue() -> None:
    messages, sent = group([(1, "a"), (2, "b")], {1: 10.0}, 11.0)
    assert messages == [["b"]]
    assert sent == {1: 10.0, 2: 11.0}

    overdue, _ = group([(1, "a"), (2, "b")], sent, 10.0 + RESEND_S)
    assert overdue == [["a"]]


def test_a_lower_id_that_commits_late_is_sent() -> None:
    """design.md: `id > cursor` would skip it."""
    _, sent = group([(7, "a")], {}, 1.0)

    assert group([(5, "late"), (7, "a")], sent, 2.0)[0] == [["late"]]


def test_what_is_clean_is_forgotten() -> None:
    assert group([(2, "b")], {1: 1.0, 2: 1.0}, 2.0) == ([], {2: 1.0})


def test_messages_are_bounded() -> None:
    messages, _ = group([(n, f"attempt-{n}") for n in range(2 * ATTEMPTS_MAX + 1)], {}, 0.0)

    assert [len(message) for message in messages] == [ATTEMPTS_MAX, ATTEMPTS_MAX, 1]
