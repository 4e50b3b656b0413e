"""
Handlers for observers: what they found about candidates becomes a submission.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec
from aiohttp import web

from core_api.actors import actor_of
from core_api.cases import case
from core_api.database import POOL, connection
from core_api.submissions import observations, submissions
from core_api.wire import decode_body, read_bytes, uuid_in_path
from kernel.access import Action
from kernel.web import OWN, Route, Shows, send_json

_OBSERVATION: Final = msgspec.json.Decoder(observations.Observation)


async def finalise_observation(request: web.Request) -> web.Response:
    """
    Finalise an observation of candidates: 201 with the receipt the first time, 200 with the same one after.

    The `Idempotency-Key` is asked for; a retry with another body is a 409.
    """
    exam_id = uuid_in_path(request, "exam_id")
    body = await read_bytes(request)
    command = decode_body(body, _OBSERVATION)
    asked = submissions.request_of(request.headers.get("Idempotency-Key"), body)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        finalised = await observations.finalise(
            conn, actor_of(request), exam_id, command, asked, now=datetime.now(UTC)
        )
    return send_json(finalised.receipt, status=201 if finalised.created else 200)


ROUTES: Final = (
    Route(
        method="POST", path="/observer/exams/{exam_id}/observations", shows=OWN, handler=finalise_observation,
        action=Action.observation_finalise, tag="Observers", body=observations.Observation,
        reply=observations.ObservationReceipt, status=201, also_status=(200,),
    ),
    case(
        observations.fetch_own, name="observation", method="GET",
        path="/observer/observations/{submission_id}", action=Action.observation_read, tag="Observers",
        shows=Shows("submission", "submission_id", of_oneself=True),
        says="Return one of the observer's own observations, with the very bytes that its hash is of.",
    ),
)  # fmt: skip
