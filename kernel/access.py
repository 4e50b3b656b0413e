"""
The one access table: which role may do what, and to whose rows. Pure.

Every use case asks `scope_of` first and hands the scope to its SQL, which filters the rows. A role without an
entry is refused. Its printed form stands in ARCHITECTURE.md, and a test compares the two (spec.md A-4).
"""

from enum import StrEnum
from typing import Final

from kernel.errors import ForbiddenError
from kernel.events import Role


class Scope(StrEnum):
    """Whose rows an action reaches."""

    own = "own"  # rows about the caller, or made by them
    granted = "granted"  # exams the caller created or has a permission for
    shared = "shared"  # what the organisation's staff share: its students by name, its groups
    organisation = "organisation"  # everything of the caller's organisation
    everyone = "everyone"  # the whole installation


class Action(StrEnum):
    """What can be done, as `noun.verb`."""

    event_post = "event.post"
    event_read = "event.read"
    session_create = "session.create"
    session_read = "session.read"
    session_read_by_attempt = "session.read_by_attempt"
    session_list = "session.list"
    session_end = "session.end"
    session_cancel = "session.cancel"
    live_watch = "live.watch"
    session_act = "session.act"
    command_read = "command.read"
    command_confirm = "command.confirm"
    exam_list_available = "exam.list_available"
    exam_create = "exam.create"
    exam_publish = "exam.publish"
    exam_analytics = "exam.analytics"
    exam_export = "exam.export"
    attempt_start = "attempt.start"
    attempt_read = "attempt.read"
    attempt_monitoring = "attempt.monitoring"
    alert_list = "alert.list"
    alert_acknowledge = "alert.acknowledge"
    teaching_read = "teaching.read"
    student_analytics = "student.analytics"
    launch_link_create = "launch_link.create"
    profile_read = "profile.read"
    profile_update = "profile.update"
    own_data_export = "own_data.export"
    password_change = "password.change"  # noqa: S105  an action's name
    login_end = "login.end"
    user_list = "user.list"
    user_create = "user.create"
    user_import = "user.import"
    user_invite = "user.invite"
    result_import = "result.import"
    user_lock = "user.lock"
    person_erase = "person.erase"
    person_export = "person.export"
    user_set_role = "user.set_role"
    student_find = "student.find"
    student_profile_manage = "student_profile.manage"
    organisation_manage = "organisation.manage"
    permission_manage = "permission.manage"
    group_manage = "group.manage"
    retention_manage = "retention.manage"
    legal_hold_manage = "legal_hold.manage"
    ledger_head = "ledger.head"
    ledger_proof = "ledger.proof"
    ledger_list = "ledger.list"
    content_read = "content.read"
    content_write = "content.write"
    exam_read = "exam.read"
    exam_update = "exam.update"
    assignment_read = "assignment.read"
    assignment_write = "assignment.write"
    paper_read = "paper.read"
    answer_read = "answer.read"
    answer_save = "answer.save"
    attempt_submit = "attempt.submit"
    dashboard_read = "dashboard.read"
    result_export = "result.export"
    decision_make = "decision.make"
    decision_override = "decision.override"
    decision_read = "decision.read"
    review_list = "review.list"
    review_claim = "review.claim"
    review_agreement = "review.agreement"
    claim_open = "claim.open"
    claim_read = "claim.read"
    claim_handle = "claim.handle"
    claim_resolve = "claim.resolve"
    programme_read = "programme.read"
    programme_write = "programme.write"
    programme_follow = "programme.follow"
    submission_read = "submission.read"
    submission_grade = "submission.grade"
    observation_finalise = "observation.finalise"
    observation_read = "observation.read"
    observation_draft = "observation.draft"
    observation_review = "observation.review"
    exam_list_observable = "exam.list_observable"
    form_read = "form.read"
    subject_find = "subject.find"
    subject_manage = "subject.manage"
    risk_rule_read = "risk_rule.read"
    risk_rule_write = "risk_rule.write"
    risk_rule_try = "risk_rule.try"
    risk_read = "risk.read"
    risk_adjust = "risk.adjust"
    evidence_upload = "evidence.upload"
    evidence_manifest = "evidence.manifest"
    evidence_read = "evidence.read"
    evidence_custody = "evidence.custody"
    remediation_read = "remediation.read"
    remediation_write = "remediation.write"


