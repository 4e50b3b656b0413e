"""
What one may change of the rows that one reaches ends at one's own role (spec.md A-4, A-5).

Every column of every table that the core API's role may change is tried, as everybody, through a borrowed
connection and without any filter: what passes is listed here, and a new column is among what is tried.
"""

from typing import Any

import asyncpg
import pytest

from kernel.access import Scope
from tests.kits.core import DatabaseAs
from tests.kits.row_security import SCOPES, Wall, wall

OTHER = {
    "boolean": "NOT coalesce({0}, false)",
    "text": "coalesce({0}, '') || 'x'",
    "uuid": "gen_random_uuid()",
    "jsonb": "'{{\"changed\": 1}}'",
    "inet": "'192.0.2.9'",
    "bytea": "'\\x00'",
    "timestamp with time zone": "now() - interval '9 days'",
}
# The rows that are tried where not all are alike: of the people that staff see, themselves.
TRIED = {"users": "id = asker()", "exam_attempts": "status = 'in_progress'"}


async def columns(at: Wall) -> list[tuple[str, str, str]]:
    """Return (table, column, type) of all that the core API's role may change."""
    return [
        tuple(row)
        for row in await at.world.api.owner.fetch(
            "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)"
            " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
            " AND c.relnamespace = 'public'::regnamespace"
            " AND a.attidentity = '' AND has_column_privilege('veritas_core', a.attrelid, a.attnum, 'UPDATE')"
            " ORDER BY 1, 2"
        )
    ]


async def reaches(conn: Any, table: str, column: str, kind: str, where: str | None = None) -> bool:
    """
    Tell whether the asker could put another value there; whatever stops them but their rights counts as
    nothing that does.
    """
    other = OTHER.get(kind.partition("(")[0], "coalesce({0}, 0) + 1" if "[]" not in kind else "NULL")
    where = where or TRIED.get(table, "true")
    for value in dict.fromkeys((other.format(column), "NULL")):
        change = conn.transaction()
        await change.start()
        try:
            if str(await conn.execute(f"UPDATE {table} SET {column} = {value} WHERE {where}")) == "UPDATE 0":
                return False
        except asyncpg.InsufficientPrivilegeError:
            return False
        except asyncpg.PostgresError:
            continue  # a rule of the table's own: another value may pass it
        else:
            return True
        finally:
            await change.rollback()
    return True


async def reached(at: Wall, person: str, scope: Scope) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    async with at.asking(person, scope) as conn:
        for table, column, kind in await columns(at):
            if await reaches(conn, table, column, kind):
                found.setdefault(table, set()).add(column)
    return found


ACCOUNT = {"username", "full_name", "metadata", "token_generation"}
TERMS = {
    "opens_at", "closes_at", "duration_minutes", "extra_minutes", "attempts_allowed", "monitoring_mode",
    "rule_exemptions",
}  # fmt: skip
PERSON = {"users": ACCOUNT}
# Of who has sent one: the student and the teacher. It is what their own retries are answered: nobody else
# reads it, and they may as well delete the key and claim it again.
KEYS = {"idempotency_keys": {"status", "reply"}}
SIGNED_IN = PERSON | {"logins": {"revoked_at", "reason"}}
SESSION = {
    "status", "ended_at", "ip_address", "browser_name", "browser_version", "operating_system", "user_agent",
    "device_fingerprint", "screen_resolution", "taken_up_at",
}  # fmt: skip
EDITED = {
    "exams": {
        "title",
        "description",
        "subject",
        "topic",
        "max_score",
        "duration_minutes",
        "is_published",
        "published_at",
        "archived_at",
        "passing_score",
        "enable_monitoring",
        "enable_integrity_analysis",
        "metadata",
        "evaluation_version_id",
        "double_review",
        "reference_group_id",
        "focal_group_id",
    },
    "assignments": TERMS | {"revoked_at"},
    "assignment_overrides": TERMS | {"reason", "created_by", "created_at"},
    "exam_attempts": {"score", "percentage", "passed"},
    "claim_policies": {"window_days", "releases_judgement", "releases_files"},
    "remediations": {
        "status", "number", "key", "applied_by", "applied_at", "completed_at", "cancelled_by", "cancelled_at",
    },
}  # fmt: skip
JUDGED = {
    "proctor_decisions": {
        "status", "reason_en", "reason_ar", "internal_notes", "decided_by", "decided_at", "is_finalized",
        "previous_status", "overridden_by", "overridden_at", "override_reason",
    },
    "review_claims": {"claimed_by", "claimed_at", "expires_at"},
    "submission_results": {"is_void", "changed_at"},
}  # fmt: skip
AUTHORED = {"questions": {"archived_at"}, "passages": {"archived_at"}}
EXPECTED: dict[str, dict[str, set[str]]] = {
    "student": SIGNED_IN
    | KEYS
    | {
        "attempt_answers": {"client_seq", "response", "saved_at"},
        "exam_attempts": {
            "status", "score", "percentage", "passed", "completed_at", "duration_seconds", "submitted_by",
            "submission_data",
        },
        "proctor_sessions": SESSION,
        "session_commands": {"confirmed_at"},
        "evidence": {"status"},  # of what they send: from pending to closed, once
    },
    "teacher": PERSON | KEYS | EDITED | JUDGED | AUTHORED | {
        "teacher_profiles": {"title", "department"},
        "alert_acknowledgements": {"codes", "note", "acknowledged_at"},  # whose they are is never another's
    },
    "assistant": PERSON,  # a teacher who may look at the exam
    "reviewer": PERSON | JUDGED,
    "observer": PERSON | {"observation_drafts": {"content", "version", "updated_at"}},
    "service": PERSON,
    "admin": SIGNED_IN
    | EDITED
    | JUDGED
    | AUTHORED
    | {
        "users": {"role", "is_active", "token_generation", "standing", "full_name", "source_id"},
        "organisations": {"name", "registration_open"},
        "allowed_origins": {"origins", "changed_at"},
        "retention_policies": {
            "events_days", "evidence_days", "inactive_days", "submissions_days", "runtime_days", "set_by",
            "set_at",
        },
        "risk_rules": {"deleted_at"},
        "groups": {"name", "description", "source_id"},
        "subjects": {"name", "category", "description", "is_active"},
        "student_profiles": {"enrollment_id", "cohort"},
        "teacher_profiles": {"title", "department"},
        "teacher_exam_permissions": {
            "can_view", "can_edit", "can_manage_students", "can_adjudicate", "can_view_analytics"
        },
        "proctor_sessions": SESSION,
    },
}  # fmt: skip


