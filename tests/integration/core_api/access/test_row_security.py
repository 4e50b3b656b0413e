"""
The second wall: a statement that has lost its filter shows no more than the asker may see (spec.md A-4).

Every table and view that the core API's role may read is read whole, as everybody: a new one without a policy
fails here, unless tests/kits/row_security.py lists it with its reason.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio

from core_api import database as borrowing
from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from kernel.access import Scope
from pipeline.durable import FILLS
from pipeline.projections.registry import PUBLISHED
from sql import named
from tests.conftest import emptied, logins_on, new_database
from tests.kits.core import DatabaseAs
from tests.kits.row_security import SCOPES, Wall, shown, wall

# What everybody of an organisation, or its staff, share.
RULES = {"risk_rules", "risk_rule_versions", "rule_sets"}
SHARED = {
    "other_student": {"organisations"},
    "colleague": {
        "organisations",
        "users",
        "listed_students",
        "groups",
        "group_members",
        "taxonomy_terms",
        "subjects",
    }
    | RULES,
    "outsider": {
        "organisations",
        "users",
        "listed_students",
        "groups",
        "group_members",
        "taxonomy_terms",
        "subjects",
    }
    | RULES,
    "watcher": {"organisations", "users", "listed_students", "subjects"},
}
FOREIGN = ("stranger", "rival", "boss")
OF_ELSEWHERE = {
    "organisations",
    "users",
    "student_profiles",
    "listed_students",
} | RULES  # what they have of their own
# Signing in has no asker, and nobody else reads these; the outbox is written only. No person judges
# enrolments.
OF_SYSTEM = {
    "refresh_tokens", "login_attempts", "login_networks", "launch_uses", "live_changes", "programme_causes",
}  # fmt: skip
# What is read through the sessions that an asker sees, and where it lies.
THROUGH_SESSIONS = {
    "seen_sessions": "proctor_sessions", "session_overview": "proctor_sessions",
    "live_sessions": "proctor_sessions", "seen_events": "events",
    "seen_monitoring_events": "events", "seen_gaps": "heartbeat_gaps",
    "seen_gone_events": "gone_events",
    "seen_clock_steps": "clock_steps", "shown_exam_performance": "reporting.exam_performance_summary",
    "seen_custody": "ledger_events WHERE aggregate_type = 'evidence'",
}  # fmt: skip
OF_DATASETS = {
    shown(f"reporting.{name}") for name in [*(PUBLISHED.keys() - FILLS.keys()), "behavior_analysis"]
}
OF_REPORTING = OF_DATASETS | {"session_risk", "session_rule_fires", "exam_activity"}
# Views of what reaches the asker, who the system is not; and of what they are still to review blind.
OF_ASKER = {
    "blinded_sessions", "blinded_attempts",
    "exam_viewers", "reached_exams", "own_attempts", "own_performance", "reaching_assignments",
    "reached_versions",
    "authored_evaluations", "gathered_questions", "observed_exams", "edited_exams", "organisation_exams",
    "listed_students", "managed_exams", "judged_exams", "adjudicated_exams", "analysed_exams",
    "remediable_versions",
}  # fmt: skip
OF_OBSERVER = {
    "organisations", "users", "listed_students", "exams", "observed_exams", "exam_viewers",
    "evaluation_versions", "evaluation_items", "submissions", "submission_items", "submission_scores",
    "submission_subjects", "ledger_events", "shown_observations", "subjects", "observation_drafts",
    "observation_reviews",
}  # fmt: skip
OF_CLAIMS = {"claims", "claim_statements", "disputes", "resolutions", "claim_policies"}
OF_PROGRAMMES = {
    "programmes", "programme_versions", "programme_requirements", "programme_enrolments",
    "programme_enrolment_progress",
}  # fmt: skip
OF_CANDIDATE = {
    "organisations", "users", "student_profiles", "group_members", "logins", "revocations", "exams",
    "assignments", "assignment_overrides", "exam_attempts", "analysed_attempts", "attempt_answers",
    "attempt_drafts", "evaluation_versions", "evaluation_items", "submissions", "submission_items",
    "submission_scores", "submission_subjects", "submission_evidence", "proctor_sessions", "ledger_events",
    "own_attempts", "own_performance", "evidence", "evidence_chunks", "submission_drafts",
    "reaching_assignments", "seen_sessions", "seen_events", "seen_gaps", "seen_clock_steps",
    "session_overview", "idempotency_keys", "submission_results", "session_commands", "shown_assignments",
    "appeal_bundles",
} | OF_CLAIMS | OF_PROGRAMMES  # fmt: skip
OF_EXAM = {
    "organisations", "users", "listed_students", "groups", "group_members", "exams",
    "teacher_exam_permissions", "assignments", "assignment_overrides", "exam_attempts", "analysed_attempts",
    "submissions", "submission_items", "submission_scores", "submission_subjects", "submission_evidence",
    "proctor_sessions", "seen_gaps", "seen_clock_steps", "evaluation_versions", "evaluation_items",
    "reached_exams", "reached_versions", "seen_sessions", "seen_events", "seen_monitoring_events",
    "session_overview", "live_sessions", "exam_viewers", "ledger_events", "evaluations", "taxonomy_terms",
    "risk_adjustments", "risk_snapshots", "session_risk", "exam_activity",
    "proctor_decisions", "decision_acts", "review_claims", "submission_results",
    "blind_reviews", "pending_reviews", "alert_acknowledgements",
    "session_actions", "session_commands", "attempt_pauses", "time_grants", "shown_exam_performance",
    "evidence", "evidence_chunks", "seen_custody", "seen_gone_events",
    "shown_assignments", "shown_observations", "subjects", "observation_reviews",
    "remediations", "remediation_progress", "remediated_submissions",
} | OF_CLAIMS | RULES | OF_DATASETS  # fmt: skip
OF_AUTHOR = {
    "passages", "passage_versions", "questions", "question_versions", "question_terms", "gathered_questions",
    "authored_evaluations", "edited_exams", "managed_exams", "judged_exams", "adjudicated_exams",
    "analysed_exams", "remediable_versions",
} | OF_PROGRAMMES  # fmt: skip

# Of all exams of a student together: the student has results from elsewhere, which are the admin's to see.
OF_EXAM -= {"performance_metrics", "student_risk_summary"}

# What a candidate's start, saves and hand-in touch, of which there are ten thousand in a minute.
WAY = (
    "exams", "assignments", "exam_attempts", "attempt_answers", "attempt_drafts", "proctor_sessions",
    "submissions", "submission_items", "submission_scores", "submission_subjects",
)  # fmt: skip
NODES_MAX = 16
NODES_OF_EXAMS_MAX = 25  # whether an exam is open to a candidate is itself a rule on four tables


def nodes_of(plan: dict[str, Any]) -> int:
    return 1 + sum(nodes_of(each) for each in plan.get("Plans", []))


def rows_of(seen: dict[str, list[str]]) -> set[str]:
    return {name for name, rows in seen.items() if rows}


# Where the core API works without a person. Whoever adds a place adds it here, on purpose.
WITHOUT_A_PERSON = {
    "attempts/launches.py": 1,
    "evidence/arrivals.py": 1,  # the sweep's pieces
    "evidence/closing.py": 4,  # the sweep, and tidying up a piece that somebody closed
    "identity/invitations.py": 2,  # a token says whose it is only once it is found
    "identity/accounts.py": 7,  # signing in, registering, a new password: throttled by network and account
    "sweeping.py": 2,  # a page of what waits, and each of its rows
    "remediations/applying.py": 2,  # the steps that rescore
    "programmes/orchestrator.py": 2,  # the page of what is due, and each enrolment
    "identity/logins.py": 1,  # a refresh token says whose it is only once it is found
    "identity/revoking.py": 2,
    "ledger/viewings.py": 1,  # many people's views in one statement
    "proctoring/client_socket.py": 1,  # one reading for all clients, each of whom has their own session
    "proctoring/live_feed.py": 4,  # one reading for all who watch an exam, each of whom may
    "people/origins.py": 1,  # a preflight names nobody, and is answered by what anybody allows
}


def test_only_the_listed_places_see_every_row() -> None:
    found = {}
    room = Path(borrowing.__file__).parent
    for path in room.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        places = text.count("system_connection(") + text.count("ask_as_system(")
        places += text.count(".acquire(") - text.count(".acquire(blocking=")  # of a pool, not of a lock
        if places and path.name != "database.py":
            found[str(path.relative_to(room))] = places

    assert found == WITHOUT_A_PERSON


together = pytest.mark.asyncio(loop_scope="module")  # tests that look, and leave nothing behind


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> AsyncIterator[Wall]:
    """The wall before a world that they share."""
    with new_database(postgres) as url:
        async with wall(url, logins_on(url, template, emptied(redis_server))) as standing:
            yield standing


@together
async def test_whoever_is_not_named_sees_no_row_at_all(at: Wall) -> None:
    async with at.pool.acquire() as conn:
        assert rows_of(await at.seen(conn)) == set()


@together
async def test_a_connection_that_was_given_back_knows_nobody(at: Wall) -> None:
    async with at.asking("admin", Scope.organisation) as conn:
        before, process = await conn.fetchval("SELECT count(*) FROM users"), conn.get_server_pid()
    async with borrowing.system_connection(at.pool) as conn:
        whole = await conn.fetchval("SELECT count(*) FROM users")
    async with at.pool.acquire() as conn:
        after = await conn.fetchval("SELECT count(*) FROM users")

        assert (before, whole, after) == (12, 15, 0)
        assert conn.get_server_pid() == process, "one connection, lent three times"


@together
async def test_a_candidates_way_through_an_exam_carries_little_of_row_security(at: Wall) -> None:
    """Every node of a policy's plan is set up in every statement, also where only staff need it."""
    async with at.asking("student", Scope.own) as conn:
        plans = {
            name: orjson.loads(await conn.fetchval(f"EXPLAIN (FORMAT JSON) SELECT FROM {name}"))
            for name in WAY
        }

    nodes = {name: nodes_of(plan[0]["Plan"]) for name, plan in plans.items()}
    assert nodes.pop("exams") <= NODES_OF_EXAMS_MAX
    assert {name: count for name, count in nodes.items() if count > NODES_MAX} == {}