_STAFF: Final = {Role.teacher: Scope.granted, Role.reviewer: Scope.granted, Role.admin: Scope.organisation}
_AUTHOR: Final = {Role.teacher: Scope.own, Role.admin: Scope.organisation}
_EDITOR: Final = {Role.teacher: Scope.granted, Role.admin: Scope.organisation}
_CANDIDATE: Final = {Role.student: Scope.own}
_EVERYONE: Final = dict.fromkeys(Role, Scope.own)
_PEOPLE: Final[dict[Role, Scope]] = {role: Scope.own for role in Role if role is not Role.service}
_ADMINS: Final = {Role.admin: Scope.organisation}

ACCESS: Final[dict[Action, dict[Role, Scope]]] = {
    Action.event_post: {Role.student: Scope.own, Role.service: Scope.organisation},
    Action.event_read: _STAFF,
    Action.session_create: {Role.student: Scope.own},
    Action.session_read: _STAFF,
    Action.session_read_by_attempt: {Role.student: Scope.own, **_STAFF},
    Action.session_list: _STAFF,
    Action.session_end: {Role.student: Scope.own, Role.admin: Scope.organisation},
    Action.session_cancel: {Role.admin: Scope.organisation},
    Action.live_watch: _STAFF,
    Action.session_act: _STAFF,
    Action.command_read: {Role.student: Scope.own},
    Action.command_confirm: {Role.student: Scope.own},
    Action.exam_list_available: {Role.student: Scope.own},
    Action.exam_create: {Role.teacher: Scope.own, Role.admin: Scope.organisation},
    Action.exam_publish: {Role.teacher: Scope.granted, Role.admin: Scope.organisation},
    Action.exam_analytics: {Role.teacher: Scope.granted, Role.admin: Scope.organisation},
    Action.exam_export: _EDITOR,
    Action.attempt_start: {Role.student: Scope.own},
    Action.attempt_read: {Role.student: Scope.own},
    Action.attempt_monitoring: _STAFF,
    Action.alert_list: _EDITOR,
    Action.alert_acknowledge: _EDITOR,
    Action.teaching_read: _EDITOR,
    Action.student_analytics: _EDITOR,
    Action.launch_link_create: {Role.teacher: Scope.granted, Role.admin: Scope.organisation},
    Action.profile_read: _EVERYONE,
    Action.profile_update: _PEOPLE,
    Action.own_data_export: _PEOPLE,
    Action.password_change: _PEOPLE,
    Action.login_end: _EVERYONE,
    Action.user_list: _ADMINS,
    Action.user_create: _ADMINS,
    Action.user_import: _ADMINS,
    Action.user_invite: _ADMINS,
    Action.result_import: _ADMINS,
    Action.user_lock: _ADMINS,
    Action.person_erase: _ADMINS,
    Action.person_export: _ADMINS,
    Action.user_set_role: _ADMINS,
    Action.student_find: {Role.teacher: Scope.shared, Role.admin: Scope.organisation},
    Action.student_profile_manage: _ADMINS,
    Action.organisation_manage: _ADMINS,
    Action.permission_manage: _ADMINS,
    Action.group_manage: _ADMINS,
    Action.retention_manage: _ADMINS,
    Action.legal_hold_manage: _ADMINS,
    Action.ledger_head: dict.fromkeys(_PEOPLE, Scope.everyone),  # heads tell nothing but that they are
    Action.ledger_proof: {**dict.fromkeys(_PEOPLE, Scope.own), Role.admin: Scope.organisation},
    Action.ledger_list: {Role.admin: Scope.organisation},
    Action.content_read: _AUTHOR,
    Action.content_write: _AUTHOR,
    Action.exam_read: _STAFF,
    Action.exam_update: _EDITOR,
    Action.assignment_read: _EDITOR,
    Action.assignment_write: _EDITOR,
    Action.paper_read: _CANDIDATE,
    Action.answer_read: _CANDIDATE,
    Action.answer_save: _CANDIDATE,
    Action.attempt_submit: _CANDIDATE,
    Action.dashboard_read: _CANDIDATE,
    Action.result_export: _CANDIDATE,
    Action.decision_make: _STAFF,
    Action.decision_override: _ADMINS,
    Action.decision_read: _STAFF,
    Action.review_list: _STAFF,
    Action.review_claim: _STAFF,
    Action.review_agreement: _STAFF,
    Action.claim_open: _CANDIDATE,
    Action.claim_read: _STAFF,
    Action.claim_handle: _STAFF,
    Action.claim_resolve: _STAFF,
    Action.programme_read: _AUTHOR,
    Action.programme_write: _AUTHOR,
    Action.programme_follow: _CANDIDATE,
    Action.submission_read: _STAFF,
    Action.submission_grade: _EDITOR,
    Action.observation_finalise: {Role.observer: Scope.granted},
    Action.observation_read: {Role.observer: Scope.own, **_STAFF},
    Action.observation_draft: {Role.observer: Scope.own},
    Action.observation_review: _STAFF,
    Action.exam_list_observable: {Role.observer: Scope.granted},
    Action.form_read: {Role.observer: Scope.granted, **_STAFF},
    Action.subject_find: {Role.observer: Scope.shared},
    Action.subject_manage: _ADMINS,
    Action.risk_rule_read: _ADMINS,
    Action.risk_rule_write: _ADMINS,
    Action.risk_rule_try: _ADMINS,
    Action.risk_read: _STAFF,
    Action.risk_adjust: _EDITOR,
    Action.evidence_upload: {Role.student: Scope.own, Role.observer: Scope.own},
    Action.evidence_manifest: {Role.student: Scope.own, Role.observer: Scope.own, **_STAFF},
    Action.evidence_read: _STAFF,
    Action.evidence_custody: _STAFF,
    Action.remediation_read: _STAFF,
    Action.remediation_write: _EDITOR,
}


