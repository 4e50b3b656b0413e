"""
A page over all of a teacher's exams reads what is on it, however much there is in these exams (spec.md W-5).

Blocks that a statement touches are compared, as in test_work_in_proportion.py; there a school's years are
over and done with, here all of it is the caller's own, and waits for them.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import psycopg

from core_api import seeding
from core_api.seeding import School
from kernel.events import Role
from sql import named, nouns
from sql.running import one, run

NOW: Final = datetime(2026, 9, 1, 12, tzinfo=UTC)
EXAMS: Final = 60  # more than what is met exam by exam
SIZES: Final = (600, 6_000)
GROWTH_MAX: Final = 1.5
SLACK_BLOCKS: Final = 20
LIMIT: Final = 20
ANY_ALERT: Final = {"limit": LIMIT} | dict.fromkeys(
    ("exam_id", "code", "acknowledged", "rank", "ended_at", "attempt_id")
)
ANY_FLAG: Final = {"sort": "urgency", "limit": LIMIT} | dict.fromkeys(
    ("exam_id", "flag", "risk_level", "dropout_label", "place", "attempt_id")
)
CASES: Final[dict[str, list[dict[str, Any] | tuple[Any, ...]]]] = {
    "alerts.list_alerts": [
        ANY_ALERT,
        ANY_ALERT | {"acknowledged": False},
        ANY_ALERT | {"code": "CRITICAL_RISK"},
    ],
    "flagged.list_flagged": [ANY_FLAG, ANY_FLAG | {"risk_level": "Critical"}],
    "teaching.count_attention": [(100,)],
    "teaching.list_taught": [{"cursor": None, "limit": LIMIT}],
}
# Of one attempt or one student: whether the caller may see it is all that their exams are asked for.
BY_KEY: Final = {
    "alerts.fetch_alert",
    "student_numbers.fetch_student",
    "student_numbers.sum_standing",
    "student_numbers.list_attempts",
}
FILL: Final = """
INSERT INTO reporting.behavior_analysis (
    attempt_id, exam_id, student_id, completed_at, total_monitoring_events, anomaly_count, critical_events,
    peak_risk_score, risk_level, requires_instructor_attention, requires_recap, flagged, recommended_action,
    alerts, alert_rank, dropout_label, llm_model_version, metric_version, coverage, reasons
)
SELECT gen_random_uuid(), (%(exams)s::uuid[])[1 + n %% %(count)s], %(student)s,
       %(now)s - n * interval '1 minute', 1, 0, 0, 90, 'Critical', true, false, true, 'immediate_attention',
       '[{"code": "CRITICAL_RISK", "rank": 1, "value": 90, "threshold": 80, "n": 1, "text": "Critical."}]',
       1, 'safe', 'rules-1', 'behavior-1', 1, '[]'