@together
async def test_a_candidates_statement_is_planned_once_for_each_connection(at: Wall) -> None:
    """Planning costs several times what running does; a connection that plans anew is lost to a crowd."""
    counted = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement = $1"
    text = "SELECT count(*) FROM exams WHERE id = $1"
    async with at.asking("student", Scope.own) as conn:
        await conn.fetchval(text, at.world.api.exam_id)
        await conn.fetchval(text, at.world.api.exam_id)
        assert tuple(await conn.fetchrow(counted, text)) == (2, 0)
        process = conn.get_server_pid()
    async with at.asking("teacher", Scope.granted) as conn:
        await conn.fetchval(text, at.world.api.exam_id)
        assert conn.get_server_pid() == process
        assert tuple(await conn.fetchrow(counted, text)) == (2, 1), "staff's filters plan better apart"


@together
async def test_the_system_sees_every_row_of_every_table(at: Wall) -> None:
    async with borrowing.system_connection(at.pool) as conn:
        seen = await at.seen(conn)
    for name, rows in seen.items():
        if name in OF_ASKER:
            continue
        assert rows, f"{name} is empty: the tests below would prove nothing of it"
        of_reporting = {each: f"reporting.{each.removeprefix('reporting.')}" for each in OF_REPORTING}
        source = of_reporting | THROUGH_SESSIONS
        whole = await at.world.api.owner.fetchval(f"SELECT count(*) FROM {source.get(name, name)}")
        assert (name, len(rows)) == (name, whole)


