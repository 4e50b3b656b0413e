"""The ledger for everybody concerned: heads and proofs, and the audit log for admins."""

from typing import Final

from core_api.cases import case
from core_api.ledger import audit, proofs
from kernel.access import Action
from kernel.http.web import NOBODY, Shows

ROUTES: Final = (
    case(
        proofs.newest_head, name="head", method="GET", path="/ledger/head", action=Action.ledger_head,
        tag="Ledger", shows=NOBODY,
        says="""
        Return the newest signed head of the ledger: its size, its root, and the note that was signed.
        """,
    ),
    case(
        proofs.inclusion, name="proof", method="GET", path="/ledger/events/{event_id}/proof",
        action=Action.ledger_proof, tag="Ledger", shows=Shows("ledger_event", "event_id"),
        says="""
        Prove that an event is in the ledger. 409 with `Retry-After` while it waits for the next signed head.
        """,
    ),
    case(
        proofs.consistency, name="consistency", method="GET", path="/ledger/consistency",
        action=Action.ledger_head, tag="Ledger", shows=NOBODY,
        says="Prove that a signed ledger extends an older one: nothing that stood in that was changed.",
    ),
    case(
        audit.list_events, name="list_events", method="GET", path="/ledger/events", action=Action.ledger_list,
        tag="Ledger", shows=Shows("ledger_events"),
        says="List the organisation's ledger events, newest first, with filters.",
    ),
    case(
        audit.list_logs, name="list_logs", method="GET", path="/admin/audit-logs", action=Action.ledger_list,
        tag="Admins", shows=Shows("audit_log"), also_bare=True,
        says="List the organisation's audit log, newest first, with filters: who did what to which record.",
    ),
)  # fmt: skip
