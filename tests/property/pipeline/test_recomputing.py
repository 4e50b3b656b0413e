"""What follows from submissions: rebuilt it is what it was, whatever came, died and went on (spec.md W-2)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from core_api import seeding
from kernel.settings import Settings
from pipeline.projections.registry import PUBLISHED
from pipeline.publications import publish_marked
from pipeline.rebuild import no_progress
from pipeline.recomputing import recompute
from tests.kits.handed_in import START, Class, abandon, hand_in, make_class, score_again, set_void
from tests.kits.pipeline_child import STEPS, fold_now, kill_at, project_now
from tests.kits.pipeline_world import Sitting, some_events, store_now
from tests.kits.recomputed import contents, forget, published

EXAMS, STUDENTS, ITEMS = 2, 3, 4
ATTEMPTS = EXAMS * STUDENTS
Action = tuple[Any, ...]

numbers = st.integers(0, ATTEMPTS - 1)
points = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=ITEMS, max_size=ITEMS)
actions = st.one_of(
    st.tuples(st.just("hand_in"), numbers, st.text("ab ", min_size=ITEMS, max_size=ITEMS)),
    st.tuples(st.just("score"), numbers, points),
    st.tuples(st.just("void"), numbers, st.booleans()),
    st.tuples(st.just("events"), numbers, st.integers(1, 4)),
    st.tuples(st.just("abandon"), numbers),
)
turns = st.sampled_from([("project",), ("project",), *(("kill", at) for at in STEPS["project"])])
schedules = st.lists(actions | turns, min_size=6, max_size=12)
FIRST: list[Action] = [("hand_in", 0, "ab b"), ("hand_in", 1, "bbab"), ("hand_in", 4, "b b "), ("project",)]


@pytest.fixture
def pipeline(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
        cohort_every_s=0,
        cohort_settled_s=0,
        build_grace_s=0,
    )


class World:
    """A school whose candidates are all at work, each watched."""

    def __init__(self, url: str, pipeline: Settings) -> None:
        self.url, self.pipeline, self.minutes = url, pipeline, 0
        self.own: Class = make_class(url, exams=EXAMS, students=STUDENTS, items=ITEMS)
        ids = [each["attempt"] for each in self.own.attempts]
        with seeding.connect(url) as conn:
            sessions = seeding.open_sessions(conn, ids, now=START)
        self.sittings = [
            Sitting(session, str(each["attempt"]), str(each["exam"]), str(each["student"]), START)
            for session, each in zip(sessions, self.own.attempts, strict=True)
        ]

    def play(self, action: Action) -> None:
        """Do what the schedule says, a minute after what was before; to somebody to whom it can be done."""
        self.minutes += 1
        done, minutes = self.own.attempts, self.minutes
        handed_in = [each["submission"] for each in done if "submission" in each]
        match action:
            case ("hand_in", number, responses) if "over" not in done[number]:
                hand_in(self.url, self.own, number, responses, minutes=minutes)
                done[number]["over"] = True
            case ("abandon", number) if "over" not in done[number]:
                abandon(self.url, self.own, number, minutes=minutes)
                done[number]["over"] = True
            case ("score", number, points):
                score_again(self.url, self.own, handed_in[number % len(handed_in)], points, minutes=minutes)
            case ("void", number, is_void):
                one_of = handed_in[number % len(handed_in)]
                set_void(self.url, self.own, one_of, is_void=is_void, minutes=minutes)
            case ("events", number, count):
                store_now(self.url, self.sittings[number], some_events(self.sittings[number], count))
            case ("project",):
                self.catch_up()
            case ("kill", at):
                kill_at("project", self.pipeline, at)

    def catch_up(self) -> None:
        """Fold and project all that is there."""
        fold_now(self.pipeline)
        project_now(self.pipeline)


@pytest.mark.slow("schedules with crashes, each rebuilt")
def test_a_rebuild_is_what_the_schedule_has_left(database: str, pipeline: Settings) -> None:
    """
    Row for row, in one part or many, over what is there or from nothing; and published whole it is what was
    published as it was marked, byte for byte. Kills are SIGKILL in the middle of a turn; events come late,
    too.
    """

    @settings(max_examples=3, phases=[Phase.explicit, Phase.generate])  # to shrink a schedule takes minutes
    @example(schedule=[("events", 1, 1)], parts=1, is_dropped=True)  # the session is still open
    @given(schedules, st.sampled_from([1, 4, 16]), st.booleans())
    def holds(schedule: list[Action], parts: int, is_dropped: bool) -> None:  # noqa: FBT001  drawn
        world = World(database, pipeline)
        for action in [*FIRST, *schedule]:
            world.play(action)
        world.catch_up()
        incremental = contents(database)
        submissions = {row[0] for row in incremental["submissions"]}
        assert {each["submission"] for each in world.own.attempts if "submission" in each} <= submissions
        publish_marked(pipeline)

        if is_dropped:
            forget(database)
        recompute(pipeline, no_progress, datasets=PUBLISHED, parts=parts)
        assert contents(database) == incremental

    holds()
    as_marked = published(pipeline)
    publish_marked(pipeline, whole=True)
    assert published(pipeline) == as_marked
