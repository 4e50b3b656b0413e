"""
Handlers of the ledger: heads and proofs for everybody concerned, the audit log for admins.
"""

from typing import Final

from aiohttp import web

from core_api import audit, ledger_proofs
from core_api.actors import actor_of
from core_api.database import POOL, connection
from core_api.wire import uuid_in_path
from kernel.access import Action
from kernel.web import NOBODY, Route, Shows, decode_query, send_json


async def head(request: web.Request) -> web.Response:
    """Return the newest signed head of the ledger: its size, its root, and the note that was signed."""
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await ledger_proofs.newest_head(conn))


async def proof(request: web.Request) -> web.Response:
    """
    Prove that an event is in the ledger. 409 with `Retry-After` while it waits for the next signed head.
    """
    event_id = uuid_in_path(request, "event_id")
    query = decode_query(request, ledger_proofs.ProofQuery)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await ledger_proofs.inclusion(conn, actor_of(request), event_id, query))


async def consistency(request: web.Request) -> web.Response:
    """Prove that the ledger of a signed head extends an older one: nothing in between was changed."""
    query = decode_query(request, ledger_proofs.ConsistencyQuery)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await ledger_proofs.consistency(conn, query))


async def list_events(request: web.Request) -> web.Response:
    """List the organisation's ledger events, newest first, with filters."""
    query = decode_query(request, audit.AuditQuery)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await audit.list_events(conn, actor_of(request), query))


async def list_logs(request: web.Request) -> web.Response:
    """List the organisation's audit log, newest first, with filters: who did what to which record."""
    query = decode_query(request, audit.AuditLogQuery)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await audit.list_logs(conn, actor_of(request), query))


ROUTES: Final = (
    Route(
        method="GET", path="/ledger/head", shows=NOBODY,
        handler=head, action=Action.ledger_head, tag="Ledger",
        reply=ledger_proofs.HeadView,
    ),
    Route(
        method="GET", path="/ledger/events/{event_id}/proof", shows=Shows("ledger_event", "event_id"),
        handler=proof, action=Action.ledger_proof,
        tag="Ledger", query=ledger_proofs.ProofQuery, reply=ledger_proofs.InclusionProof,
    ),
    Route(
        method="GET", path="/ledger/consistency", shows=NOBODY,
        handler=consistency, action=Action.ledger_head,
        tag="Ledger", query=ledger_proofs.ConsistencyQuery, reply=ledger_proofs.ConsistencyProof,
    ),
    Route(
        method="GET", path="/ledger/events", shows=Shows("ledger_events"),
        handler=list_events, action=Action.ledger_list, tag="Ledger",
        query=audit.AuditQuery, reply=audit.AuditPage,
    ),
    Route(
        method="GET", path="/admin/audit-logs", shows=Shows("audit_log"),
        handler=list_logs, action=Action.ledger_list, tag="Admins",
        query=audit.AuditLogQuery, reply=audit.AuditLogs, also_bare=True,
    ),
)  # fmt: skip
