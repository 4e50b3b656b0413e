"""
Handlers for admins only.
"""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from core_api import sessions
from core_api.actors import actor_of
from core_api.database import POOL, connection
from core_api.wire import Envelope, session_id_in_path
from kernel.access import Action
from kernel.web import Route, send_json


async def cancel_session(request: web.Request) -> web.Response:
    """Cancel a proctor session. Cancelling it again changes nothing; a completed one is a 409."""
    session_id = session_id_in_path(request)
    async with connection(request.app[POOL]) as conn:
        state = await sessions.cancel(conn, actor_of(request), session_id, now=datetime.now(UTC))
    return send_json(Envelope(data=state, message="Proctor session cancelled"))


ROUTES: Final = (
    Route(
        method="POST", path="/proctor/session/{id}/cancel", handler=cancel_session,
        action=Action.session_cancel, tag="Proctoring", reply=Envelope[sessions.SessionState],
    ),
)  # fmt: skip