@together
async def test_whoever_is_of_another_organisation_sees_nothing_of_this_one_a4(at: Wall) -> None:
    for name in FOREIGN:
        person = at.world.api.people[name]
        own = (str(person.id), str(person.organisation_id))
        seen = await at.seen_by(name, SCOPES.get(person.role, Scope.granted))
        strange = {
            table: row for table, rows in seen.items() for row in rows if not any(each in row for each in own)
        }

        assert (name, rows_of(seen) - OF_ELSEWHERE) == (name, set())
        assert (name, strange) == (name, {})


@together
@pytest.mark.parametrize("name", SHARED)
async def test_whoever_was_granted_nothing_sees_only_themselves_and_what_all_share_a4(
    at: Wall, name: str
) -> None:
    person = at.world.api.people[name]
    seen = await at.seen_by(name, SCOPES.get(person.role, Scope.granted))
    strange = {
        table: row
        for table, rows in seen.items()
        for row in rows
        if str(person.id) not in row and table not in SHARED[name]
    }

    assert strange == {}
    assert all(str(person.organisation_id) in row for row in seen["organisations"])
    for hidden in (
        "exams",
        "exam_attempts",
        "submissions",
        "attempt_answers",
        "proctor_sessions",
        "seen_events",
    ):
        assert seen[hidden] == [], hidden


