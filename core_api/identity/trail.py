"""
What sign-ins, begun (`accounts`) or under way (`logins`), leave on the ledger: `auth.…` events of the person,
and alerts of a network (spec.md A-3, L-1; decision 14).

Where somebody came from is personal: the address and the browser stand beside the ledger, erasable, and only
their commitments in it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from core_api.actors import UNKNOWN, Origin
from core_api.database import Connection
from core_api.ledger import entries as ledger
from core_api.ledger.entries import Entry, Personal
from kernel.events import Role
from kernel.ledger.kinds import Kind

# Whose an alert is when the account that was tried last is nobody's: the installation's operators read it.
INSTALLATION: Final = UUID(int=0)


class Person(Protocol):
    """Who signs in."""

    @property
    def id(self) -> UUID:
        """Their id."""
        ...

    @property
    def organisation_id(self) -> UUID:
        """Their organisation."""
        ...

    @property
    def role(self) -> Role:
        """Their role."""
        ...


async def record(
    conn: Connection,
    kind: str,
    person: Person,
    *,
    now: datetime,
    origin: Origin = UNKNOWN,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Append in the caller's transaction what somebody did about their own account."""
    await ledger.record(
        conn,
        Entry(
            kind=kind,
            aggregate_id=str(person.id),
            organisation_id=person.organisation_id,
            occurred_at=now,
            actor_id=person.id,
            actor_role=Role(person.role).value,
            subject_id=person.id,
            detail=detail or {},
            personal={name: Personal(each, person.id) for name, each in origin.told().items()},
        ),
    )


async def alert(
    conn: Connection, network: str, failures: int, *, organisation_id: UUID | None, now: datetime
) -> None:
    """
    Append in the caller's transaction that sign-ins fail from a network, once a minute and network.

    Args:
        conn: in a transaction.
        network: one address, or the /64 of one.
        failures: so many within a minute.
        organisation_id: of the account that was tried last; None where there is no such account.
        now: of the latest failure.
    """
    organisation_id = organisation_id or INSTALLATION
    await ledger.record(
        conn,
        Entry(
            kind=Kind.login_alert,
            aggregate_id=str(organisation_id),
            organisation_id=organisation_id,
            occurred_at=now,
            detail={"failures": failures, "window_s": 60},
            personal={"network": Personal(network, None)},
        ),
    )
