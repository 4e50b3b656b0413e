"""What a turn takes of what waits (pure)."""

from pipeline.features.session import Session
from pipeline.fold import Claimed, cut


def claimed(attempt: str, session_id: int, *, folded: int = 0, stored: int) -> Claimed:
    session = Session(
        session_id=session_id, attempt_id=attempt, exam_id="exam", student_id="student",
        organisation_id="school", mode=1, started_us=0, ended_us=None,
    )  # fmt: skip
    return Claimed(
        session=session, stored_seq=stored, folded_seq=folded, since=None, until=None, states={},
        generation=1,
    )  # fmt: skip


def taken(*found: Claimed, events_max: int) -> list[tuple[int, int, bool]]:
    return [
        (each.claimed.session.session_id, each.through_seq, each.is_whole) for each in cut(found, events_max)
    ]


def test_all_is_taken_where_it_fits() -> None:
    found = (
        claimed("a", 1, folded=5, stored=9),
        claimed("b", 2, stored=3),
        claimed("c", 3, folded=7, stored=7),
    )

    assert taken(*found, events_max=100) == [(1, 9, True), (2, 3, True), (3, 7, True)]


def test_what_does_not_fit_is_cut_and_those_behind_it_wait() -> None:
    found = claimed("a", 1, stored=3), claimed("b", 2, folded=10, stored=500), claimed("c", 3, stored=1)

    assert taken(*found, events_max=8) == [(1, 3, True), (2, 15, False)]


def test_all_sessions_of_an_attempt_come_together() -> None:
    found = claimed("a", 1, stored=10), claimed("a", 2, stored=4), claimed("b", 3, stored=1)

    assert taken(*found, events_max=5) == [(1, 5, False), (2, 0, False)]
