"""
An organisation with years of exams: made by PostgreSQL itself from numbers and a seed, the same each time.

Rows stand as the use cases would have left them, but for what no analysis reads: the contents of submissions,
and their events on the ledger.
"""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from core_api import seeding
from kernel.events import Role
from loadtests.bench.measuring.screen import Screen
from sql import named
from sql.running import Connection, run

ORGANISATION: Final = named("organisation")
BEGAN: Final = datetime(2026, 3, 2, 8, tzinfo=UTC)  # the exams are on thirty days from then on
SEED: Final = 20_260_101
ATTEMPTS_AT_ONCE: Final = 5_000  # whose events are one statement
LARGEST, SMALL = 0, 1  # numbers of the exams to which somebody comes late
STUDENT, EXAM = 1, 2  # kinds of ids


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """
    How large it is. `largest` candidates sit exam 0 and `small` exam 1, and the other exams share the other
    attempts; so many come `late` to each of the two: they have begun once `begin_late` says so.
    """

    exams: int = 2_000
    students: int = 20_000
    attempts: int = 100_000
    largest: int = 10_000
    small: int = 100
    items: int = 20
    events: int = 100  # of each attempt
    late: int = 8


QUICK: Final = Extent(exams=20, students=300, attempts=1_000, largest=200, small=50, late=4)


class Organisation:
    """The organisation, and whoever lays rows into it: one connection, which has the plan."""

    def __init__(self, conn: Connection, extent: Extent) -> None:
        """Make the organisation and its one teacher."""
        self.extent, self._conn = extent, conn
        self.id = seeding.create_organisation(conn, "Analytics", now=BEGAN)
        teacher = seeding.NewUser(email="teacher@analytics.example", role=Role.teacher)
        (self.teacher_id,) = seeding.create_users(conn, self.id, [teacher], now=BEGAN)

    def fill(self, screen: Screen) -> None:
        """Make people, exams, attempts that are over, and their events."""
        run(self._conn, ORGANISATION["begin_bulk"])
        with screen.step("people, exams, questions"):
            self._make_exams()
        with screen.step("attempts and submissions"):
            self._make_attempts()
        with screen.step("events", self.extent.attempts) as show:
            for first in range(0, self.extent.attempts, ATTEMPTS_AT_ONCE):
                show(first, f"{first * self.extent.events:,}")
                self._make_events(first, min(first + ATTEMPTS_AT_ONCE, self.extent.attempts) - 1)
        run(self._conn, ORGANISATION["analyse_all"])
        run(self._conn, ORGANISATION["end_bulk"])

    def _make_exams(self) -> None:
        extent, conn = self.extent, self._conn
        who = {"organisation": self.id, "teacher": self.teacher_id, "at": BEGAN}
        for name in ("create_numbering", "create_chance", "create_normal", "create_plan", "create_answers"):
            run(conn, ORGANISATION[name])
        shape = {
            "exams": extent.exams, "students": extent.students, "attempts": extent.attempts,
            "largest": extent.largest, "small": extent.small, "late": 2 * extent.late,
        }  # fmt: skip
        run(conn, *ORGANISATION.bind("fill_plan", began_at=BEGAN, **shape))
        run(conn, ORGANISATION["analyse_plan"])
        run(conn, ORGANISATION["insert_students"], self.id, extent.students + 2 * extent.late, BEGAN)
        run(conn, ORGANISATION["insert_terms"], self.id, self.teacher_id, BEGAN)
        form = {"exams": extent.exams, "items": extent.items, **who}
        run(conn, *ORGANISATION.bind("insert_questions", seed=SEED, **form))
        run(conn, *ORGANISATION.bind("insert_forms", **form))

    def _make_attempts(self) -> None:
        extent, conn = self.extent, self._conn
        run(conn, ORGANISATION["fill_answers"], SEED, extent.items)
        run(conn, ORGANISATION["index_answers"])
        run(conn, ORGANISATION["analyse_answers"])
        run(conn, ORGANISATION["insert_attempts_in_bulk"], 0, extent.attempts - 1)
        self._hand_in(0, extent.attempts - 1)
        run(conn, ORGANISATION["insert_sessions_in_bulk"], self.id, extent.events, extent.attempts)
        run(conn, ORGANISATION["move_sequence"], extent.attempts)
        run(conn, ORGANISATION["insert_progress_in_bulk"], extent.events, extent.attempts)

    def _make_events(self, first: int, last: int) -> None:
        shape = {"events": self.extent.events, "items": self.extent.items, "first": first, "last": last}
        run(self._conn, *ORGANISATION.bind("insert_events_in_bulk", seed=SEED, **shape))

    def _hand_in(self, first: int, last: int) -> None:
        run(self._conn, ORGANISATION["insert_submissions_in_bulk"], self.id, first, last)
        run(self._conn, ORGANISATION["insert_items_in_bulk"], first, last)
        run(self._conn, ORGANISATION["insert_scores_in_bulk"], self.extent.items, first, last)
        run(self._conn, ORGANISATION["complete_in_bulk"], self.extent.items, first, last)

    def begin_late(self) -> None:
        """Let those who come late begin their attempts."""
        first = self.extent.attempts
        run(self._conn, ORGANISATION["insert_attempts_in_bulk"], first, first + 2 * self.extent.late - 1)

    def hand_in_late(self, exam: int, turn: int) -> None:
        """Let the so-manieth of those late in LARGEST or SMALL hand in; the pipeline is told of it."""
        number = self.extent.attempts + 2 * turn + (self.extent.attempts + exam) % 2
        with self._conn.transaction():
            self._hand_in(number, number)
            run(self._conn, ORGANISATION["tell_in_bulk"], self.id, number, number)


def numbered(kind: int, number: int) -> UUID:
    """Return the id that a student or an exam was given."""
    return UUID(f"0000000{kind}-0000-7000-8000-{number:012x}")
