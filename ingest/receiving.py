"""
What comes before an append: who posts, with which allowance, which bytes, under which name.
"""

from datetime import UTC, datetime
from time import monotonic
from typing import Final

from aiohttp import web
from msgspec import Struct

from ingest.admission.batches import Admitted
from ingest.appending.append import Appender, Sender
from ingest.appending.pressure import Pressure
from ingest.appending.sessions import Sessions
from ingest.stream.protocol import client_key, shard_of
from kernel.access import Action, scope_of
from kernel.errors import MalformedError, NotAuthenticatedError, TooLargeError
from kernel.events import Role
from kernel.http.bodies import read_body
from kernel.http.fields import bearer
from kernel.http.origins import asked_by
from kernel.http.web import SETTINGS
from kernel.meter import Meter
from kernel.revocation import Revocations
from kernel.tokens import Audience, Claims, Keyring

TOKENS_REMEMBERED_MAX: Final = 100_000


class Tier(Struct, frozen=True):
    """The parts of a running ingest process."""

    appender: Appender
    sessions: Sessions
    pressure: Pressure
    keyring: Keyring
    meter: Meter
    verified: dict[str, Claims]
    revocations: Revocations


TIER: Final = web.AppKey("tier", Tier)
LOAD: Final = web.RequestKey("load", int)  # of the shards that the request's sessions belong to


def sender_of(request: web.Request) -> Sender:
    """
    Return who posts, from the bearer token and this process's own revocations: no round trip to anywhere.

    Raises:
        NotAuthenticatedError: no genuine, unexpired token that still holds.
        ForbiddenError: the role does not post events.
    """
    tier = request.app[TIER]
    header = request.headers.get("Authorization", "")
    claims = tier.verified.get(header)
    now = datetime.now(UTC)
    if claims is None:
        claims = tier.keyring.verify(bearer(header), audience=Audience.access, now=now)
        if len(tier.verified) >= TOKENS_REMEMBERED_MAX:
            tier.verified.clear()
        tier.verified[header] = claims
    elif claims.exp <= now.timestamp():
        del tier.verified[header]
        raise NotAuthenticatedError("It has expired: sign in again, or ask for a new link.")
    tier.revocations.check(claims)
    asked_by(request, claims)
    scope_of(claims.role, Action.event_post, bound=claims.exam_id is not None)
    user = "" if claims.role is Role.service else claims.user_id
    return Sender(user=user, org=claims.org, exam=claims.exam_id or "")


async def receive(request: web.Request) -> tuple[Sender, bytes]:
    """
    Return who posts, and what: the decoded bytes, within the sender's allowance. A request that is refused
    for anything else counts as well.

    Raises:
        DomainError: what `sender_of`, `Meter` and `read_body` raise.
    """
    settings, meter, sender = request.app[SETTINGS], request.app[TIER].meter, sender_of(request)
    if not sender.user:
        return sender, await read_body(request, settings)
    least = settings.sender_request_bytes_min
    meter.check(sender.account, monotonic())
    meter.charge(sender.account, least, monotonic())
    try:
        body = await read_body(request, settings)
    except (TooLargeError, MalformedError):
        meter.charge(sender.account, settings.decoded_bytes_max - least, monotonic())
        raise
    meter.charge(sender.account, max(0, len(body) - least), monotonic())
    return sender, body


def shed(request: web.Request, session_id: int, admitted: Admitted, *, heartbeat: bool = False) -> None:
    """Note the load of the session's shard, for the reply; raises OverloadedError where it sheds this."""
    pressure = request.app[TIER].pressure
    shard = shard_of(session_id, request.app[SETTINGS].shards)
    request[LOAD] = max(request.get(LOAD, 0), pressure.loads[shard])
    pressure.shed(shard, admitted.severity_max, heartbeat=heartbeat)


def client_of(sender: Sender, instance: str | None) -> int | None:
    """Return the key of a sender's client instance, None where it sent no name."""
    return None if instance is None else client_key(instance, of_service=not sender.user)
