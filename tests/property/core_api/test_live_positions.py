"""Nobody who watches misses a change or is told it twice, in whatever order changes are committed (U-1)."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from core_api import seeding
from core_api.proctoring.live_watching import Position, position_of
from sql import named
from sql.running import Connection, one, run
from tests.kits.core import make_people

LIVE = named("live")
NOTE = "INSERT INTO live_changes (exam_id, session_ids) VALUES (%s, %s)"
WRITERS = 3
READERS = 2
SESSIONS = 40
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("note"), st.integers(0, WRITERS - 1)),
        st.tuples(st.just("commit"), st.integers(0, WRITERS - 1)),
        st.tuples(st.just("undo"), st.integers(0, WRITERS - 1)),
        st.tuples(st.just("read"), st.integers(0, READERS - 1)),
        st.tuples(st.just("go back"), st.integers(0, READERS - 1)),
    ),
    max_size=SESSIONS,
)


class Reader(Struct):
    """One who reads, as a process does: every position that it has been at, with what it was told before."""

    told: list[tuple[str, list[int]]]


class Place(Struct):
    reading: Connection
    writing: "list[psycopg.Connection[Any]]"
    exam_id: Any
    sessions: list[int]

    def read(self, *positions: str) -> list[tuple[str, list[int]]]:
        """Return for each position the new one, and the sessions that have changed in between."""
        places = list(range(len(positions)))
        exams = [self.exam_id] * len(positions)
        wanted = LIVE.bind("read_changes", places=places, exams=exams, positions=list(positions))
        found = run(self.reading, *wanted)
        names = [column.name for column in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        return [
            (
                next(row["position"] for row in rows if row["place"] == place),
                [row["id"] for row in rows if row["place"] == place and row["id"] is not None],
            )
            for place in places
        ]


@pytest.fixture
def place(database: str) -> Iterator[Place]:
    with seeding.connect(database) as conn:
        people, exam_id = make_people(conn)
    with ExitStack() as opened:
        reading = opened.enter_context(seeding.connect(database))
        seats = seeding.seat_candidates(
            reading, people["student"].organisation_id, exam_id, SESSIONS, now=datetime.now(UTC)
        )
        writing = [opened.enter_context(psycopg.connect(database)) for _ in range(WRITERS)]
        yield Place(reading, writing, exam_id, sorted(seat.session_id for seat in seats))


@contextmanager
def undone(place: Place) -> Iterator[None]:
    try:
        yield
    finally:
        for each in place.writing:
            each.rollback()


@given(OPERATIONS)
@settings(max_examples=12)
def test_each_change_is_told_once_to_each_reader_in_any_schedule(
    place: Place, operations: list[tuple[str, int]]
) -> None:
    start = one(place.reading, "SELECT pg_current_snapshot()::text")
    readers = [Reader([(start, [])]) for _ in range(READERS)]
    free, committed = list(place.sessions), set()
    written: list[list[int]] = [[] for _ in range(WRITERS)]
    with undone(place):
        for what, who in operations:
            if what == "note":
                written[who].append(free.pop())
                place.writing[who].execute(NOTE, (place.exam_id, written[who][-1:]))
            elif what == "commit":
                place.writing[who].commit()
                committed |= set(written[who])
                written[who] = []
            elif what == "undo":
                place.writing[who].rollback()
                written[who] = []
            elif what == "read":
                position, before = readers[who].told[-1]
                ((at, changed),) = place.read(position)
                readers[who].told.append((at, before + changed))
            else:  # cut off, and back with an id from before, in a process that reads for others too
                position, before = readers[who].told[len(readers[who].told) // 2]
                (at, changed), _ = place.read(position, readers[who].told[-1][0])
                readers[who].told.append((at, before + changed))
        for reader in readers:
            position, before = reader.told[-1]
            ((_, changed),) = place.read(position)

            assert sorted(before + changed) == sorted(committed)


@given(st.integers(1, 2**63 - 1), st.lists(st.integers(0, 2**63 - 1), max_size=4), st.integers(0, 9))
@settings(max_examples=60)
def test_whatever_is_taken_for_a_position_postgresql_reads(
    place: Place, lowest: int, further: list[int], beyond: int
) -> None:
    numbers = [lowest, *further]
    for text in (
        f"1-{numbers[0]}:{numbers[-1]}:{','.join(map(str, numbers[1:-1]))}",
        f"1-{min(numbers)}:{max(numbers) + beyond}:{','.join(map(str, sorted(numbers)))}",
    ):
        found = position_of(text)
        if found is not None:
            assert str(found) == text
            assert one(place.reading, "SELECT $1::pg_snapshot::text", found.snapshot) == found.snapshot


def test_the_positions_that_postgresql_gives_are_taken(place: Place) -> None:
    for each in place.writing:
        each.execute("SELECT pg_current_xact_id()")
    with undone(place):
        place.writing[-1].commit()
        snapshot = one(place.reading, "SELECT pg_current_snapshot()::text")

        assert snapshot.count(",") >= WRITERS - 2
        assert position_of(str(Position(7, snapshot))) == Position(7, snapshot)
