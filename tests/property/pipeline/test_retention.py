"""Whatever happens in whichever order, nothing goes that is needed, and nothing is lost (spec.md G-1)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from kernel.settings import Settings
from pipeline.archive import archive_events
from pipeline.archive_told import open_archive
from pipeline.rebuild import FOLDED, rebuild
from pipeline.retention.archived import bring_back, list_gone
from sql.running import connect
from tests.conftest import logins_on, new_database
from tests.kits.pipeline_child import (
    ask_now,
    fold_now,
    forget_now,
    kill_at,
    project_now,
    remove_now,
    sweep_now,
)
from tests.kits.pipeline_world import Sitting, end, make_sittings, rows_of, some_events, store_now
from tests.kits.warehouse import read, root_of
from warehouse.datasets.events import EVENTS

NOW = datetime.now(UTC).replace(microsecond=0)
SITTINGS = 3
ACTS = (
    "events", "end", "settle", "archive", "sweep", "killed", "hold", "lift", "claim", "resolve", "close",
    "back", "rebuild", "inactive", "contents", "runtime",
)  # fmt: skip
STEPS = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, SITTINGS - 1)), min_size=8, max_size=20)
# As chance hardly has it: all is there for a sweep, but for a claim, and then for one that may be disputed.
CLAIMED = [
    (name, 0)
    for name in (
        "events", "end", "settle", "archive", "claim", "sweep", "resolve", "sweep", "close", "killed",
        "claim", "back", "sweep",
    )
] + [
    (name, 1)
    for name in (
        "end", "hold", "contents", "runtime", "inactive", "lift", "contents", "runtime", "inactive",
    )
]  # fmt: skip
# Events and what only a running attempt needs after 90 days, people and contents after a year.
POLICY = """
INSERT INTO retention_policies (organisation_id, inactive_days, submissions_days, set_by, set_at)
SELECT organisation_id, 365, 365, candidate_id, now() FROM proctor_sessions WHERE id = %s
ON CONFLICT (organisation_id) DO UPDATE SET inactive_days = 365
RETURNING 1
"""
WHO = "SELECT organisation_id, candidate_id FROM proctor_sessions WHERE id = %s"
OF = "SELECT s.id FROM proctor_sessions s"
WHOSE = "WHERE s.id = ANY (%s)"
ASKED = f"""
{OF} JOIN ledger_events e ON e.subject_id = s.candidate_id AND e.kind = 'erasure.requested' {WHOSE}
"""
UNASKED = f"{OF} LEFT JOIN erasures e ON e.person_id = s.candidate_id {WHOSE} AND e.id IS NULL"
WRITTEN = f"{OF} JOIN submissions b ON b.attempt_id = s.attempt_id AND b.content <> '' {WHOSE}"
ANSWERED = f"{OF} JOIN attempt_answers w ON w.attempt_id = s.attempt_id {WHOSE}"
ANSWER = """
INSERT INTO attempt_answers (attempt_id, question_id, client_seq, response, saved_at)
SELECT attempt_id, attempt_id, 1, '{}', started_at FROM proctor_sessions WHERE id = ANY (%s) RETURNING 1
"""
# As a hand-in leaves it; only its parts are not there.
SUBMIT = """
INSERT INTO submissions (id, kind, organisation_id, exam_id, attempt_id, author_id, submitted_by,
                         version_snapshot, content, content_sha256, event_id, finalised_at)
SELECT gen_random_uuid(), 'attempt', organisation_id, exam_id, attempt_id, candidate_id, 'candidate', '{}',
       'words', '', gen_random_uuid(), started_at