@together
async def test_the_rightful_see_their_rows_a4(at: Wall) -> None:
    everything = rows_of({shown(name): ["x"] for name in await at.readable()})
    rows = {
        name: await at.seen_by(name, SCOPES.get(at.world.api.people[name].role, Scope.granted))
        for name in ("student", "teacher", "assistant", "reviewer", "observer", "admin")
    }
    seen = {name: rows_of(each) for name, each in rows.items()}

    assert seen["student"] == OF_CANDIDATE
    judged = {
        name for name, each in rows.items() if any(",copy," in row for row in each["analysed_attempts"])
    }
    assert judged == {"teacher", "assistant", "reviewer", "admin"}, "and no candidate (decision 6)"
    assert seen["reviewer"] == OF_EXAM | {"judged_exams", "analysed_exams"}
    assert seen["observer"] == OF_OBSERVER
    assert seen["assistant"] == OF_EXAM
    assert seen["teacher"] == (OF_EXAM | OF_AUTHOR | {"teacher_profiles", "idempotency_keys"}) - {
        "teacher_exam_permissions"
    }
    unseen = everything - seen["admin"] - OF_SYSTEM
    assert unseen == {
        "attempt_answers",  # the candidate's alone, until they are handed in
        "attempt_drafts",
        "appeal_bundles",  # as well
        "idempotency_keys",  # each account's own
        "observation_drafts",  # the observer's alone
        "gathered_questions",
        "observed_exams",
        "reaching_assignments",
        "own_attempts",
        "own_performance",
        "judged_exams",
        "adjudicated_exams",
        "blinded_sessions",  # nothing is reviewed blind here: reviews/test_blinded.py
        "blinded_attempts",
    }


async def test_a_candidate_sees_their_own_rows_alone_of_many_a4(
    database: str, database_as: DatabaseAs
) -> None:
    """The other student has an attempt, a session, answers and a submission of the same exam, too."""
    async with wall(database, database_as) as at:
        api = at.world.api
        await api.post(
            f"/api/teacher/exams/{api.exam_id}/assignments",
            "teacher",
            json={"user_ids": [str(api.people["other_student"].id)]},
        )
        attempt_id = await api.start_attempt("other_student")
        other = str(await api.start_session("other_student", attempt_id=attempt_id))
        mine, theirs = await at.seen_by("student", Scope.own), await at.seen_by("other_student", Scope.own)

        for table in ("exam_attempts", "proctor_sessions", "assignments", "attempt_answers", "submissions"):
            assert not any(attempt_id in row for row in mine[table]), table
            assert not set(mine[table]) & set(theirs[table]), table
        assert [row for row in theirs["proctor_sessions"] if row.startswith(f"({other},")]
        assert len(await _ids(at, "teacher", "exam_attempts")) == 3


async def _ids(at: Wall, person: str, table: str) -> list[str]:
    return (await at.seen_by(person))[table]


async def test_an_exam_of_the_same_teachers_organisation_that_was_not_granted_stays_hidden_a4(
    database: str, database_as: DatabaseAs
) -> None:
    async with wall(database, database_as) as at:
        api = at.world.api
        made = await api.post(
            "/api/teacher/exams", "colleague", json={"title": "Mine", "duration_minutes": 5}
        )
        exams = {name: await _ids(at, name, "exams") for name in ("colleague", "teacher", "reviewer")}

        assert {name: len(rows) for name, rows in exams.items()} == {
            "colleague": 1,
            "teacher": 2,
            "reviewer": 1,
        }
        assert made.body["id"] in exams["colleague"][0]
        assert str(api.exam_id) in exams["teacher"][0]


