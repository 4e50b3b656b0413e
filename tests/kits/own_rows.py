"""
What the owner's connection of a school sees of a database that many share: the school's rows.

Views with the tables' names, made once a database, stand before the tables on that connection, one of whose
settings is the school. Reading, counting and changing through them meets the school's rows alone, so that a
test says "there is one submission" and means its own. Events, which no view stands before, are named by their
session. `public.` reaches the whole table; what a test makes under a bare name lies beside the views.
"""

from typing import Any, Final
from uuid import UUID

# Table, its column that leads to the school, and the table whose `id` stands in that column.
LINKS: Final = (
    *((table, "organisation_id", "organisations") for table in (
        "users", "groups", "exams", "questions", "passages", "evaluations", "taxonomy_terms",
        "allowed_origins", "risk_rules", "rule_sets",
        "proctor_sessions", "submissions", "ledger_events", "outbox",
        "proctor_decisions", "review_claims", "submission_results", "blind_reviews", "pending_reviews",
        "claims", "programmes", "programme_enrolments",
        "evidence", "evidence_usage", "alert_acknowledgements", "remediations",
        "subjects", "observation_drafts", "observation_reviews",
        "retention_policies", "legal_holds", "hot_sessions", "erasures",
    )),
    *((table, "user_id", "users") for table in (
        "student_profiles", "teacher_profiles", "logins", "launch_uses", "revocations", "invitations",
    )),
    *((table, "exam_id", "exams") for table in (
        "exam_attempts", "assignments", "teacher_exam_permissions", "claim_policies",
    )),
    *((table, "attempt_id", "exam_attempts") for table in (
        "attempt_answers", "attempt_drafts", "attempt_pauses", "risk_adjustments", "time_grants",
    )),
    *((table, "submission_id", "submissions") for table in (
        "submission_items", "submission_scores", "submission_subjects", "submission_evidence",
        "submission_drafts", "remediated_submissions",
    )),
    *((table, "session_id", "proctor_sessions") for table in (
        "session_progress", "session_clients", "heartbeat_gaps", "gap_marks", "clock_steps",
        "session_notices", "session_actions", "session_commands", "dirty_sessions", "dead_letters",
        "risk_snapshots",
    )),
    *((table, "question_id", "questions") for table in ("question_versions", "question_terms")),
    *((table, "event_id", "ledger_events") for table in ("ledger_salts", "ledger_pending", "ledger_leaves")),
    *((table, "claim_id", "claims") for table in (
        "claim_statements", "disputes", "resolutions", "appeal_bundles",
    )),
    ("remediation_progress", "remediation_id", "remediations"),
    *((table, "programme_id", "programmes") for table in ("programme_versions", "programme_requirements")),
    *((table, "enrolment_id", "programme_enrolments") for table in (
        "programme_enrolment_progress", "programme_causes",
    )),
    ("risk_rule_versions", "rule_id", "risk_rules"),
    ("evidence_chunks", "evidence_id", "evidence"),
    ("group_members", "group_id", "groups"),
    ("decision_acts", "decision_id", "proctor_decisions"),
    ("passage_versions", "passage_id", "passages"),
    ("evaluation_versions", "evaluation_id", "evaluations"),
    ("evaluation_items", "evaluation_version_id", "evaluation_versions"),
    ("assignment_overrides", "assignment_id", "assignments"),
    ("refresh_tokens", "login_id", "logins"),
)  # fmt: skip


OWN: Final = {
    "organisations": "id = ANY(current_setting('own.organisations')::uuid[])",
    **{table: f"{column} IN (SELECT id FROM own.{parent})" for table, column, parent in LINKS},
    **dict.fromkeys(("login_attempts", "login_networks"), "network >>= current_setting('own.address')::inet"),
}
VIEWS: Final = "CREATE SCHEMA own;" + ";".join(
    f"CREATE VIEW own.{table} AS SELECT * FROM public.{table} WHERE {which}" for table, which in OWN.items()
)


async def show_own_rows(owner: Any, organisations: set[UUID], address: str) -> None:
    """Put the views before the tables; sign-ins are counted by the address that they come from."""
    if await owner.fetchval("SELECT to_regnamespace('own') IS NULL"):
        await owner.execute(VIEWS)
    await owner.execute(
        "SELECT set_config('own.organisations', $1, false), set_config('own.address', $2, false),"
        " set_config('search_path', 'own, public', false)",
        f"{{{','.join(map(str, organisations))}}}",
        address,
    )
