"""
The kinds of events, and what hangs on each: the one place that says it. Pure.

A view is an event too; its kind is what was seen with `.viewed` behind it (`Route.shows`), and nothing hangs
on it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

VIEWED: Final = ".viewed"
PAIRS: Final = ("group_member", "permission")  # records that the aggregate and the subject name together
# Records whose aggregate's id is a number; that of all others is a UUID.
NUMBERED: Final = (
    "decision", "evidence", "reviews", "risk_adjustment", "risk_rule", "session", "session_actions",
)  # fmt: skip


class Kind(StrEnum):
    """What happened, as `noun.past_participle`."""

    alerts_acknowledged = "alerts.acknowledged"
    allowed_origins_set = "allowed_origins.set"
    archive_published = "archive.published"
    assignment_created = "assignment.created"
    assignment_redacted = "assignment.redacted"
    assignment_revoked = "assignment.revoked"
    assignment_override_removed = "assignment_override.removed"
    assignment_override_set = "assignment_override.set"
    attempt_abandoned = "attempt.abandoned"
    attempt_extended = "attempt.extended"
    attempt_imported = "attempt.imported"
    attempt_paused = "attempt.paused"
    attempt_redacted = "attempt.redacted"
    attempt_resumed = "attempt.resumed"
    attempt_started = "attempt.started"
    auth_invitation_accepted = "auth.invitation_accepted"
    auth_launch_refused = "auth.launch_refused"
    auth_launched = "auth.launched"
    auth_password_changed = "auth.password_changed"  # noqa: S105  a kind of event
    auth_signed_in = "auth.signed_in"
    auth_signed_out = "auth.signed_out"
    auth_tokens_revoked = "auth.tokens_revoked"
    claim_acknowledged = "claim.acknowledged"
    claim_answered = "claim.answered"
    claim_asked = "claim.asked"
    claim_bundled = "claim.bundled"
    claim_disputed = "claim.disputed"
    claim_erased = "claim.erased"
    claim_expired = "claim.expired"
    claim_opened = "claim.opened"
    claim_reminded = "claim.reminded"
    claim_redacted = "claim.redacted"
    claim_resolved = "claim.resolved"
    claim_stated = "claim.stated"
    claim_withdrawn = "claim.withdrawn"
    claim_policy_set = "claim_policy.set"
    decision_finalised = "decision.finalised"
    decision_made = "decision.made"
    decision_overridden = "decision.overridden"
    decision_redacted = "decision.redacted"
    erasure_advanced = "erasure.advanced"
    erasure_completed = "erasure.completed"
    erasure_requested = "erasure.requested"
    evaluation_drafted = "evaluation.drafted"
    evaluation_published = "evaluation.published"
    events_archived = "events.archived"
    events_restored = "events.restored"
    evidence_closed = "evidence.closed"
    evidence_confirmed = "evidence.confirmed"
    evidence_damaged = "evidence.damaged"
    evidence_erased = "evidence.erased"
    evidence_expired = "evidence.expired"
    evidence_granted = "evidence.granted"
    evidence_moved = "evidence.moved"
    evidence_requested = "evidence.requested"
    evidence_swept = "evidence.swept"
    evidence_uploaded = "evidence.uploaded"
    exam_archived = "exam.archived"
    exam_created = "exam.created"
    exam_published = "exam.published"
    exam_unpublished = "exam.unpublished"
    exam_updated = "exam.updated"
    group_created = "group.created"
    group_deleted = "group.deleted"
    group_member_added = "group.member_added"
    group_member_removed = "group.member_removed"
    group_updated = "group.updated"
    invitations_created = "invitations.created"
    launch_links_created = "launch_links.created"
    legal_hold_lifted = "legal_hold.lifted"
    legal_hold_placed = "legal_hold.placed"
    legal_hold_redacted = "legal_hold.redacted"
    login_alert = "login.alert"
    observation_finalised = "observation.finalised"
    observation_redacted = "observation.redacted"
    observation_reviewed = "observation.reviewed"
    organisation_updated = "organisation.updated"
    passage_archived = "passage.archived"
    passage_saved = "passage.saved"
    permission_granted = "permission.granted"
    permission_revoked = "permission.revoked"
    programme_created = "programme.created"
    programme_drafted = "programme.drafted"
    programme_published = "programme.published"
    programme_enrolment_certified = "programme_enrolment.certified"
    programme_enrolment_completed = "programme_enrolment.completed"
    programme_enrolment_created = "programme_enrolment.created"
    programme_enrolment_revoked = "programme_enrolment.revoked"
    programme_enrolment_withdrawn = "programme_enrolment.withdrawn"
    question_archived = "question.archived"
    question_saved = "question.saved"
    remediation_cancelled = "remediation.cancelled"
    remediation_completed = "remediation.completed"
    remediation_drafted = "remediation.drafted"
    result_restored = "result.restored"
    result_voided = "result.voided"
    results_remediated = "results.remediated"
    retention_policy_set = "retention_policy.set"
    review_claimed = "review.claimed"
    review_given = "review.given"
    review_redacted = "review.redacted"
    review_released = "review.released"
    risk_adjustment_redacted = "risk_adjustment.redacted"
    session_announced = "session.announced"
    risk_adjustment_made = "risk_adjustment.made"
    risk_rule_deleted = "risk_rule.deleted"
    risk_rule_saved = "risk_rule.saved"
    runtime_removed = "runtime.removed"
    session_cancelled = "session.cancelled"
    session_ended = "session.ended"
    session_extended = "session.extended"
    session_flagged = "session.flagged"
    session_paused = "session.paused"
    session_redacted = "session.redacted"
    session_resumed = "session.resumed"
    session_started = "session.started"
    session_terminated = "session.terminated"
    session_unflagged = "session.unflagged"
    session_updated = "session.updated"
    session_warned = "session.warned"
    student_profile_redacted = "student_profile.redacted"
    student_profile_updated = "student_profile.updated"
    submission_erased = "submission.erased"
    submission_finalised = "submission.finalised"
    submission_redacted = "submission.redacted"
    submission_scored = "submission.scored"
    subject_created = "subject.created"
    subject_updated = "subject.updated"
    term_created = "term.created"
    user_approved = "user.approved"
    user_created = "user.created"
    user_locked = "user.locked"
    user_redacted = "user.redacted"
    user_registered = "user.registered"
    user_role_changed = "user.role_changed"
    user_unlocked = "user.unlocked"
    user_updated = "user.updated"


class About(msgspec.Struct, frozen=True):
    """
    What hangs on a kind.

    `aggregate` is the noun of what the event's `aggregate_id` names. `record` is what the event commits to:
    its rows, as they stand after the change, which `veritas ledger verify` compares; what a record covers
    says `record_of_<record>` in the database. None: nothing durable was changed that is not the event
    itself. A candidate may fetch and prove what `is_provable` about themselves: what became of their attempts
    and submissions; kinds that may hold findings or scores of risk never are. A worker acts on what
    `is_told`: the event gets a row of the outbox, and its aggregate's id is a UUID.
    """

    aggregate: str
    record: str | None = None
    is_provable: bool = False
    is_told: bool = False


KINDS: Final[Mapping[str, About]] = {
    Kind.alerts_acknowledged: About("attempt"),
    Kind.allowed_origins_set: About("organisation", record="allowed_origins"),
    Kind.archive_published: About("archive"),
    Kind.assignment_created: About("assignment", record="assignments", is_told=True),
    Kind.assignment_redacted: About("assignment", record="assignment"),
    Kind.assignment_revoked: About("assignment", record="assignment", is_told=True),
    Kind.assignment_override_removed: About("assignment_override", record="assignment", is_told=True),
    Kind.assignment_override_set: About("assignment_override", record="assignment", is_told=True),
    Kind.attempt_abandoned: About("attempt", record="attempt", is_provable=True, is_told=True),
    Kind.attempt_extended: About("attempt", record="attempt"),
    Kind.attempt_imported: About("attempt", record="attempt", is_provable=True),
    Kind.attempt_paused: About("attempt", record="attempt"),
    Kind.attempt_redacted: About("attempt", record="attempt"),
    Kind.attempt_resumed: About("attempt", record="attempt"),
    Kind.attempt_started: About("attempt", record="attempt", is_provable=True),
    Kind.auth_invitation_accepted: About("user", record="user"),
    Kind.auth_launch_refused: About("user"),
    Kind.auth_launched: About("user"),
    Kind.auth_password_changed: About("user", record="user"),
    Kind.auth_signed_in: About("user"),
    Kind.auth_signed_out: About("user"),
    Kind.auth_tokens_revoked: About("user"),
    Kind.claim_acknowledged: About("claim", record="claim"),
    Kind.claim_answered: About("claim", record="claim", is_provable=True),
    Kind.claim_asked: About("claim", record="claim"),
    Kind.claim_bundled: About("claim", is_provable=True),
    Kind.claim_disputed: About("claim", record="claim"),
    Kind.claim_erased: About("claim"),
    Kind.claim_expired: About("claim", record="claim"),
    Kind.claim_opened: About("claim", record="claim", is_provable=True),
    Kind.claim_reminded: About("claim", is_told=True),
    Kind.claim_redacted: About("claim", record="claim"),
    Kind.claim_resolved: About("claim", record="claim"),
    Kind.claim_stated: About("claim", record="claim"),
    Kind.claim_withdrawn: About("claim", record="claim", is_provable=True),
    Kind.claim_policy_set: About("exam", record="claim_policy"),
    Kind.decision_finalised: About("decision", record="decision"),
    Kind.decision_made: About("decision", record="decision"),
    Kind.decision_overridden: About("decision", record="decision"),
    Kind.decision_redacted: About("decision", record="decision"),
    Kind.erasure_advanced: About("erasure", record="erasure"),
    Kind.erasure_completed: About("erasure", record="erasure"),
    Kind.erasure_requested: About("erasure", record="erasure"),
    Kind.evaluation_drafted: About("evaluation_version", record="evaluation_version"),
    Kind.evaluation_published: About("evaluation_version", record="evaluation_version", is_told=True),
    Kind.events_archived: About("organisation"),
    Kind.events_restored: About("session"),
    Kind.evidence_closed: About("evidence", record="evidence"),
    Kind.evidence_confirmed: About("evidence", record="evidence"),
    Kind.evidence_damaged: About("evidence"),
    Kind.evidence_erased: About("evidence"),
    Kind.evidence_expired: About("evidence"),
    Kind.evidence_granted: About("evidence"),
    Kind.evidence_moved: About("evidence", record="evidence"),
    Kind.evidence_requested: About("evidence", record="evidence"),
    Kind.evidence_swept: About("organisation"),
    Kind.evidence_uploaded: About("evidence"),
    Kind.exam_archived: About("exam", record="exam", is_told=True),
    Kind.exam_created: About("exam", record="exam"),
    Kind.exam_published: About("exam", record="exam", is_told=True),
    Kind.exam_unpublished: About("exam", record="exam", is_told=True),
    Kind.exam_updated: About("exam", record="exam", is_told=True),
    Kind.group_created: About("group", record="group"),
    Kind.group_deleted: About("group", record="group"),
    Kind.group_member_added: About("group", record="group_member"),
    Kind.group_member_removed: About("group", record="group_member"),
    Kind.group_updated: About("group", record="group"),
    Kind.invitations_created: About("organisation"),
    Kind.launch_links_created: About("exam"),
    Kind.legal_hold_lifted: About("legal_hold", record="legal_hold"),
    Kind.legal_hold_placed: About("legal_hold", record="legal_hold"),
    Kind.legal_hold_redacted: About("legal_hold", record="legal_hold"),
    Kind.login_alert: About("organisation"),
    Kind.observation_finalised: About("submission", record="submission", is_told=True),
    Kind.observation_redacted: About("submission", record="observation_reviews"),
    Kind.observation_reviewed: About("submission", record="observation_reviews"),
    Kind.organisation_updated: About("organisation", record="organisation"),
    Kind.passage_archived: About("passage", record="passage"),
    Kind.passage_saved: About("passage", record="passage"),
    Kind.permission_granted: About("exam", record="permission"),
    Kind.permission_revoked: About("exam", record="permission"),
    Kind.programme_created: About("programme", record="programme"),
    Kind.programme_drafted: About("programme", record="programme"),
    Kind.programme_published: About("programme", record="programme"),
    Kind.programme_enrolment_certified: About(
        "programme_enrolment", record="programme_enrolment", is_provable=True
    ),
    Kind.programme_enrolment_completed: About(
        "programme_enrolment", record="programme_enrolment", is_provable=True
    ),
    Kind.programme_enrolment_created: About("programme_enrolment", record="programme_enrolment"),
    Kind.programme_enrolment_revoked: About(
        "programme_enrolment", record="programme_enrolment", is_provable=True
    ),
    Kind.programme_enrolment_withdrawn: About("programme_enrolment", record="programme_enrolment"),
    Kind.question_archived: About("question", record="question"),
    Kind.question_saved: About("question", record="question"),
    Kind.remediation_cancelled: About("remediation", record="remediation"),
    Kind.remediation_completed: About("remediation", record="remediation"),
    Kind.remediation_drafted: About("remediation", record="remediation"),
    Kind.results_remediated: About("remediation", record="remediation"),
    Kind.result_restored: About("submission", record="result", is_told=True),
    Kind.result_voided: About("submission", record="result", is_told=True),
    Kind.retention_policy_set: About("organisation", record="retention_policy"),
    Kind.review_claimed: About("session"),
    Kind.review_given: About("session", record="reviews"),
    Kind.review_redacted: About("session", record="reviews"),
    Kind.review_released: About("session"),
    Kind.risk_adjustment_redacted: About("risk_adjustment", record="risk_adjustment"),
    Kind.session_announced: About("session", record="session_actions"),
    Kind.risk_adjustment_made: About("risk_adjustment", record="risk_adjustment"),
    Kind.risk_rule_deleted: About("risk_rule", record="risk_rule"),
    Kind.risk_rule_saved: About("risk_rule", record="risk_rule"),
    Kind.runtime_removed: About("organisation"),
    Kind.session_cancelled: About("session", record="session"),
    Kind.session_ended: About("session", record="session"),
    Kind.session_extended: About("session", record="session_actions"),
    Kind.session_flagged: About("session", record="session_actions"),
    Kind.session_paused: About("session", record="session_actions"),
    Kind.session_redacted: About("session", record="session_actions"),
    Kind.session_resumed: About("session", record="session_actions"),
    Kind.session_started: About("session", record="session"),
    Kind.session_terminated: About("session", record="session_actions"),
    Kind.session_unflagged: About("session", record="session_actions"),
    Kind.session_updated: About("session", record="session"),
    Kind.session_warned: About("session", record="session_actions"),
    Kind.student_profile_redacted: About("student_profile", record="student_profile"),
    Kind.student_profile_updated: About("student_profile", record="student_profile"),
    Kind.submission_erased: About("submission"),
    Kind.submission_finalised: About("submission", record="submission", is_provable=True, is_told=True),
    Kind.submission_redacted: About("submission", record="submission"),
    Kind.submission_scored: About("submission", record="submission", is_provable=True, is_told=True),
    Kind.subject_created: About("subject", record="subject"),
    Kind.subject_updated: About("subject", record="subject"),
    Kind.term_created: About("term", record="term"),
    Kind.user_approved: About("user", record="user"),
    Kind.user_created: About("user", record="user"),
    Kind.user_locked: About("user", record="user"),
    Kind.user_redacted: About("user", record="user"),
    Kind.user_registered: About("user", record="user"),
    Kind.user_role_changed: About("user", record="user"),
    Kind.user_unlocked: About("user", record="user"),
    Kind.user_updated: About("user", record="user"),
}
RECORDS: Final[Mapping[str, str | None]] = {kind: about.record for kind, about in KINDS.items()}
PROVABLE: Final = tuple(kind for kind, about in KINDS.items() if about.is_provable)


def about(kind: str) -> About:
    """Return what hangs on a kind; raises KeyError for one that is not known."""
    return About(kind.removesuffix(VIEWED)) if kind.endswith(VIEWED) else KINDS[kind]
