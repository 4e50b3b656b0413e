"""
What is held about people: every column that can hold a text, and what becomes of it when its person is
erased (spec.md G-2, decision 13). Pure; a test holds it to the database.

Columns of other types hold ids, numbers, times and yes or no: under an id that leads to nobody once the
account is erased they are statistics, and stay. `of` and `by` say whose a row is: to what it leads, and by
which column.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec


class Of(StrEnum):
    """What a row's owner is found by."""

    person = "person"
    attempt = "attempt"
    session = "session"
    submission = "submission"
    evidence = "evidence"
    decision = "decision"
    claim = "claim"
    login = "login"
    enrolment = "enrolment"
    nobody = "nobody"


class Goes(StrEnum):
    """What becomes of a column of an erased person."""

    with_row = "the row is deleted"
    emptied = "it is emptied, or holds a word that is nobody's"
    forgotten = "deleted where it is theirs, or names them"
    computed = "computed again from what is left"
    rewritten = "of what was said, numbers and ids stay"


class Held(msgspec.Struct, frozen=True):
    """
    A table: whose its rows are, what goes of them and how, what stays and why. Of those with an owner an
    export has the rows, as `kernel.theirs` says.
    """

    of: Of
    by: str = ""
    goes: Mapping[str, Goes] = {}
    stays: Mapping[str, str] = {}


IDS: Final = "ids"
WORD: Final = "a word of ours"
NUMBERS: Final = "numbers, and words of ours"
CONTENT: Final = "the organisation's content, about no one"
LEDGER: Final = "ids and commitments, which open to nothing once their salts are gone"
MACHINE: Final = "of our own running, about no one"


def _all(how: Goes, *columns: str) -> dict[str, Goes]:
    return dict.fromkeys(columns, how)


def _kept(why: str, *columns: str) -> dict[str, str]:
    return dict.fromkeys(columns, why)


_REASONS: Final = _all(Goes.emptied, "reason_en", "reason_ar", "internal_notes", "override_reason")
_REVIEWED: Final = _all(Goes.emptied, "reason_en", "reason_ar", "internal_notes")
_MEASURED: Final = _kept(NUMBERS, "metric_version", "reasons")

