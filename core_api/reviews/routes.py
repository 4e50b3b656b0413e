"""Decisions about proctor sessions, blind reviews of them, and the desk where they are made."""

from typing import Final

from core_api.cases import case
from core_api.reviews import agreement, blind, claims, decisions, queue
from kernel.access import Action
from kernel.http.web import NOBODY, Shows

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
        "POST /proctor/session/{id}/review", blind.give, Action.decision_make, name="review_session",
        shows=Shows("review", "id"), envelope=True,
        says="""
        Say what you find of a session of an exam whose sessions two people review (`double_review`), once and
        for good. Neither reads what the other says. Where both say the same, that is the decision, final;
        where they differ, an adjudicator decides by *Make a decision*. 409: your review is in already, or
        both are.
        """,
    ),
    case(
        "GET /proctor/session/{id}/reviews", blind.list_of_session, Action.decision_read,
        name="list_session_reviews", shows=Shows("review", "id"), envelope=True,
        says="""
        Return the blind reviews of a session that you may read: your own; both once the decision is final, or
        while they wait for you to decide between them. Empty where there is none.
        """,
    ),
    case(
        "GET /proctor/review-agreement", agreement.measure, Action.review_agreement,
        name="get_review_agreement", shows=NOBODY, envelope=True,
        says="""
        Return how far the two reviewers of sessions agree beyond chance (Cohen's kappa, with its interval and
        the table that it rests on), by exam and period. For who adjudicates.
        """,
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
