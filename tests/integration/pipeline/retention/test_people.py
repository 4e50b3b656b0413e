"""Candidates with whom nothing happens any more are erased by policy (spec.md G-1, G-2)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
import pytest
from typer.testing import CliRunner

from core_api import seeding
from core_api.seeding import NewUser, School
from deploy.commands.cli import app
from kernel.events import Role
from kernel.storage.opening import open_tiers
from pipeline.ledger.verify import verify
from pipeline.privacy.erasing import erase_due
from pipeline.privacy.keeping import list_kept
from pipeline.publications import publish_marked
from pipeline.retention.forecast import forecast
from pipeline.retention.people import sweep_people
from sql.running import connect
from tests.kits.ledger import Log, make_log
from tests.kits.pipeline_child import kill_at_statement
from tests.kits.pipeline_world import rows_of
from tests.kits.warehouse import root_of

NOW: Final = datetime.now(UTC).replace(microsecond=0)
OLD: Final = NOW - timedelta(days=800)
DAYS: Final = 365
# In the place of %(…)s stand whom and what `let` gives.
ATTEMPT: Final = """
WITH a AS (
    INSERT INTO exam_attempts (id, exam_id, student_id, status, started_at, expires_at, completed_at)
    VALUES (gen_random_uuid(), %(exam)s, %(person)s, 'completed', %(old)s, %(old)s, %(ended)s) RETURNING id
) """
RUNNING: Final = ATTEMPT.replace("'completed'", "'in_progress'").replace("%(ended)s", "NULL")
SUBMISSION: Final = f"""{ATTEMPT}, b AS (
    INSERT INTO submissions (id, kind, organisation_id, exam_id, attempt_id, author_id, submitted_by,
                             version_snapshot, content, content_sha256, event_id, finalised_at)
    SELECT gen_random_uuid(), 'attempt', %(school)s, %(exam)s, a.id, %(person)s, 'candidate', '{{}}', '', '',
           gen_random_uuid(), %(old)s FROM a RETURNING id
)
"""
CLAIM: Final = f"""{ATTEMPT}
INSERT INTO claims (id, submission_id, attempt_id, exam_id, candidate_id, organisation_id, subject, state,
                    opened_at, state_at, deadline_at)
SELECT gen_random_uuid(), a.id, a.id, %(exam)s, %(person)s, %(school)s, 'result', """
OPEN_CLAIM: Final = CLAIM + "'opened', %(old)s, %(old)s, %(now)s FROM a"
ENROLLED: Final = """
INSERT INTO programme_enrolments (id, programme_id, version, user_id, organisation_id, enrolled_by,
                                  enrolled_at, state, state_at)
