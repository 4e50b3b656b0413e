"""
What comes before an append: who posts, with which allowance, which bytes, under which name.
"""

from datetime import UTC, datetime
from time import monotonic
from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from ingest.admission.batches import Admitted
from ingest.appending.append import Appender, Sender
from ingest.appending.pressure import Pressure
from ingest.appending.sessions import Sessions
from ingest.stream.protocol import client_key, shard_of
from kernel.access import Action, scope_of
from kernel.errors import MalformedError, NotAuthenticatedError, TooLargeError, UnsupportedMediaError
from kernel.events import Role
from kernel.http.bodies import as_public, read_body
from kernel.http.fields import bearer
from kernel.http.networks import counted
from kernel.http.origins import CLAIMS, asked_by
from kernel.http.web import SETTINGS, address_of
from kernel.meter import Meter
from kernel.revocation import Revocations
from kernel.tokens import EXPIRED, Audience, Claims, Keyring, beacon_claims

TOKENS_REMEMBERED_MAX: Final = 100_000


class Beacon(Struct, frozen=True, gc=False):
    """A token that a page was given, and when it is given another one, in seconds since 1970."""

    token: str
    renew_at: int


class Tier(Struct, frozen=True):
    """The parts of a running ingest process."""

    appender: Appender
    sessions: Sessions
    pressure: Pressure
    keyring: Keyring
    meter: Meter
    strangers: Meter  # by address: requests that are read before anybody knows whose they are
    verified: dict[str, Claims]
    beacons: dict[tuple[str, int], Beacon]  # by the token that they come from, and the session
    revocations: Revocations


TIER: Final = web.AppKey("tier", Tier)
LOAD: Final = web.RequestKey("load", int)  # of the shards that the request's sessions belong to


def sender_of(request: web.Request) -> Sender:
    """
    Return who posts, from the bearer token and this process's own revocations: no round trip to anywhere.

    Raises:
        NotAuthenticatedError: no genuine, unexpired token that still holds.
        ForbiddenError: the role does not post events, or the organisation does not allow the page.
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
        raise NotAuthenticatedError(EXPIRED)
    return _sender(request, claims)


def _sender(request: web.Request, claims: Claims, *, by_page: bool = False) -> Sender:
    """Return who posts, by what a genuine token says; raises as `sender_of` does."""
    request.app[TIER].revocations.check(claims)
    asked_by(request, claims, by_page=by_page)
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


class _Beacon(Struct, frozen=True, rename="camel"):
    """What a batch says of who posts it, where no header does."""

    beacon_token: str = ""
    proctor_session_id: int = 0


_WHO: Final = "Send a token as `Authorization: Bearer …`, or a page's own as `beaconToken` in plain JSON."
_BEACON: Final = msgspec.json.Decoder(_Beacon)


async def receive_batch(request: web.Request) -> tuple[Sender, bytes]:
    """
    Return who posts a batch, and what, as `receive` does; a page that is being left posts without a header,
    and its token stands in the body (`beaconToken`).

    Such a body is read before anybody knows whose it is: plain, `beacon_bytes_max` bytes at most, and looked
    through for its token alone. So long it counts for the address that it comes from, for good where nobody
    gets known; then for the candidate, like any other.

    Raises:
        DomainError: as `receive`. NotAuthenticatedError: neither a header nor a token for this session.
    """
    if "Authorization" in request.headers or not request.can_read_body:
        return await receive(request)
    settings, tier, source = request.app[SETTINGS], request.app[TIER], str(counted(address_of(request)))
    tier.strangers.spend(source, monotonic())
    try:
        body = await read_body(as_public(request, settings.beacon_bytes_max), settings)
        told = _BEACON.decode(body)
    except (UnsupportedMediaError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAuthenticatedError(_WHO) from error
    if not told.beacon_token:
        raise NotAuthenticatedError(_WHO)
    claims = tier.keyring.verify(told.beacon_token, audience=Audience.beacon, now=datetime.now(UTC))
    if claims.session != told.proctor_session_id:
        raise NotAuthenticatedError("The beaconToken is for another proctor session.")
    sender = _sender(request, claims, by_page=True)
    tier.strangers.give_back(source)
    tier.meter.check(sender.account, monotonic())
    tier.meter.charge(sender.account, max(len(body), settings.sender_request_bytes_min), monotonic())
    return sender, body


def beacon_token(request: web.Request, session_id: int) -> str | UnsetType:
    """Return the token by which the candidate's page may post when it is left; a service has no page."""
    claims, settings = request[CLAIMS], request.app[SETTINGS]
    if claims.role is Role.service:
        return UNSET
    tier, now, page = request.app[TIER], datetime.now(UTC), (claims.jti, session_id)
    held = tier.beacons.get(page)
    if held is None or held.renew_at <= now.timestamp():
        beacon = beacon_claims(claims, session_id, now=now, life_s=settings.beacon_token_s)
        held = Beacon(tier.keyring.sign(beacon), (beacon.iat + beacon.exp) // 2)
        if len(tier.beacons) >= TOKENS_REMEMBERED_MAX:
            tier.beacons.clear()
        tier.beacons[page] = held
    return held.token


def shed(request: web.Request, session_id: int, admitted: Admitted, *, heartbeat: bool = False) -> None:
    """Note the load of the session's shard, for the reply; raises OverloadedError where it sheds this."""
    pressure = request.app[TIER].pressure
    shard = shard_of(session_id, request.app[SETTINGS].shards)
    request[LOAD] = max(request.get(LOAD, 0), pressure.loads[shard])
    pressure.shed(shard, admitted.severity_max, heartbeat=heartbeat)


def client_of(sender: Sender, instance: str | None) -> int | None:
    """Return the key of a sender's client instance, None where it sent no name."""
    return None if instance is None else client_key(instance, of_service=not sender.user)