FROM generate_series(%(low)s, %(high)s - 1) n
"""


def blocks_of(conn: "psycopg.Connection[Any]", school: School, name: str, given: Any) -> int:
    """Return the blocks that a statement touches, as the teacher asks, once the catalogues are read."""
    noun, _, statement = name.partition(".")
    found = named(noun)
    text, *arguments = (
        found.bind(statement, **given) if isinstance(given, dict) else (found[statement], *given)
    )
    for _ in range(2):
        run(conn, named("asking")["ask_as"], "staff", str(school.teacher_id), str(school.organisation_id), "")
        run(conn, named("reporting")["plan_once"])
        plans = one(conn, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}", *arguments)
        conn.rollback()
    return int(plans[0]["Plan"]["Shared Hit Blocks"] + plans[0]["Plan"]["Shared Read Blocks"])


def test_a_page_over_many_exams_reads_what_is_on_it(database: str, database_as: Callable[[str], str]) -> None:
    costs: dict[str, list[int]] = {}
    with seeding.connect(database) as owner:
        school = seeding.create_school(owner, "Many exams", now=NOW, exams=EXAMS)
        (student,) = seeding.create_users(
            owner,
            school.organisation_id,
            [seeding.NewUser(email="pupil@many.example", role=Role.student)],
            now=NOW,
        )
    low = 0
    for size in SIZES:
        with psycopg.connect(database, autocommit=True) as owner:
            about = {"exams": school.exam_ids, "count": EXAMS, "student": student, "now": NOW}
            owner.execute(FILL, about | {"low": low, "high": size})
            owner.execute("VACUUM ANALYZE reporting.behavior_analysis")
        low = size
        with psycopg.connect(database_as("veritas_core"), prepare_threshold=None) as conn:
            for name, all_given in CASES.items():
                for given in all_given:
                    costs.setdefault(f"{name} {given}", []).append(blocks_of(conn, school, name, given))

    few, many = SIZES
    grown = {
        title: blocks for title, blocks in costs.items() if blocks[1] > blocks[0] * GROWTH_MAX + SLACK_BLOCKS
    }
    assert grown == {}, f"blocks of {few} and of {many}"


CLAIMS: Final = """
INSERT INTO claims (id, submission_id, attempt_id, exam_id, candidate_id, organisation_id, subject, state,
                    opened_at, state_at, deadline_at)
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), (%(exams)s::uuid[])[1 + n %% %(count)s],
       %(student)s, %(organisation)s, 'result', 'opened', %(now)s, %(now)s, %(now)s + n * interval '1 minute'
FROM generate_series(%(low)s, %(high)s - 1) n
"""
ANY_CLAIM: Final = {"is_open": True, "limit": LIMIT} | dict.fromkeys(
    ("exam_id", "state", "subject", "due_before", "due_at", "after")
)


def test_a_page_of_claims_passes_over_those_of_others(
    database: str, database_as: Callable[[str], str]
) -> None:
    """A teacher of three exams reads of these, however many claims the school has that are due before."""
    with seeding.connect(database) as owner:
        school = seeding.create_school(owner, "Many claims", now=NOW, exams=EXAMS)
        people = [
            seeding.NewUser(email=f"{role}@claims.example", role=role)
            for role in (Role.student, Role.teacher)
        ]
        student, teacher = seeding.create_users(owner, school.organisation_id, people, now=NOW)
    others, own = school.exam_ids[3:], school.exam_ids[:3]
    asks = {"organisation": school.organisation_id, "user_id": teacher, "sees_organisation": False}
    about = {"student": student, "organisation": school.organisation_id, "now": NOW}
    costs = []
    with psycopg.connect(database, autocommit=True) as owner:
        grant = "INSERT INTO teacher_exam_permissions (exam_id, teacher_id) SELECT unnest(%s::uuid[]), %s"
        owner.execute(grant, (own, teacher))
        owner.execute("SET session_replication_role = replica")  # claims, and nothing that they are about
        late = about | {"exams": own, "count": len(own), "low": 100_000, "high": 100_000 + 3 * LIMIT}
        owner.execute(CLAIMS, late)
        low = 0
        for size in SIZES:
            owner.execute(CLAIMS, about | {"exams": others, "count": len(others), "low": low, "high": size})
            owner.execute("VACUUM ANALYZE claims")
            low = size
            with psycopg.connect(database_as("veritas_core"), prepare_threshold=None) as conn:
                asker = msgspec.structs.replace(school, teacher_id=teacher)
                costs.append(blocks_of(conn, asker, "staff_claims.list_claims", ANY_CLAIM | asks))

    assert costs[1] <= costs[0] * GROWTH_MAX + SLACK_BLOCKS, costs


def test_every_list_over_the_callers_exams_is_measured() -> None:
    lists = {
        f"{noun}.{name}"
        for noun in nouns()
        for name, text in named(noun).texts.items()
        if "analysed_exam_ids()" in text
    }

    assert sorted(lists) == sorted(CASES.keys() | BY_KEY)