# What each statement would do to the student's rows, and who tries.
FORGETFUL = (
    "UPDATE exam_attempts SET passed = true RETURNING id",
    "UPDATE exams SET title = 'Taken' RETURNING id",
    "UPDATE attempt_answers SET response = '{}' RETURNING attempt_id",
    "UPDATE proctor_sessions SET status = 3, ended_at = now() WHERE status = 1 RETURNING id",
    "UPDATE assignments SET revoked_at = now() RETURNING id",
    "DELETE FROM assignment_overrides RETURNING user_id",
    "DELETE FROM attempt_drafts RETURNING attempt_id",
    "SELECT id FROM exam_attempts FOR UPDATE",
)


@together
@pytest.mark.parametrize("name", ["stranger", "rival", "boss", "other_student", "colleague"])
async def test_a_change_that_lost_its_filter_changes_nothing_of_others_a4(at: Wall, name: str) -> None:
    role = at.world.api.people[name].role
    async with at.asking(name, SCOPES.get(role, Scope.granted)) as conn:
        touched = {statement: await conn.fetch(statement) for statement in FORGETFUL}

    assert touched == {statement: [] for statement in FORGETFUL}


async def test_nobody_writes_in_anothers_name_a4(database: str, database_as: DatabaseAs) -> None:
    async with wall(database, database_as) as at:
        api, given = at.world.api, at.world.parameters
        student, other = api.people["student"], api.people["other_student"]
        attempt = (
            "INSERT INTO exam_attempts (id, exam_id, student_id, started_at, expires_at)"
            " VALUES (gen_random_uuid(), $1, $2, now(), now())"
        )
        answers = (
            "INSERT INTO attempt_answers (attempt_id, question_id, client_seq, response, saved_at)"
            " VALUES ($1, gen_random_uuid(), 1, '{}', now())"
        )
        event = (
            "INSERT INTO outbox (event_id, kind, organisation_id, resource_id, payload, occurred_at)"
            " VALUES (gen_random_uuid(), 'exam.published', $1, gen_random_uuid(), '{}', now())"
        )
        async with at.asking("other_student", Scope.own) as conn:
            await _refused(conn, attempt, api.exam_id, student.id)
            await _refused(conn, answers, given["attempt_id"])
            await _refused(conn, event, api.people["stranger"].organisation_id)
            elsewhere = "UPDATE users SET organisation_id = $1"
            await _refused(conn, elsewhere, api.people["boss"].organisation_id, by="permission denied")
            await conn.execute(event, other.organisation_id)
        async with at.asking("student", Scope.own) as conn:
            await _refused(conn, "UPDATE exams SET title = 'Taken'")


async def _refused(conn: Any, statement: str, *arguments: Any, by: str = "row-level security") -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match=by):
        await conn.execute(statement, *arguments)


async def test_a_handler_that_names_nobody_finds_nothing_and_not_everything(
    database: str, database_as: DatabaseAs
) -> None:
    async with wall(database, database_as) as at, at.pool.acquire() as conn:
        statement = named("attempts")["fetch_own_attempt"]
        student = at.world.api.people["student"].id
        nobody = await conn.fetch(statement, at.world.parameters["attempt_id"], student)
        await borrowing.ask_as_system(conn)
        found = await conn.fetch(statement, at.world.parameters["attempt_id"], student)

        assert (len(nobody), len(found)) == (0, 1)


async def test_every_guarded_table_is_read_by_its_owner_and_the_other_processes_as_before(
    database: str, database_as: DatabaseAs
) -> None:
    async with wall(database, database_as) as at:
        owner = at.world.api.owner
        guarded = await owner.fetch(
            "SELECT oid::regclass::text AS name FROM pg_class WHERE relrowsecurity AND relkind = 'r'"
        )
        for role in ("veritas_ingest", "veritas_pipeline", "veritas_analyst"):
            conn = await asyncpg.connect(database_as(role))
            for (name,) in guarded:
                if await owner.fetchval("SELECT has_table_privilege($1, $2, 'SELECT')", role, name):
                    seen, whole = [
                        await each.fetchval(f"SELECT count(*) FROM {name}") for each in (conn, owner)
                    ]
                    assert (role, name, seen) == (role, name, whole)
            await conn.close()
