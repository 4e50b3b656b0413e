"""
Failed sign-ins: how many may be tried, from where, and when somebody is told (spec.md A-3).

Two bounds: sign-ins at one account from one address, and different accounts that fail at one address. Nobody
can lock a stranger out from elsewhere, and a school behind one address is exempted by setting. An attempt
counts before its password is looked at, whether the account exists or not. Registrations have a count of
their own: none of them is a failed sign-in.
"""

import hashlib
import math
from datetime import datetime, timedelta
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Final
from uuid import UUID

import structlog
from aiohttp import web
from msgspec import Struct

from core_api.database import Connection
from core_api.identity import trail
from kernel import spelling
from kernel.errors import RateLimitedError
from kernel.http.networks import Address, Networks, counted, is_within, networks_of, unmapped
from kernel.running.runtime import LOGIN_ALERTS, LOGINS_FAILED, LOGINS_THROTTLED
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("throttle")
MINUTE: Final = timedelta(minutes=1)
# What registrations from an address are counted under: no account has this digest.
_REGISTRATIONS: Final = hashlib.sha256(b"registrations").digest()

log = structlog.get_logger(__name__)


class Limits(Struct, frozen=True, kw_only=True):
    """The bounds of `kernel.settings`, parsed."""

    window: timedelta
    attempts_max: int
    accounts_max: int
    registrations_max: int
    alert_failures: int
    exempt: Networks


LIMITS: Final = web.AppKey("limits", Limits)


def limits_of(settings: Settings) -> Limits:
    """Return the bounds; raises ValueError when an exempt network is malformed."""
    return Limits(
        window=timedelta(seconds=settings.login_window_s),
        attempts_max=settings.login_attempts_max,
        accounts_max=settings.login_accounts_max,
        registrations_max=settings.registrations_max,
        alert_failures=settings.login_alert_failures,
        exempt=networks_of(settings.login_exempt_networks),
    )


class Source(Struct, frozen=True):
    """Where a sign-in comes from and whom it names, as they are counted."""

    network: IPv4Interface | IPv6Interface
    account: bytes
    exempt: bool


def account_of(email: str) -> bytes:
    """Return the digest under which attempts to sign in to an account are counted."""
    return hashlib.sha256(spelling.counted_as(email).encode(errors="replace")).digest()


def source_of(address: Address | None, email: str, limits: Limits) -> Source:
    """Return how a sign-in is counted."""
    network = counted(address)
    return Source(
        network=ip_interface(str(network)),
        account=account_of(email),
        exempt=is_within(network.network_address if address is None else unmapped(address), limits.exempt),
    )


async def begin(conn: Connection, source: Source, limits: Limits, *, now: datetime) -> None:
    """
    Count an attempt.

    Raises:
        RateLimitedError: too many at this account from here, or too many accounts failed here.
    """
    opened = now - limits.window
    if not source.exempt:
        since = await conn.fetchval(
            QUERIES["busy_network_since"], source.network, opened, limits.accounts_max
        )
        if since is not None:
            raise _refused("address", since + limits.window - now)
    await _count(conn, source, source.account, "account", limits.attempts_max, limits, now=now)


async def _count(
    conn: Connection,
    source: Source,
    account: bytes,
    reason: str,
    attempts_max: int,
    limits: Limits,
    *,
    now: datetime,
) -> None:
    counted = await QUERIES.run(
        conn.fetchval,
        "begin_attempt",
        network=source.network,
        account=account,
        now=now,
        window_from=now - limits.window,
        attempts_max=attempts_max,
    )
    if counted is None:
        began = await conn.fetchval(QUERIES["fetch_window"], source.network, account)
        raise _refused(reason, (began or now) + limits.window - now)


def _refused(reason: str, wait: timedelta) -> RateLimitedError:
    LOGINS_THROTTLED.labels(reason).inc()
    return RateLimitedError("Too many attempts; wait.", retry_after_s=max(1, math.ceil(wait.total_seconds())))


async def begin_registration(conn: Connection, source: Source, limits: Limits, *, now: datetime) -> None:
    """
    Count a registration from an address that is not exempt.

    Raises:
        RateLimitedError: too many from here.
    """
    if not source.exempt:
        most = limits.registrations_max
        await _count(conn, source, _REGISTRATIONS, "registrations", most, limits, now=now)


async def fail(
    conn: Connection,
    source: Source,
    limits: Limits,
    *,
    now: datetime,
    organisation_id: UUID | None = None,
) -> bool:
    """
    Note a failure; True when it makes an address one that somebody is told about, once a minute.

    The alert is on the ledger of `organisation_id`, the one of the account that was tried; see
    `trail.alert`.
    """
    LOGINS_FAILED.inc()
    async with conn.transaction():
        await conn.execute(QUERIES["fail_attempt"], source.network, source.account, now)
        alerts: bool = await conn.fetchval(
            QUERIES["count_failure"], source.network, now, limits.alert_failures, now - MINUTE
        )
        if alerts:
            network, failures = str(source.network), limits.alert_failures
            await trail.alert(conn, network, failures, organisation_id=organisation_id, now=now)
    if alerts:
        LOGIN_ALERTS.inc()
        # The address stands in login_networks, where it can be looked up and erased.
        log.warning("login_failures_alert", failures=limits.alert_failures, window_s=60)
    return alerts


async def forget(conn: Connection, source: Source) -> None:
    """Note that the password was right."""
    await conn.execute(QUERIES["forget_attempts"], source.network, source.account)
