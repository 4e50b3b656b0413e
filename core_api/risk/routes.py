"""Risk rules, for admins; scores of sessions and what explains them, for the exam's staff."""

from typing import Final

from core_api.cases import case
from core_api.risk import adjustments, rules, scores, what_if
from kernel.access import Action
from kernel.http.web import NOBODY, Retry, Shows

ROUTES: Final = (
    case(
        "GET /proctor/rules", rules.list_of_organisation, Action.risk_rule_read, name="list_risk_rules",
        shows=NOBODY, envelope=True,
        says="List the organisation's risk rules, inactive ones too, in their order.",
    ),
    case(
        "POST /proctor/rules", rules.create, Action.risk_rule_write, name="create_risk_rule", status=201,
        envelope=True,
        says="""
        Create a risk rule. Sessions that begin from now on keep it; those that have begun keep theirs.
        """,
    ),
    case(
        "POST /proctor/rules/what-if", what_if.try_draft, Action.risk_rule_try, name="try_risk_rules",
        shows=Shows("risk_what_if"), retry=Retry.own_way, stops=True,
        says="""
        Try a draft of risk rules, or stored versions, on past sessions: how many would be in which band, who
        would cross to another, and what each rule adds. Changes nothing. The events come from the archive,
        which follows within a minute; exemptions and adjustments count as in the real score.
        """,
    ),
    case(
        "GET /proctor/rules/{rule_id}", rules.fetch, Action.risk_rule_read, name="get_risk_rule",
        shows=NOBODY, envelope=True,
        says="Return a risk rule with its versions, how often it fired and what was decided then.",
    ),
    case(
        "PUT /proctor/rules/{rule_id}", rules.update, Action.risk_rule_write, name="update_risk_rule",
        envelope=True,
        says="Give a risk rule a new version: all of it is said anew. The same again changes nothing.",
    ),
    case(
        "DELETE /proctor/rules/{rule_id}", rules.delete, Action.risk_rule_write, name="delete_risk_rule",
        envelope=True, message="Risk rule deleted",
        says="Delete a risk rule. What it scored in sessions that keep it stays, and stays explained.",
    ),
    case(
        "POST /proctor/rules/{rule_id}/toggle", rules.toggle, Action.risk_rule_write,
        name="toggle_risk_rule", envelope=True,
        says="Make an active rule inactive, and an inactive one active, for sessions that begin from now on.",
    ),
    case(
        "POST /proctor/session/{id}/calculate-risk", scores.calculate, Action.risk_read,
        name="calculate_risk", shows=Shows("session_risk", "id"), envelope=True, retry=Retry.own_way,
        says="""
        Compute a session's risk at once from all of its stored events: the score now, or at its end, the
        highest it ever had, and for every point the rule, its version, its window and the events.
        """,
    ),
    case(
        "POST /proctor/session/{id}/risk/adjustments", adjustments.adjust, Action.risk_adjust,
        name="adjust_risk", shows=Shows("session_risk", "id"), envelope=True,
        says="""
        Change what a rule weighs for a candidate, with the reason: 0 exempts them. The score follows within
        seconds, as a snapshot of its own.
        """,
    ),
    case(
        "GET /proctor/session/{id}/risk/adjustments", adjustments.list_of_session, Action.risk_read,
        name="list_risk_adjustments", shows=Shows("session_risk", "id"), envelope=True,
        says="List what rules weigh for a session's candidate, and why, newest first.",
    ),
    case(
        "GET /proctor/session/{id}/risk/snapshots", scores.list_snapshots, Action.risk_read,
        name="list_risk_snapshots", shows=Shows("session_risk", "id"),
        says="List a session's scores as they came about, newest first, each with what explains it.",
    ),
)  # fmt: skip
