"""What is said of a replay: English for any number of rows, and nothing but a sentence of none."""

import io

import pytest
from rich.console import Console

from kernel.files.findings import Finding, Kind, by_kind
from loadtests.check.figures import figures
from loadtests.replay.outcome import Outcome, show


def outcome(read: int, refused: int = 0, *, damaged: bool = False) -> Outcome:
    return Outcome(
        file="rows.csv",
        read=read,
        sent=read - refused,
        stored=read - refused,
        refused=refused,
        doubtful=0,
        events=read - refused,
        events_stored=read - refused,
        findings=by_kind([Finding(1, Kind.damaged, "it ends early")] if damaged else []),
        unread=[],
        absent=[],
        session_ids=[],
        exam_ids={},
        seconds=1.0,
        figures=figures([]),
        faults={},
    )


def shown(what: Outcome) -> str:
    text = io.StringIO()
    show(what, Console(file=text, highlight=False))
    return text.getvalue()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (outcome(1), "the only row is stored, every event exactly once"),
        (outcome(2000), "all 2,000 rows are stored, every event exactly once"),
        (outcome(1, 1), "the only row is refused; nothing is stored"),
        (outcome(2, 2), "all 2 rows are refused; nothing is stored"),
        (outcome(2, 1), "1 of 2 rows is refused; the other is stored"),
        (outcome(5, 2), "2 of 5 rows are refused; the other 3 are stored"),
        (outcome(1, damaged=True), "the file is damaged; the only row is stored that could be read"),
        (outcome(3, damaged=True), "the file is damaged; all 3 rows are stored that could be read"),
        (outcome(0, damaged=True), "the file is damaged; no row could be read"),
    ],
)
def test_the_verdict_is_a_sentence_for_any_number_of_rows(what: Outcome, words: str) -> None:
    assert what.verdict == words
    assert shown(what).splitlines()[-1] == words


def test_of_a_file_without_rows_only_that_is_said() -> None:
    assert shown(outcome(0)) == "the file holds no rows: nothing was sent\n"
