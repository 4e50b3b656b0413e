"""
What the owner's connection of a school sees of a database that many share: the school's rows.

Temporary views with the tables' names stand before the tables on that connection. Reading, counting and
changing through them meets the school's rows alone, so that a test says "there is one submission" and means
its own. Events, which no view stands before, are named by their session. `public.` reaches the whole table.
"""

from typing import Any, Final
from uuid import UUID

# Table, its column that leads to the school, and the table whose `id` stands in that column.
LINKS: Final = (
    *((table, "organisation_id", "organisations") for table in (
        "users", "groups", "exams", "questions", "passages", "evaluations", "taxonomy_terms",
        "allowed_origins", "risk_rules", "rule_sets",
        "proctor_sessions", "submissions", "ledger_events", "outbox",
        "proctor_decisions", "review_claims", "submission_results",
    )),
    *((table, "user_id", "users") for table in (
        "student_profiles", "teacher_profiles", "logins", "launch_uses", "revocations", "invitations",
    )),
    *((table, "exam_id", "exams") for table in ("exam_attempts", "assignments", "teacher_exam_permissions")),
    *((table, "attempt_id", "exam_attempts") for table in (
        "attempt_answers", "attempt_drafts", "attempt_pauses", "risk_adjustments", "time_grants",
    )),
    *((table, "submission_id", "submissions") for table in (
        "submission_items", "submission_scores", "submission_subjects", "submission_evidence",
    )),
    *((table, "session_id", "proctor_sessions") for table in (
        "session_progress", "session_clients", "heartbeat_gaps", "gap_marks", "clock_steps",
        "session_notices", "session_actions", "session_commands", "dirty_sessions", "dead_letters",
        "risk_snapshots",
    )),
    *((table, "question_id", "questions") for table in ("question_versions", "question_terms")),
    *((table, "event_id", "ledger_events") for table in ("ledger_salts", "ledger_pending", "ledger_leaves")),
    ("risk_rule_versions", "rule_id", "risk_rules"),
    ("group_members", "group_id", "groups"),
    ("decision_acts", "decision_id", "proctor_decisions"),
    ("passage_versions", "passage_id", "passages"),
    ("evaluation_versions", "evaluation_id", "evaluations"),
    ("evaluation_items", "evaluation_version_id", "evaluation_versions"),
    ("assignment_overrides", "assignment_id", "assignments"),
    ("refresh_tokens", "login_id", "logins"),
)  # fmt: skip


async def show_own_rows(owner: Any, organisations: set[UUID], address: str) -> None:
    """Put the views before the tables; sign-ins are counted by the address that they come from."""
    ids = ", ".join(f"'{each}'" for each in sorted(organisations))
    own = {"organisations": f"id IN ({ids})"}
    own |= {table: f"{column} IN (SELECT id FROM pg_temp.{parent})" for table, column, parent in LINKS}
    own |= dict.fromkeys(("login_attempts", "login_networks"), f"network >>= '{address}'")
    await owner.execute(
        ";".join(
            f"CREATE TEMPORARY VIEW {table} AS SELECT * FROM public.{table} WHERE {condition}"
            for table, condition in own.items()
        )
    )