FROM proctor_sessions WHERE id = %(session)s
"""
PLACE = """
INSERT INTO legal_holds (id, organisation_id, kind, user_id, reason, placed_by, placed_at)
VALUES (gen_random_uuid(), %s, 'person', %s, 'a lawsuit', %s, now())
"""
LIFT = """
UPDATE legal_holds SET status = 'lifted', lifted_by = placed_by, lifted_at = now(), lift_reason = 'over'
WHERE user_id = %s AND status = 'placed'
"""
# A claim as a candidate's hand-in would have let it come about; only what it is about is not there.
CLAIM = """
INSERT INTO claims (id, submission_id, attempt_id, exam_id, candidate_id, organisation_id, subject, state,
                    opened_at, state_at, deadline_at)
SELECT gen_random_uuid(), attempt_id, attempt_id, exam_id, candidate_id, organisation_id, 'result', 'opened',
       now(), now(), now() + interval '5 days'
FROM proctor_sessions s WHERE id = %(session)s
ON CONFLICT DO NOTHING
"""
# Its first resolution, which may be disputed still; and the end of that.
RESOLVE = """
UPDATE claims SET state = 'resolved', deadline_at = now() + interval '14 days'
WHERE is_open AND attempt_id = (SELECT attempt_id FROM proctor_sessions WHERE id = %(session)s)
"""
CLOSE = """
UPDATE claims SET state = 'withdrawn', deadline_at = NULL
WHERE attempt_id = (SELECT attempt_id FROM proctor_sessions WHERE id = %(session)s)
"""


class World:
    """Some sit an old exam, and what the pipeline makes of it."""

    def __init__(self, url: str, own: Settings) -> None:
        self.url, self.settings = url, own
        self.sittings = make_sittings(url, attempts=SITTINGS, started_at=NOW - timedelta(days=400))
        rows_of(url, POLICY, self.sittings[0].session_id)
        rows_of(url, ANSWER, [each.session_id for each in self.sittings])
        self.over = set[int]()
        self.held = set[int]()
        self.claimed = set[int]()

    def act(self, name: str, place: int) -> None:
        before = self.here()
        getattr(self, name)(self.sittings[place])
        if name in {"sweep", "killed"}:
            went = {key for key in before if key not in self.here()}
            archived = set(read(self.settings, EVENTS, "session_id, seq", "session_id, seq"))
            assert went <= archived
            assert not {session for session, _ in went} & (self.held | self.claimed)
            assert {session for session, _ in went} <= self.over

    def here(self) -> set[Any]:
        ids = [each.session_id for each in self.sittings]
        return set(rows_of(self.url, "SELECT session_id, seq FROM events WHERE session_id = ANY (%s)", ids))

    def events(self, sitting: Sitting) -> None:
        if sitting.session_id not in self.over:
            store_now(self.url, sitting, some_events(sitting, 3))

    def end(self, sitting: Sitting) -> None:
        if sitting.session_id in self.over:
            return
        at = sitting.started_at + timedelta(hours=2)
        end(self.url, sitting, at)
        with psycopg.connect(self.url) as conn:
            conn.execute(
                "UPDATE exam_attempts SET status = 'abandoned', completed_at = %s WHERE id = %s",
                (at, sitting.attempt_id),
            )
        self._write(SUBMIT, sitting)
        self.over.add(sitting.session_id)

    def settle(self, _: Sitting) -> None:
        fold_now(self.settings)
        while project_now(self.settings):
            pass

    def archive(self, _: Sitting) -> None:
        archive_events(self.settings)

    def sweep(self, _: Sitting) -> None:
        sweep_now(self.settings)

    def killed(self, _: Sitting) -> None:
        kill_at("retain", self.settings, "compared")
        kill_at("retain", self.settings, "taken")

    def inactive(self, _: Sitting) -> None:
        self._takes(UNASKED, ask_now, "people", "asked")
        asked = self._keys(ASKED)
        assert len(asked) == len(set(asked))

    def contents(self, _: Sitting) -> None:
        self._takes(WRITTEN, forget_now, "contents", "taken")

    def runtime(self, _: Sitting) -> None:
        self._takes(ANSWERED, remove_now, "runtime", "removed")

    def _takes(self, left: str, sweep: Callable[[Settings], int], job: str, step: str) -> None:
        """Sweep, killed and again; nothing of what is `left` goes that is needed, or runs."""
        before = set(self._keys(left))
        kill_at(job, self.settings, step)
        sweep(self.settings)
        went = before - set(self._keys(left))
        assert not went & (self.held | self.claimed)
        assert went <= self.over

    def _keys(self, statement: str) -> list[int]:
        return [
            session
            for (session,) in rows_of(self.url, statement, [each.session_id for each in self.sittings])
        ]

    def hold(self, sitting: Sitting) -> None:
        with psycopg.connect(self.url) as conn:
            [(organisation, person)] = conn.execute(WHO.encode(), (sitting.session_id,)).fetchall()
            conn.execute(PLACE.encode(), (organisation, person, person))
        self.held.add(sitting.session_id)

    def lift(self, sitting: Sitting) -> None:
        with psycopg.connect(self.url) as conn:
            conn.execute(LIFT.encode(), (sitting.student_id,))
        self.held.discard(sitting.session_id)

    def claim(self, sitting: Sitting) -> None:
        self._write(CLAIM, sitting)
        self.claimed.add(sitting.session_id)

    def resolve(self, sitting: Sitting) -> None:
        self._write(RESOLVE, sitting)  # what was claimed is held as long as it may be disputed

    def close(self, sitting: Sitting) -> None:
        self._write(CLOSE, sitting)
        self.claimed.discard(sitting.session_id)

    def _write(self, statement: str, sitting: Sitting) -> None:
        with psycopg.connect(self.url) as conn:
            conn.execute("SET LOCAL session_replication_role = replica")
            conn.execute(statement.encode(), {"session": sitting.session_id})

    def back(self, sitting: Sitting) -> None:
        with connect(self.settings.database_url) as conn:
            for each in list_gone(conn, [sitting.session_id]):
                bring_back(conn, open_archive(conn, root_of(self.settings)), each, until=NOW, now=NOW)

    def rebuild(self, _: Sitting) -> None:
        rebuild(self.settings, only=FOLDED)


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    postgres: Postgres,
    template: dict[str, str],
    redis_server: Redis,
) -> Iterator[tuple[str, Settings]]:
    """A database and a warehouse, which the examples share: each has sittings of its own."""
    with new_database(postgres) as url:
        at = logins_on(url, template, redis_server.url)
        folder = tmp_path_factory.mktemp("retention") / "warehouse"
        yield url, Settings(database_url=at("veritas_pipeline"), warehouse=str(folder), build_grace_s=0)


@pytest.mark.slow("schedules with rebuilds, and with sweeps in processes that are killed")
@given(steps=STEPS)
@example(CLAIMED)
@settings(max_examples=2, deadline=None)
def test_nothing_goes_that_is_needed_and_nothing_is_lost(
    world: tuple[str, Settings], steps: list[tuple[str, int]]
) -> None:
    """spec.md G-1, W-2: after any schedule everything that was stored is read somewhere, once."""
    own = World(*world)
    for name, place in steps:
        own.act(name, place)
    ids = {each.session_id for each in own.sittings}
    rebuild(own.settings, only=FOLDED)
    archived = [
        row for row in read(own.settings, EVENTS, "session_id, seq", "session_id, seq") if row[0] in ids
    ]

    assert archived == [
        (each.session_id, seq)
        for each in sorted(own.sittings, key=lambda each: each.session_id)
        for seq in range(1, each.through_seq + 1)
    ]
    here = own.here()
    gone = dict(rows_of(own.url, "SELECT session_id, through_seq FROM gone_events WHERE through_seq > 0"))
    assert all((session, seq) in here or seq <= gone.get(session, 0) for session, seq in archived)
    counts = dict(rows_of(own.url, "SELECT attempt_id::text, events FROM reporting.attempt_activity"))
    for each in own.sittings:
        assert counts.get(each.attempt_id, 0) == each.through_seq
