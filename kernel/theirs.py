"""
What an export of a person's data has of the tables that `kernel.personal` classifies (spec.md G-2). Pure; a
test holds it to the database.
"""

from collections.abc import Mapping
from typing import Final

# What a person's own export has of them: what they wrote, what they were told, who they are, and what they
# did it with. What judges them comes by its own routes, once it is released (spec.md, decision 6): a column
# is theirs where it stands here, and an admin's export has all but what is secret.
THEIRS: Final[Mapping[str, tuple[str, ...]]] = {
    "users": (
        "id", "email", "username", "full_name", "role", "is_active", "is_verified", "last_login",
        "last_login_ip", "metadata", "created_at", "source_id",
    ),
    "student_profiles": ("user_id", "enrollment_id", "cohort"),
    "teacher_profiles": ("user_id", "title", "department"),
    "logins": ("id", "user_id", "created_at", "expires_at", "revoked_at"),
    "launch_uses": ("user_id", "exam_id", "used_at", "address"),
    "assignments": (
        "id", "exam_id", "user_id", "opens_at", "closes_at", "duration_minutes", "extra_minutes",
        "attempts_allowed", "created_at", "revoked_at",
    ),
    "assignment_overrides": (
        "assignment_id", "user_id", "opens_at", "closes_at", "duration_minutes", "extra_minutes",
        "attempts_allowed", "created_at",
    ),
    "exam_attempts": (
        "id", "exam_id", "student_id", "attempt_number", "status", "started_at", "expires_at", "completed_at",
        "duration_seconds", "submitted_by",
    ),
    "attempt_answers": ("attempt_id", "question_id", "client_seq", "response", "saved_at"),
    "attempt_drafts": ("attempt_id", "question_id", "client_seq", "response", "saved_at"),
    "submissions": ("id", "kind", "exam_id", "attempt_id", "content_sha256", "finalised_at"),
    "submission_items": (
        "submission_id", "position", "question_id", "kind", "response", "client_seq", "saved_at", "seconds",
    ),
    "submission_drafts": ("submission_id", "position", "version", "text", "saved_at"),
    "proctor_sessions": (
        "id", "attempt_id", "exam_id", "mode", "started_at", "ended_at", "device_fingerprint", "user_agent",
        "browser_name", "browser_version", "operating_system", "screen_resolution", "ip_address",
    ),
    "evidence": (
        "id", "session_id", "type", "status", "file_name", "content_type", "start_at", "end_at",
        "duration_seconds", "metadata", "chunk_count", "size_bytes", "sha256", "requested_at", "expires_at",
        "gone_at",
    ),
    "session_commands": (
        "id", "session_id", "kind", "text_en", "text_ar", "created_at", "told_at", "confirmed_at",
    ),
    "claims": (
        "id", "submission_id", "attempt_id", "subject", "state", "opened_at", "state_at", "deadline_at",
    ),
    "claim_statements": ("claim_id", "number", "side", "text", "evidence_ids", "said_at"),
    "disputes": ("claim_id", "raised", "raised_at"),
    "resolutions": ("claim_id", "number", "outcome", "text_en", "text_ar", "resolved_at"),
    "programme_enrolments": (
        "id", "programme_id", "version", "user_id", "state", "enrolled_at", "state_at",
    ),
    "programme_enrolment_progress": (
        "enrolment_id", "number", "key", "state", "counted", "needed", "submission_ids", "lapses_at",
        "judged_at",
    ),
    "observation_drafts": ("id", "exam_id", "content", "version", "created_at", "updated_at"),
}  # fmt: skip
# No export has these: whoever had them could sign in as somebody, or open what the ledger commits to. What a
# request was answered, and what a submission's bytes were, stands in other tables as well.
SECRET: Final[Mapping[str, tuple[str, ...]]] = {
    "users": ("password_hash", "token_generation", "standing"),
    "refresh_tokens": ("sha256",),
    "invitations": ("sha256",),
    "launch_uses": ("jti", "agent_sha256"),
    "revocations": ("mark",),
    "idempotency_keys": ("key", "request", "reply"),
    "submissions": ("content", "idempotency_key", "body_sha256"),
    "evidence_chunks": ("object_key",),
    "ledger_salts": ("salt",),
}
