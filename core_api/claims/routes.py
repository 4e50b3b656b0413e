"""Claims against results: candidates', and how staff handle and resolve them."""

from typing import Final

from core_api.cases import case
from core_api.claims import appeals, files, handling, own, policies, resolving
from kernel.access import Action
from kernel.http.web import NOBODY, OWN, Shows

OWN_CLAIM: Final = "/student/claims/{claim_id}"
CLAIM: Final = "/teacher/claims/{claim_id}"
SHOWN: Final = Shows("claim", "claim_id")

ROUTES: Final = (
    case(
        "POST /student/attempts/{attempt_id}/claims", own.open_claim, Action.claim_open, name="open_claim",
        shows=OWN, status=201,
        says="""
        Claim that the result of an attempt is wrong, or that it was made void wrongly: once for each result,
        within some days after it was shown. 409: it is too late or too early, or was claimed before.
        """,
    ),
    case(
        "GET /student/claims", own.list_own, Action.claim_open, name="list_own_claims", shows=OWN,
        says="List the caller's claims, newest first.",
    ),
    case(
        f"GET {OWN_CLAIM}", own.fetch, Action.claim_open, name="get_own_claim", shows=OWN,
        says="Return one of the caller's claims: how far it is, until when, what was said, how it ended.",
    ),
    case(
        f"POST {OWN_CLAIM}/statements", own.say, Action.claim_open, name="add_to_own_claim", shows=OWN,
        status=201,
        says="Say more about a claim; where the candidate was asked something, this answers it.",
    ),
    case(
        f"POST {OWN_CLAIM}/withdraw", own.withdraw, Action.claim_open, name="withdraw_own_claim", shows=OWN,
        says="Withdraw a claim, for good.",
    ),
    case(
        f"POST {OWN_CLAIM}/dispute", own.dispute, Action.claim_open, name="dispute_own_claim", shows=OWN,
        says="""
        Dispute the first resolution of a claim, within some days: somebody who has not handled it looks at
        it, for the last time.
        """,
    ),
    case(
        f"POST {OWN_CLAIM}/bundle", appeals.make, Action.claim_open, name="make_appeal_bundle", shows=OWN,
        status=201,
        says="""
        Make a file of all that is held of a claim and of the attempt that it is about: receipt, score,
        evidence's hashes, timeline, who looked; and verdicts and the risk's trace where the exam's policy
        releases them. The ledger gets its hash; `verify_export.py --appeal` checks it without us.
        """,
    ),
    case(
        f"GET {OWN_CLAIM}/bundle", appeals.fetch, Action.claim_open, name="get_appeal_bundle", shows=OWN,
        says="Return the newest bundle of a claim, with its proof from a second after it was made on.",
    ),
    case(
        f"GET {OWN_CLAIM}/evidence/{{evidence_id}}/download-url", files.grant_file, Action.claim_open,
        name="get_appeal_evidence_url", shows=OWN,
        says="""
        Return an address from which evidence of the claim's attempt is fetched, where the exam's policy
        releases files. `verify_export.py --appeal … --file …` holds them against the bundle.
        """,
    ),
    case(
        "GET /teacher/claims", handling.list_visible, Action.claim_read, name="list_claims",
        shows=Shows("claims"),
        says="List the claims about exams that the caller may see; what is due first comes first.",
    ),
    case(
        f"GET {CLAIM}", handling.fetch, Action.claim_read, name="get_claim", shows=SHOWN,
        person=lambda found: found.candidate_id,
        says="Return a claim with what both sides have said; the view is recorded.",
    ),
    case(
        f"POST {CLAIM}/acknowledge", handling.acknowledge, Action.claim_handle, name="acknowledge_claim",
        shows=SHOWN, person=lambda found: found.candidate_id,
        says="Take a claim on: its candidate sees that it is being examined.",
    ),
    case(
        f"POST {CLAIM}/statements", handling.say, Action.claim_handle, name="add_to_claim", shows=SHOWN,
        status=201, person=lambda found: found.candidate_id,
        says="""
        Say something to a claim's candidate, who reads it without your name; with `asks` the claim waits for
        their answer, and expires without one.
        """,
    ),
    case(
        f"POST {CLAIM}/escalate", handling.escalate, Action.claim_handle, name="escalate_claim", shows=SHOWN,
        person=lambda found: found.candidate_id,
        says="Have somebody else look at a claim: an admin, or who adjudicates its exam.",
    ),
    case(
        f"POST {CLAIM}/resolve", resolving.resolve, Action.claim_resolve, name="resolve_claim", shows=SHOWN,
        person=lambda found: found.candidate_id,
        says="""
        Uphold or reject a claim, with reasons; an upheld one may override a decision, give points or apply a
        remediation in the same act. 403: whoever decided on the attempt, graded or proctored it resolves no
        claim about it, and no dispute who handled the claim before.
        """,
    ),
    case(
        "GET /teacher/exams/{exam_id}/claim-policy", policies.fetch, Action.exam_read,
        name="get_claim_policy", shows=NOBODY,
        says="Return how long an exam's results may be claimed against.",
    ),
    case(
        "PUT /teacher/exams/{exam_id}/claim-policy", policies.replace, Action.exam_update,
        name="set_claim_policy", shows=NOBODY,
        says="Set how long an exam's results may be claimed against.",
    ),
)  # fmt: skip
