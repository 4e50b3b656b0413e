"""
Who is asking: the verified token of a request, and the scope that the access table gives it for a route's
action.

A route's `action` is not only its documentation: `guarded` puts the check in front of the handler, so that no
handler can forget it, and a use case cannot be called without the `Actor` that the check gives.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from time import monotonic
from typing import Any, Final
from uuid import UUID

import msgspec
from aiohttp import web

from kernel.access import Action, Scope, scope_of
from kernel.errors import NotAuthenticatedError, RateLimitedError
from kernel.events import Role
from kernel.http.fields import bearer
from kernel.http.networks import Address
from kernel.http.origins import asked_by
from kernel.http.web import Route, address_of
from kernel.meter import Meter
from kernel.revocation import REVOCATIONS
from kernel.running.runtime import ACCOUNTS_THROTTLED
from kernel.settings import Settings
from kernel.tokens import Audience, Claims, Keyring

KEYRING: Final = web.AppKey("keyring", Keyring)
LAUNCH_KEYRING: Final = web.AppKey("launch_keyring", Keyring)


class Allowances(msgspec.Struct, frozen=True):
    """How many requests whoever is signed in may send: people, and services with numbers of their own."""

    person: Meter
    service: Meter
    request_bytes: int

    def spend(self, claims: Claims) -> None:
        """
        Write a request down; raises RateLimitedError where the account has no room for it.

        A sign-in by launch link has room of its own: whoever made the link takes none from the candidate.
        """
        with _counted():
            self._meter(claims.role).spend(_account(claims.user_id, claims.exam_id), monotonic())

    def weigh(self, actor: "Actor", body_bytes: int) -> None:
        """Write a body down as the requests that its bytes count for; raises as `spend` does."""
        requests = body_bytes // self.request_bytes
        if requests:
            with _counted():
                self._meter(actor.role).charge(_account(actor.user_id, actor.exam_id), requests, monotonic())

    def _meter(self, role: Role) -> Meter:
        return self.service if role is Role.service else self.person


def _account(user_id: object, exam_id: object) -> str:
    return str(user_id) if exam_id is None else f"{user_id} {exam_id}"


@contextmanager
def _counted() -> Iterator[None]:
    try:
        yield
    except RateLimitedError:
        ACCOUNTS_THROTTLED.inc()
        raise


ALLOWANCES: Final = web.AppKey("allowances", Allowances)
TICKETS: Final = ("ticket", "access_token")  # parameters that hold one; the second is what SignalR calls it
AGENT_CHARS_MAX: Final = 400
_TOO_MANY: Final = "The account sends more requests than it may; nothing was done."


def allowances_of(settings: Settings) -> Allowances:
    """Return the bounds of `kernel.settings`, with nothing used up."""
    return Allowances(
        Meter(settings.account_requests_per_s, settings.account_burst_requests, refusal=_TOO_MANY),
        Meter(settings.service_requests_per_s, settings.service_burst_requests, refusal=_TOO_MANY),
        settings.account_request_bytes,
    )


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """
    Somebody who may do an action, and to whose rows; by which token, of which sign-in. `exam_id` is set where
    the sign-in came from a launch link: nothing of another exam exists for it.
    """

    user_id: UUID
    organisation_id: UUID
    email: str
    role: Role
    scope: Scope
    token_id: str = ""
    login_id: UUID | None = None
    exam_id: UUID | None = None
    origin: str = ""  # where the request came from: address and user agent as JSON; empty: unknown

    @property
    def sees_organisation(self) -> bool:
        """True where the action reaches every row of the organisation, not only own or granted ones."""
        return self.scope is Scope.organisation

    @property
    def reach(self) -> dict[str, Any]:
        """Return what statements ask for to find only what the actor may see: whose, who, whether of all."""
        return {
            "organisation": self.organisation_id,
            "user_id": self.user_id,
            "sees_organisation": self.sees_organisation,
        }


_ACTOR: Final = web.RequestKey("actor", Actor)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request came from; None where that is not known."""

    address: Address | None = None
    user_agent: str | None = None  # as it was sent

    def told(self) -> dict[str, str]:
        """Return what is known of it as texts to keep: an agent is cut to AGENT_CHARS_MAX characters."""
        address = {} if self.address is None else {"address": str(self.address)}
        agent = (self.user_agent or "").encode(errors="replace").decode()[:AGENT_CHARS_MAX]
        return {**address, "user_agent": agent} if agent else address


UNKNOWN: Final = Origin()


def origin_of(request: web.Request) -> Origin:
    """Return where a request came from."""
    return Origin(address=address_of(request), user_agent=request.headers.get("User-Agent"))


def actor_for(claims: Claims, action: Action, origin: str = "") -> Actor:
    """
    Return the actor of a verified token for one action, with the origin of their request.

    Raises:
        ForbiddenError: the role has no entry for the action, or the token is for sitting an exam alone.
        NotAuthenticatedError: the token names no person.
    """
    scope = scope_of(claims.role, action, bound=claims.exam_id is not None)
    try:
        user_id, organisation_id = UUID(claims.user_id), UUID(claims.org)
        login_id = None if claims.login is None else UUID(claims.login)
        exam_id = None if claims.exam_id is None else UUID(claims.exam_id)
    except ValueError as error:
        raise NotAuthenticatedError("The token is not valid.") from error
    return Actor(
        user_id=user_id,
        organisation_id=organisation_id,
        email=claims.email,
        role=claims.role,
        scope=scope,
        token_id=claims.jti,
        login_id=login_id,
        exam_id=exam_id,
        origin=origin,
    )


def actor_of(request: web.Request) -> Actor:
    """Return the actor that `guarded` found for this request."""
    return request[_ACTOR]


def weigh(request: web.Request, body_bytes: int) -> None:
    """Count a body for whoever sent it, once they are known; raises RateLimitedError: it is too much."""
    actor = request.get(_ACTOR)
    if actor is not None:
        request.app[ALLOWANCES].weigh(actor, body_bytes)


def guarded(route: Route) -> Route:
    """
    Return the route with the token check, the account's allowance and the access table in front of its
    handler; public routes as they are.
    """
    action, handler = route.action, route.handler
    if action is None:
        return route

    @wraps(handler)
    async def checked(request: web.Request) -> web.StreamResponse:
        claims = _claims_of(request, ticketed=route.ticketed)
        asked_by(request, claims)
        request.app[ALLOWANCES].spend(claims)
        origin = msgspec.json.encode(origin_of(request).told()).decode()
        request[_ACTOR] = actor_for(claims, action, origin)
        return await handler(request)

    return msgspec.structs.replace(route, handler=checked)


def _claims_of(request: web.Request, *, ticketed: bool) -> Claims:
    keyring, now = request.app[KEYRING], datetime.now(UTC)
    given = [request.query[each] for each in TICKETS if each in request.query] if ticketed else []
    token = given[0] if given else bearer(request.headers.get("Authorization", ""))
    try:
        claims = keyring.verify(token, audience=Audience.ticket if given else Audience.access, now=now)
    except NotAuthenticatedError as error:
        if given or not ticketed:
            raise
        try:
            claims = keyring.verify(token, audience=Audience.ticket, now=now)  # as SignalR sends it
        except NotAuthenticatedError:
            raise error from None
    if claims.opens is not None and not f"{request.path}/".startswith(f"{claims.opens}/"):
        raise NotAuthenticatedError("The ticket is for another address.")
    request.app[REVOCATIONS].check(claims)
    return claims
