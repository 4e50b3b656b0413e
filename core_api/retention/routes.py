"""Retention as admins set it, foresee it, and hold it up."""

from typing import Final

from core_api.cases import case
from core_api.retention import holds, policies
from kernel.access import Action
from kernel.http.web import NOBODY, Shows

ROUTES: Final = (
    case(
        "GET /admin/retention", policies.fetch, Action.retention_manage, name="get_retention_policy",
        shows=NOBODY,
        says="Return how many days the organisation keeps what.",
    ),
    case(
        "PUT /admin/retention", policies.update, Action.retention_manage, name="set_retention_policy",
        says="""
        Say how many days the organisation keeps what; the next sweep goes by it. The ledger is kept for ever.
        """,
    ),
    case(
        "GET /admin/retention/forecast", policies.forecast, Action.retention_manage,
        name="get_retention_forecast", shows=NOBODY,
        says="Return what a sweep would take now by the policy, and what it would leave and why.",
    ),
    case(
        "GET /admin/legal-holds", holds.list_of_organisation, Action.legal_hold_manage,
        name="list_legal_holds", shows=Shows("legal_holds"),
        says="List the organisation's legal holds, newest first.",
    ),
    case(
        "POST /admin/legal-holds", holds.place, Action.legal_hold_manage, name="place_legal_hold", status=201,
        shows=Shows("legal_holds"),
        says="""
        Hold everything of a person, an exam or a claim: nothing of it goes, whatever the policy says, until
        the hold is lifted. Several holds of one of them count each for itself.
        """,
    ),
    case(
        "POST /admin/legal-holds/{hold_id}/lift", holds.lift, Action.legal_hold_manage,
        name="lift_legal_hold", shows=Shows("legal_hold", "hold_id"),
        says="Lift a legal hold, for good. One that was lifted is a 409.",
    ),
)  # fmt: skip
