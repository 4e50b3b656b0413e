"""Decisions about proctor sessions, and the desk where they are made."""

from typing import Final

from core_api.cases import case
from core_api.reviews import claims, decisions, queue
from kernel.access import Action
from kernel.http.web import Shows

ROUTES: Final = (
    case(
        "POST /proctor/decision", decisions.make, Action.decision_make, name="make_decision",
        shows=Shows("decision"), envelope=True,
        says="""
        Decide about a proctor session, once its attempt has ended; with `finalize` for good. A final
        *Invalidated* makes the attempt's result void. 409: somebody else has decided, or is at work on it.
        """,
    ),
    case(
        "POST /proctor/decision/override", decisions.override, Action.decision_override,
        name="override_decision", shows=Shows("decision"), envelope=True,
        says="""
        Change a decision for good, with a reason; the status before is kept. A result that was void by it
        counts again.
        """,
    ),
    case(
        "GET /proctor/session/{id}/decision", decisions.fetch, Action.decision_read, name="get_decision",
        shows=Shows("decision", "id"), envelope=True,
        says="Return what was decided about a proctor session, with how it came about; 404 before.",
    ),
    case(
        "GET /proctor/pending-review", queue.list_pending, Action.review_list, name="list_pending_reviews",
        shows=Shows("pending_reviews"),
        says="""
        List the sessions that wait for a review: those that have ended and have no final decision, the
        highest peak of risk first.
        """,
    ),
    case(
        "POST /proctor/pending-review/next", queue.take_next, Action.review_claim, name="claim_next_session",
        shows=Shows("pending_reviews"), envelope=True, bodiless=True,
        says="""
        Claim the session that most needs a review of those that nobody is at work on; `data` is null where
        none is left.
        """,
    ),
    case(
        "POST /proctor/session/{id}/claim", claims.claim, Action.review_claim, name="claim_session",
        shows=Shows("review", "id"), envelope=True,
        says="""
        Take a session to review it: until the claim ends nobody else claims it or decides on it. Asked again,
        it lasts longer, and so it does with each decision that is not final. 409: somebody else has it.
        """,
    ),
    case(
        "DELETE /proctor/session/{id}/claim", claims.release, Action.review_claim, name="release_session",
        shows=Shows("review", "id"),
        says="Give a claimed session back. An admin may take it from whoever has it.",
    ),
)  # fmt: skip