async def test_one_changes_no_column_of_ones_own_that_is_not_ones_own_to_change_a4(
    database: str, database_as: DatabaseAs
) -> None:
    async with wall(database, database_as) as at:
        roles = {person: at.world.api.people[person].role for person in EXPECTED}
        found = {
            name: await reached(at, name, SCOPES.get(role, Scope.granted)) for name, role in roles.items()
        }

        assert found == EXPECTED


async def test_what_is_over_keeps_its_outcome_and_what_was_taken_back_stays_taken_a4(
    database: str, database_as: DatabaseAs
) -> None:
    """An attempt's candidate changes it while it runs, its staff grade it then; a revocation only grows."""
    over = "status <> 'in_progress'"
    changed: dict[str, set[str]] = {}
    async with wall(database, database_as) as at:
        for person, scope in (("student", Scope.own), ("teacher", Scope.granted)):
            async with at.asking(person, scope) as conn:
                assert await conn.fetchval(f"SELECT count(*) FROM exam_attempts WHERE {over}") > 0
                changed[person] = {
                    column
                    for table, column, kind in await columns(at)
                    if table == "exam_attempts" and await reaches(conn, table, column, kind, over)
                }
        async with at.asking("student", Scope.own) as conn:
            moved = "UPDATE revocations SET expires_at = expires_at {} interval '1 second'"
            longer = str(await conn.execute(moved.format("+")))
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(moved.format("-"))

    assert changed == {"student": set(), "teacher": {"score", "percentage", "passed"}}
    assert longer != "UPDATE 0"


FORBIDDEN = (
    "INSERT INTO group_members (group_id, user_id) SELECT id, asker() FROM groups",
    "INSERT INTO group_members (group_id, user_id) VALUES ('{group_id}', asker())",
    "INSERT INTO student_profiles (id, user_id) VALUES (gen_random_uuid(), asker())",
    (
        "INSERT INTO logins (id, user_id, created_at, expires_at)"
        " VALUES (gen_random_uuid(), asker(), now(), now())"
    ),
    "DELETE FROM group_members",
    "DELETE FROM logins",
    "DELETE FROM revocations",
    "DELETE FROM groups",
)


async def test_nobody_joins_what_others_keep_nor_forgets_what_was_taken_back_a4(
    database: str, database_as: DatabaseAs
) -> None:
    done: dict[tuple[str, str], str] = {}
    async with wall(database, database_as) as at:
        for person, scope in (("student", Scope.own), ("teacher", Scope.granted), ("observer", Scope.own)):
            async with at.asking(person, scope) as conn:
                for statement in FORBIDDEN:
                    try:
                        told = str(await conn.execute(statement.format(**at.world.parameters)))
                    except asyncpg.InsufficientPrivilegeError:
                        continue
                    done[person, statement] = told

    assert set(done.values()) <= {"DELETE 0", "INSERT 0 0"}, done