HELD: Final[Mapping[str, Held]] = {
    # -- who somebody is, and how they sign in
    "users": Held(
        Of.person,
        "id",
        _all(
            Goes.emptied,
            "email",
            "username",
            "full_name",
            "password_hash",
            "last_login_ip",
            "metadata",
            "source_id",
        ),
        _kept(WORD, "role"),
    ),
    "student_profiles": Held(Of.person, "user_id", _all(Goes.emptied, "enrollment_id", "cohort")),
    "teacher_profiles": Held(Of.person, "user_id", _all(Goes.emptied, "title", "department")),
    "logins": Held(Of.person, "user_id", _all(Goes.with_row, "reason")),
    "refresh_tokens": Held(Of.login, "login_id", _all(Goes.with_row, "sha256")),
    "invitations": Held(Of.person, "user_id", _all(Goes.with_row, "sha256")),
    "launch_uses": Held(Of.person, "user_id", _all(Goes.with_row, "address", "agent_sha256")),
    "revocations": Held(
        Of.person, "user_id", stays=_kept("ids of tokens, until they would have died", "mark")
    ),
    "login_attempts": Held(Of.nobody, goes=_all(Goes.forgotten, "network", "account")),
    "login_networks": Held(Of.nobody, goes=_all(Goes.forgotten, "network")),
    "idempotency_keys": Held(Of.person, "user_id", _all(Goes.forgotten, "key", "request", "reply")),
    # -- what they were given to do, and did
    "assignment_overrides": Held(
        Of.person, "user_id", _all(Goes.emptied, "reason"), _kept(IDS, "rule_exemptions")
    ),
    "assignments": Held(Of.person, "user_id", stays=_kept(IDS, "rule_exemptions")),
    "exam_attempts": Held(
        Of.person,
        "student_id",
        stays=_kept(WORD, "status", "submitted_by")
        | _kept("terms, as numbers and ids", "policy")
        | _kept(IDS, "submission_data")
        | _kept("nothing writes it", "metadata"),
    ),
    "attempt_answers": Held(Of.attempt, "attempt_id", _all(Goes.with_row, "response")),
    "attempt_drafts": Held(Of.attempt, "attempt_id", _all(Goes.with_row, "response")),
    "attempt_pauses": Held(Of.attempt, "attempt_id", _all(Goes.emptied, "reason")),
    "time_grants": Held(Of.attempt, "attempt_id", _all(Goes.emptied, "reason")),
    "submissions": Held(
        Of.attempt,
        "attempt_id",
        _all(Goes.emptied, "content", "idempotency_key", "body_sha256"),
        _kept(WORD, "kind", "submitted_by")
        | _kept("versions of questions", "version_snapshot")
        | _kept("the ledger has it too: receipts rest on it", "content_sha256"),
    ),
    "submission_items": Held(
        Of.submission, "submission_id", _all(Goes.rewritten, "response"), _kept(WORD, "kind")
    ),
    "submission_drafts": Held(Of.submission, "submission_id", _all(Goes.emptied, "text")),
    "submission_scores": Held(
        Of.submission,
        "submission_id",
        _all(Goes.emptied, "reason"),
        _kept(WORD, "scoring_version") | _kept(NUMBERS, "item_points", "item_max_points", "given_points"),
    ),
    "submission_subjects": Held(Of.submission, "submission_id", stays=_kept(WORD, "kind")),
    # -- what was seen of it
    "proctor_sessions": Held(
        Of.attempt,
        "attempt_id",
        _all(
            Goes.emptied,
            "device_fingerprint",
            "user_agent",
            "browser_name",
            "browser_version",
            "operating_system",
            "screen_resolution",
            "ip_address",
        ),
    ),
    "events": Held(Of.session, "session_id", _all(Goes.rewritten, "event_name", "payload")),
    "dead_letters": Held(
        Of.session, "session_id", _all(Goes.emptied, "reason", "event"), _kept(WORD, "sqlstate")
    ),
    "session_quarantines": Held(
        Of.session, "session_id", _all(Goes.emptied, "reason"), _kept(WORD, "sqlstate")
    ),
    "session_progress": Held(Of.session, "session_id", _all(Goes.rewritten, "last_other_name")),
    "session_notices": Held(
        Of.session, "session_id", _all(Goes.emptied, "payload"), _kept(WORD, "event_name")
    ),
    "session_clients": Held(Of.session, "session_id", stays=_kept("ranges of numbers", "received")),
    "heartbeat_gaps": Held(
        Of.session, "session_id", stays=_kept(WORD, "state", "class") | _kept("ranges of numbers", "covered")
    ),
    "gap_marks": Held(Of.session, "session_id", stays=_kept(WORD, "kind")),
    "dirty_sessions": Held(Of.session, "session_id", stays=_kept(WORD, "cause")),
    "detections": Held(Of.session, "session_id", stays=_kept(MACHINE, "model")),
    "evidence": Held(
        Of.session,
        "session_id",
        _all(Goes.with_row, "file_name", "content_type", "metadata", "sha256", "tier"),
    ),
    "evidence_chunks": Held(
        Of.evidence, "evidence_id", _all(Goes.with_row, "stated_sha256", "sha256", "object_key")
    ),
    # -- what was said of it
    "session_actions": Held(Of.session, "session_id", _all(Goes.emptied, "reason"), _kept(WORD, "kind")),
    "session_commands": Held(
        Of.session, "session_id", _all(Goes.emptied, "text_en", "text_ar"), _kept(WORD, "kind")
    ),
    "proctor_decisions": Held(Of.attempt, "attempt_id", _REASONS),
    "decision_acts": Held(Of.decision, "decision_id", _REASONS, _kept(WORD, "act")),
    "blind_reviews": Held(Of.attempt, "attempt_id", _REVIEWED),
    "claims": Held(Of.attempt, "attempt_id", stays=_kept(WORD, "subject", "state")),
    "claim_statements": Held(
        Of.claim, "claim_id", _all(Goes.emptied, "text"), _kept(WORD, "side") | _kept(IDS, "evidence_ids")
    ),
    "disputes": Held(Of.claim, "claim_id", stays=_kept(WORD, "raised")),
    "resolutions": Held(
        Of.claim, "claim_id", _all(Goes.emptied, "text_en", "text_ar"), _kept(WORD, "outcome", "led_to")
    ),
    "appeal_bundles": Held(Of.claim, "claim_id", _all(Goes.with_row, "manifest", "parts")),
    "legal_holds": Held(
        Of.person, "user_id", _all(Goes.emptied, "reason", "lift_reason"), _kept(WORD, "kind", "status")
    ),
    "remediations": Held(
        Of.nobody, stays=_kept(CONTENT, "status", "changes", "reason", "note_en", "note_ar", "key")
    ),
    "observation_reviews": Held(
        Of.submission, "submission_id", _all(Goes.emptied, "reason"), _kept(WORD, "verdict")
    ),
    "observation_drafts": Held(Of.person, "observer_id", _all(Goes.forgotten, "content")),
    "programme_enrolments": Held(Of.person, "user_id", stays=_kept(WORD, "state")),
    "programme_enrolment_progress": Held(Of.enrolment, "enrolment_id", stays=_kept(WORD, "key", "state")),
    "observation_steps": Held(Of.nobody, stays=_kept(WORD, "state", "next")),
    "subjects": Held(Of.nobody, stays=_kept(CONTENT, "name", "category", "description")),
    "risk_adjustments": Held(Of.attempt, "attempt_id", _all(Goes.emptied, "reason")),
    "risk_snapshots": Held(
        Of.session,
        "session_id",
        stays=_kept(WORD, "cause") | _kept("rules, numbers of events, points", "trace"),
    ),
    "alert_acknowledgements": Held(
        Of.attempt, "attempt_id", _all(Goes.emptied, "note"), _kept(WORD, "codes")
    ),
    "erasures": Held(
        Of.person, "person_id", stays=_kept(NUMBERS, "status", "step", "taken") | _kept(IDS, "past")
    ),
    # -- the ledger, and what is beside it
    "ledger_salts": Held(Of.person, "person_id", _all(Goes.forgotten, "salt", "value"), _kept(WORD, "name")),
    "ledger_events": Held(
        Of.nobody, stays=_kept(LEDGER, "kind", "aggregate_type", "aggregate_id", "actor_role", "body")
    ),
    "ledger_heads": Held(Of.nobody, stays=_kept(LEDGER, "note")),
    "ledger_leaves": Held(Of.nobody, stays=_kept(LEDGER, "leaf_hash")),
    "ledger_tiles": Held(Of.nobody, stays=_kept(LEDGER, "hashes")),
    "outbox": Held(
        Of.nobody, stays=_kept(WORD, "kind") | _kept("ids and facts, as on the ledger", "payload")
    ),
    # -- what an organisation has written for everybody
    "organisations": Held(Of.nobody, stays=_kept(CONTENT, "name")),
    "allowed_origins": Held(Of.nobody, stays=_kept(CONTENT, "origins")),
    "groups": Held(Of.nobody, stays=_kept(CONTENT, "name", "description", "source_id")),
    "exams": Held(Of.nobody, stays=_kept(CONTENT, "title", "description", "subject", "topic", "metadata")),
    "evaluation_versions": Held(
        Of.nobody, stays=_kept(CONTENT, "title", "status", "paper", "key", "snapshot_sha256")
    ),
    "passage_versions": Held(Of.nobody, stays=_kept(CONTENT, "title", "body")),
    "question_versions": Held(Of.nobody, stays=_kept(CONTENT, "kind", "content", "key")),
    "programmes": Held(Of.nobody, stays=_kept(CONTENT, "title", "title_ar")),
    "programme_versions": Held(Of.nobody, stays=_kept(WORD, "state")),
    "programme_requirements": Held(Of.nobody, stays=_kept(CONTENT, "key", "asked")),
    "taxonomy_terms": Held(Of.nobody, stays=_kept(CONTENT, "kind", "name")),
    "risk_rule_versions": Held(
        Of.nobody, stays=_kept(CONTENT, "name_en", "name_ar", "description_en", "description_ar", "gap_class")
    ),
    "rule_sets": Held(Of.nobody, stays=_kept(IDS, "version_ids")),
    # -- how the system runs
    "live_changes": Held(Of.nobody, stays=_kept(IDS, "session_ids", "event_ids", "risen_ids", "client_ids")),
    "schema_migrations": Held(Of.nobody, stays=_kept(MACHINE, "name", "checksum")),
    "stream_epochs": Held(Of.nobody, stays=_kept(MACHINE, "run_id", "replication_id")),
    "stream_losses": Held(Of.nobody, stays=_kept(MACHINE, "kind")),
    "stream_offsets": Held(Of.nobody, stays=_kept(MACHINE, "stopped_why")),
    "reporting.archive_batches": Held(Of.nobody, stays=_kept(MACHINE, "kind", "files")),
    "reporting.failing_jobs": Held(Of.nobody, stays=_kept(MACHINE, "job", "reason")),
    "reporting.partition_marks": Held(Of.nobody, stays=_kept(IDS, "dataset", "partition")),
    "reporting.projection_marks": Held(Of.nobody, stays=_kept(WORD, "layer", "frames")),
    "reporting.projection_turns": Held(Of.nobody, stays=_kept(WORD, "layer")),
    # -- what is computed of it
    "reporting.written_texts": Held(
        Of.attempt,
        "attempt_id",
        _all(Goes.with_row, "facts_sha256", "summary", "recommendations", "model_version"),
    ),
    "reporting.behavior_analysis": Held(
        Of.attempt,
        "attempt_id",
        _all(Goes.computed, "llm_summary", "llm_recommendations", "originality_indicators", "alerts"),
        _kept(
            WORD,
            "risk_level",
            "integrity_band",
            "improvement_trend",
            "dropout_label",
            "llm_model_version",
            "recommended_action",
        )
        | _MEASURED,
    ),
    "reporting.submission_items": Held(
        Of.attempt,
        "attempt_id",
        _all(Goes.computed, "response"),
        _kept(WORD, "kind") | _kept(CONTENT, "key", "topics"),
    ),
    "reporting.submissions": Held(
        Of.attempt, "attempt_id", stays=_kept(WORD, "kind", "submitted_by", "scoring_version")
    ),
    "reporting.draft_passages": Held(Of.attempt, "attempt_id", _all(Goes.computed, "fingerprints")),
    "reporting.draft_analysis": Held(Of.attempt, "attempt_id", _all(Goes.computed, "indicators"), _MEASURED),
    "reporting.form_shares": Held(Of.attempt, "attempt_id", stays=_kept(NUMBERS, "share")),
    "reporting.leaving_scores": Held(
        Of.attempt, "attempt_id", stays=_kept(NUMBERS, "reasons", "model_version")
    ),
    "reporting.attempt_activity": Held(
        Of.attempt, "attempt_id", stays=_kept(NUMBERS, "session_ids", "by_type", "by_severity") | _MEASURED
    ),
    "reporting.exam_parts": Held(Of.attempt, "attempt_id", stays=_kept(WORD, "label", "judgements")),
    "reporting.learning_momentum": Held(
        Of.attempt,
        "attempt_id",
        stays=_kept(NUMBERS, "lmi_band", "lmi_trend", "improvement_trend", "indicators") | _MEASURED,
    ),
    "reporting.response_times": Held(Of.attempt, "attempt_id", stays=_MEASURED),
    "reporting.calibration_shares": Held(Of.session, "session_id", stays=_kept(NUMBERS, "cells", "counts")),
    "reporting.session_cells": Held(
        Of.session, "session_id", stays=_kept(NUMBERS, "cells", "counts", "mild", "of_events", "severe")
    ),
    "reporting.session_folds": Held(Of.session, "session_id", stays=_kept(NUMBERS, "states")),
    "reporting.session_risk": Held(Of.session, "session_id", stays=_kept(WORD, "risk_level")),
    "reporting.risk_states": Held(Of.session, "session_id", stays=_kept(NUMBERS, "state", "version")),
    "reporting.performance_metrics": Held(
        Of.person,
        "student_id",
        stays=_kept(
            NUMBERS,
            "subject_scores",
            "strengths",
            "weaknesses",
            "improvement_trend",
            "integrity_trend",
            "lmi_trend",
            "current_risk_label",
        )
        | _MEASURED,
    ),
    "reporting.student_risk_summary": Held(
        Of.person, "student_id", stays=_kept(WORD, "current_dropout_risk") | _MEASURED
    ),
    "reporting.answer_similarity": Held(Of.nobody, stays=_MEASURED),
    "reporting.collusion_clusters": Held(Of.nobody, stays=_MEASURED),
    "reporting.event_norms": Held(
        Of.nobody,
        stays=_kept(NUMBERS, "cells", "comparable", "scores", "scores_outside", "texts", "metric_version"),
    ),
    "reporting.exam_activity": Held(Of.nobody, stays=_kept(NUMBERS, "by_type", "by_severity")),
    "reporting.exam_calibrations": Held(Of.nobody, stays=_kept(NUMBERS, "version", "state")),
    "reporting.exam_norms": Held(Of.nobody, stays=_kept(NUMBERS, "scores", "qualities", "metric_version")),
    "reporting.exam_performance_summary": Held(
        Of.nobody,
        stays=_kept(CONTENT, "title", "subject")
        | _kept(NUMBERS, "risk_levels", "integrity_bands")
        | _MEASURED,
    ),
    "reporting.exam_sums": Held(Of.nobody, stays=_kept(NUMBERS, "version", "judgements")),
    "reporting.form_tallies": Held(Of.nobody, stays=_kept(NUMBERS, "version", "tally")),
    "reporting.item_analysis": Held(
        Of.nobody,
        stays=_kept(CONTENT, "kind", "key") | _kept(NUMBERS, "distractors", "dif_class", "flags") | _MEASURED,
    ),
    "reporting.test_statistics": Held(Of.nobody, stays=_kept(NUMBERS, "distribution") | _MEASURED),
    "reporting.topic_norms": Held(
        Of.nobody, stays=_kept(NUMBERS, "item_means", "topic_priors", "metric_version")
    ),
}
