"""The ledger for everybody concerned: heads and proofs, and the audit log for admins."""

from typing import Final

from core_api.cases import bare, case
from core_api.ledger import audit, proofs
from kernel.access import Action
from kernel.http.web import NOBODY, Shows

ROUTES: Final = (
    case(
        "GET /ledger/head", proofs.newest_head, Action.ledger_head, name="get_ledger_head", shows=NOBODY,
        says="""
        Return the newest signed head of the ledger: its size, its root, and the note that was signed.
        """,
    ),
    case(
        "GET /ledger/events/{event_id}/proof", proofs.inclusion, Action.ledger_proof, name="get_ledger_proof",
        shows=Shows("ledger_event", "event_id"),
        says="""
        Prove that an event is in the ledger. 409 with `Retry-After` while it waits for the next signed head.
        """,
    ),
    case(
        "GET /ledger/consistency", proofs.consistency, Action.ledger_head,
        name="get_ledger_consistency", shows=NOBODY,
        says="Prove that a signed ledger extends an older one: nothing that stood in that was changed.",
    ),
    case(
        "GET /ledger/events", audit.list_events, Action.ledger_list, name="list_ledger_events",
        shows=Shows("ledger_events"),
        says="List the organisation's ledger events, newest first, with filters.",
    ),
    bare(
        "GET /admin/audit-logs", audit.list_logs, Action.ledger_list,
        name="list_audit_logs", shows=Shows("audit_log"),
        says="List the organisation's audit log, newest first, with filters: who did what to which record.",
    ),
)  # fmt: skip