# What a sign-in by launch link may do: sit the exam that it is bound to, and end itself. Which rows it
# reaches says row security, and for events the stream's own check of the session.
SITTING: Final = frozenset(
    {
        Action.event_post,
        Action.session_create,
        Action.session_read_by_attempt,
        Action.session_end,
        Action.command_read,
        Action.command_confirm,
        Action.attempt_start,
        Action.attempt_read,
        Action.paper_read,
        Action.answer_read,
        Action.answer_save,
        Action.attempt_submit,
        Action.login_end,
        Action.evidence_upload,
        Action.evidence_manifest,
    }
)


def scope_of(role: Role, action: Action, *, bound: bool = False) -> Scope:
    """
    Return whose rows `role` may reach with `action`; `bound` is a sign-in that is good for one exam alone.

    Raises:
        ForbiddenError: the role has no entry for the action, or it is no part of sitting an exam.
    """
    scope = ACCESS[action].get(role)
    if scope is None:
        may = ", ".join(sorted(ACCESS[action]))
        message = f"Your role ({role}) does not allow this ({action}); these roles do: {may}."
        raise ForbiddenError(message)
    if bound and action not in SITTING:
        message = f"A launch link is for its exam, not for {action}; sign in with your password."
        raise ForbiddenError(message)
    return scope


def table() -> str:
    """
    Return the table as Markdown: a row per action, a column per role and one for launched sign-ins, the scope
    in the cell.
    """
    lines = [
        "| Action | " + " | ".join(Role) + " | launched |",
        "|---|" + "---|" * (len(Role) + 1),
        *(
            f"| `{action}` | "
            + " | ".join(scopes.get(role, "") for role in Role)
            + f" | {'exam' if action in SITTING else ''} |"
            for action, scopes in ACCESS.items()
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")  # noqa: T201  the module's one purpose when run