VALUES (gen_random_uuid(), gen_random_uuid(), 1, %(person)s, %(school)s, %(staff)s, %(old)s, """
ASSIGNED: Final = """
INSERT INTO assignments (id, exam_id, user_id, created_by, created_at, closes_at, revoked_at)
VALUES (gen_random_uuid(), %(exam)s, %(person)s, %(staff)s, %(old)s, """
HELD: Final = """
INSERT INTO legal_holds (id, organisation_id, reason, placed_by, placed_at, kind, user_id, exam_id)
VALUES (gen_random_uuid(), %(school)s, 'a lawsuit', %(staff)s, %(old)s, """
REVIEWED: Final = f"""{ATTEMPT}, s AS (
    INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at,
                                  status, ended_at, rule_set_id)
    SELECT a.id, %(exam)s, %(person)s, %(school)s, 1, %(old)s, 2, %(old)s, 1 FROM a RETURNING id, attempt_id
)
INSERT INTO proctor_decisions (session_id, attempt_id, exam_id, candidate_id, organisation_id, status,
                               decided_by, decided_at, is_finalized)
SELECT s.id, s.attempt_id, %(exam)s, %(person)s, %(school)s, 1, %(staff)s, %(old)s, false FROM s
"""
INVITED: Final = """
INSERT INTO invitations (sha256, user_id, standing, issuer_id, issuer_standing, created_at, expires_at)
VALUES (sha256(convert_to(%(person)s::text, 'UTF8')), %(person)s, 0, %(staff)s, 0, %(lately)s, %(lately)s)
"""
SIGNED_IN: Final = """
INSERT INTO logins (id, user_id, created_at, expires_at)
VALUES (gen_random_uuid(), %(person)s, %(old)s, %(lately)s)
"""
SCORED: Final = f"""{SUBMISSION}
INSERT INTO submission_scores (submission_id, revision, scoring_version, item_points, points, max_points,
                               ungraded, reason, scored_at)
SELECT b.id, 1, '1', '{{}}', 0, 1, 0, 'finalised', %(lately)s FROM b
"""
OBSERVED: Final = """
WITH b AS (
    INSERT INTO submissions (id, kind, organisation_id, exam_id, author_id, submitted_by,
                             version_snapshot, content, content_sha256, event_id, finalised_at)
    VALUES (gen_random_uuid(), 'observation', %(school)s, %(exam)s, %(staff)s, 'observer', '{}', '', '',
            gen_random_uuid(), %(lately)s) RETURNING id
)
INSERT INTO submission_subjects (submission_id, subject_id, kind) SELECT b.id, %(person)s, 'user' FROM b
"""
BY_GROUP: Final = """
INSERT INTO assignments (id, exam_id, group_id, created_by, created_at, closes_at)
SELECT gen_random_uuid(), %(exam)s, m.group_id, %(staff)s, %(old)s, %(old)s + interval '1 day'
FROM group_members m WHERE m.user_id = %(person)s
"""
# Of whom nothing has happened for long, what keeps them.
STAYS: Final = {
    "attempt_runs": ATTEMPT.replace("'completed'", "'in_progress'").replace("%(ended)s", "NULL")
    + "SELECT 1 FROM a",
    "claim_open": OPEN_CLAIM,
    "legal_hold": HELD + "'person', %(person)s, NULL)",
    "legal_hold, of an exam": ATTEMPT.replace("%(exam)s", "%(held)s") + "SELECT 1 FROM a",
    "review_open": REVIEWED,
    "programme_runs": ENROLLED + "'active', %(old)s)",
    "appointment_open": ASSIGNED + "NULL, NULL)",
}
# What has happened, or was still so, a month ago.
HAPPENED: Final = {
    "signed in": "UPDATE users SET last_login = %(lately)s WHERE id = %(person)s",
    "was signed in": SIGNED_IN,
    "was invited": INVITED,
    "began": ATTEMPT.replace("%(old)s", "%(lately)s") + "SELECT 1 FROM a",
    "handed in": ATTEMPT.replace("%(ended)s", "%(lately)s") + "SELECT 1 FROM a",
    "was given a result": SCORED,
    "was observed": OBSERVED,
    "claimed": CLAIM + "'withdrawn', %(old)s, %(lately)s, NULL FROM a",
    "left a programme": ENROLLED + "'withdrawn', %(lately)s)",
    "may sit": ASSIGNED + "%(now)s + interval '1 hour', NULL)",
    "could have sat": ASSIGNED + "%(lately)s, NULL)",
    "was let off": ASSIGNED + "NULL, %(lately)s)",
}
TOLD: Final = """
SELECT kind, subject_id, convert_from(body, 'UTF8')::json -> 'detail' ->> 'rule',
       (convert_from(body, 'UTF8')::json -> 'detail' ->> 'days')::int
FROM ledger_events WHERE kind IN ('erasure.requested', 'user.locked') ORDER BY kind, subject_id
"""


@pytest.fixture
def log(database: str, database_as: Callable[[str], str], tmp_path: Path) -> Log:
    return make_log(
        database, database_as, tmp_path,
        warehouse=str(tmp_path / "warehouse"), evidence_store=str(tmp_path / "hot"),
        evidence_cold_store=str(tmp_path / "cold"), erasure_settled_s=0, build_grace_s=0,
    )  # fmt: skip


def school_of(url: str, *, days: int | None = DAYS) -> School:
    """Make a school whose policy takes whoever is inactive for so long."""
    with seeding.connect(url) as conn:
        school = seeding.create_school(conn, f"School {days}", now=OLD, exams=2, duration_minutes=60)
    if days is not None:
        rows_of(
            url,
            "INSERT INTO retention_policies (organisation_id, inactive_days, set_by, set_at)"
            " VALUES (%s, %s, %s, now()) RETURNING 1",
            school.organisation_id, days, school.teacher_id,
        )  # fmt: skip
    return school


def candidates(url: str, school: School, number: int, role: Role = Role.student) -> list[UUID]:
    """Make people long ago; nothing has happened with them since."""
    users = [
        NewUser(email=f"{role.value}-{n}@{school.organisation_id}.example", role=role) for n in range(number)
    ]
    with seeding.connect(url) as conn:
        return seeding.create_users(conn, school.organisation_id, users, now=OLD)


def let(url: str, school: School, person: UUID, statement: str) -> None:
    """Have something of somebody in the database, however it came there."""
    exam, held = school.exam_ids
    given = {
        "person": person, "school": school.organisation_id, "staff": school.teacher_id, "exam": exam,
        "held": held, "old": OLD, "ended": OLD, "lately": NOW - timedelta(days=30), "now": NOW,
    }  # fmt: skip
    with psycopg.connect(url) as conn:
        conn.execute("SET LOCAL session_replication_role = replica")
        conn.execute(statement.encode(), given)


def sweep(log: Log, **more: Any) -> int:
    settings = msgspec.structs.replace(log.settings, **more)
    with connect(settings.database_url) as conn:
        return sweep_people(conn, settings, now=NOW)


def asked_for(url: str) -> set[UUID]:
    return {person for (person,) in rows_of(url, "SELECT person_id FROM erasures")}


def foreseen(log: Log) -> dict[str | None, int]:
    with connect(log.settings.database_url) as conn:
        return {each.why: each.pieces for each in forecast(conn, now=NOW) if each.what == "people"}


def test_whoever_is_needed_stays_and_the_forecast_says_why(log: Log, database: str) -> None:
    """spec.md G-1: a hold, a claim, an attempt, an appointment."""
    school = school_of(database)
    people = candidates(database, school, len(STAYS) + 1)
    let(database, school, people[0], HELD + "'exam', NULL, %(held)s)")
    for person, statement in zip(people[1:], STAYS.values(), strict=True):
        let(database, school, person, statement)
    whys = [why.partition(",")[0] for why in STAYS]

    assert foreseen(log) == {None: 1} | {why: whys.count(why) for why in whys}
    assert sweep(log) == 1
    assert asked_for(database) == {people[0]}
    assert None not in foreseen(log)


def test_whoever_had_to_do_with_us_since_is_not_inactive(log: Log, database: str) -> None:
    """spec.md G-1: by group as well as alone."""
    school = school_of(database)
    *people, member = candidates(database, school, len(HAPPENED) + 1)
    for person, statement in zip(people, HAPPENED.values(), strict=True):
        let(database, school, person, statement)
    with seeding.connect(database) as conn:
        seeding.create_group(conn, school.organisation_id, "Joined lately", [member], now=NOW)
    let(database, school, member, BY_GROUP)

    active = dict(
        rows_of(database, "SELECT person_id, active_at FROM inactive_people WHERE due_at <= %s", NOW)
    )
    assert active == {}
    assert (sweep(log), foreseen(log)) == (0, {})
    rows_of(database, "UPDATE group_members SET added_at = %s RETURNING 1", OLD)
    assert foreseen(log) == {None: 1}


def test_nobody_goes_where_no_policy_says_so_and_staff_never(log: Log, database: str) -> None:
    """spec.md G-1: null by default, and of candidates alone."""
    candidates(database, school_of(database, days=None), 1)
    for role in (Role.teacher, Role.admin, Role.observer, Role.reviewer):
        candidates(database, school_of(database, days=None), 1, role)
    school = school_of(database, days=DAYS)
    for role in (Role.teacher, Role.admin, Role.observer, Role.reviewer, Role.service):
        candidates(database, school, 1, role)
    candidates(database, school_of(database, days=900), 1)

    assert (foreseen(log), sweep(log)) == ({}, 0)


def test_they_are_locked_out_told_of_and_erased_as_anybody_else(log: Log, database: str) -> None:
    """spec.md G-2: the ledger says by which rule, the restore list has them, and it verifies."""
    school = school_of(database)
    person, other = candidates(database, school, 2)
    let(database, school, other, HAPPENED["signed in"])

    assert (foreseen(log), sweep(log), sweep(log)) == ({None: 1}, 1, 0)
    assert rows_of(database, "SELECT is_active FROM users WHERE id = %s", person) == [(False,)]
    assert rows_of(database, TOLD) == [
        (kind, person, "inactive_days", DAYS) for kind in ("erasure.requested", "user.locked")
    ]
    for after_s in range(4):
        publish_marked(log.settings)
        with connect(log.settings.database_url) as conn:
            erase_due(
                conn, open_tiers(log.settings), log.settings, now=NOW + timedelta(minutes=1, seconds=after_s)
            )
    assert rows_of(database, "SELECT status, requested_by FROM erasures") == [("done", None)]
    assert rows_of(database, "SELECT full_name, email FROM users WHERE id = %s", person) == [
        ("", f"{person}@erased.invalid")
    ]
    assert [each.person_id for each in list_kept(root_of(log.settings))] == [person]
    log.seal()
    assert verify(log.owner_url, log.keys, witness=log.witness).findings == []
    assert foreseen(log) == {}


def test_so_many_are_open_at_a_time_and_the_longest_inactive_are_first(log: Log, database: str) -> None:
    """spec.md G-1: small steps; what waits for a claim holds up no other."""
    school = school_of(database)
    people = candidates(database, school, 4)
    for age, person in enumerate(people):
        rows_of(
            database,
            "UPDATE users SET last_login = %s WHERE id = %s RETURNING 1",
            OLD + timedelta(days=9 - age),
            person,
        )
    few = {"retention_people_max": 2}

    assert (sweep(log, **few), sweep(log, **few)) == (2, 0)
    assert asked_for(database) == set(people[2:])
    let(database, school, people[3], OPEN_CLAIM)
    assert (sweep(log, **few), sweep(log, **few)) == (1, 0)
    assert asked_for(database) == set(people[1:])


def test_who_is_just_signing_in_is_let_alone(log: Log, database: str) -> None:
    """spec.md G-1: a step waits for nobody who has an account in hand."""
    school = school_of(database)
    person, other = candidates(database, school, 2)
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE users SET last_login = now() WHERE id = %s", (person,))
        assert (sweep(log), asked_for(database)) == (1, {other})
    assert (sweep(log), foreseen(log)) == (0, {})


def test_the_policy_alone_asks_and_only_for_whom_it_says(log: Log, database: str) -> None:
    school = school_of(database)
    (person,) = candidates(database, school, 1)

    def ask(days: int, at: str) -> bytes:
        nothing = ", ".join(["'{}'"] * 8)
        since = f"'{OLD:%Y-%m-%d %H:%M:%S%z}'"
        return (
            f"SELECT ask_inactive('{person}', gen_random_uuid(), {days}, {since}, {at}, {nothing})".encode()
        )

    with psycopg.connect(log.core_url) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(ask(DAYS, "now()"))
    with psycopg.connect(log.settings.database_url) as conn:
        assert conn.execute(ask(DAYS - 1, "now()")).fetchall() == [(False,)]
        assert conn.execute(ask(DAYS, "now() - interval '790 days'")).fetchall() == [(False,)]
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            conn.execute(ask(DAYS, "now() + interval '1 hour'"))
        conn.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("INSERT INTO erasures (id) VALUES (gen_random_uuid())")


def test_the_command_says_who_goes_and_then_asks(
    log: Log, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """spec.md G-1: `veritas retain --dry-run`, and the same without."""
    school = school_of(database)
    candidates(database, school, 2)
    for name in ("database_url", "warehouse", "evidence_store", "evidence_cold_store"):
        monkeypatch.setenv(f"VERITAS_{name.upper()}", getattr(log.settings, name))

    dry = CliRunner().invoke(app, ["retain", "--dry-run"])
    assert (dry.exit_code, "people" in dry.output, asked_for(database)) == (0, True, set())
    done = CliRunner().invoke(app, ["retain"])
    assert (done.exit_code, "2 people are to be erased" in done.output) == (0, True)
    assert len(asked_for(database)) == 2


@pytest.mark.slow("a process for each statement of a sweep")
def test_a_sweep_that_is_killed_anywhere_asks_for_each_once(log: Log, database: str) -> None:
    """spec.md G-1: kill -9 in front of any statement; nobody twice, nobody without the ledger's word."""
    school = school_of(database)
    people = candidates(database, school, 3)
    for at in count(1):
        if not kill_at_statement("people", log.settings, at):
            break
        told = [subject for kind, subject, *_ in rows_of(database, TOLD) if kind == "erasure.requested"]
        assert sorted(told) == sorted(asked_for(database))

    assert asked_for(database) == set(people)
    assert len(rows_of(database, TOLD)) == 2 * len(people)
    log.seal()
    assert verify(log.owner_url, log.keys, witness=log.witness).findings == []
