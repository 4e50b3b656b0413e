"""Origins of pages that an organisation lets call, as its admins set them (spec.md X-3)."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import POOL, Connection, system_connection
from core_api.ledger import entries as ledger
from kernel.errors import InvalidInputError
from kernel.http.origins import CHARS_MAX, normal_origin
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("origins")
HELD: Final = named("users")


class AllowedOrigins(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Origins of pages that may call, such as `https://exams.example.org` or `http://localhost:3000`."""

    origins: list[Annotated[str, Meta(max_length=CHARS_MAX, description="Scheme, host and port alone.")]]


async def fetch(conn: Connection, actor: Actor) -> AllowedOrigins:
    """Return the origins that the caller's organisation allows, in alphabetical order."""
    return AllowedOrigins(origins=await conn.fetchval(QUERIES["fetch_allowed"], actor.organisation_id) or [])


async def replace(
    conn: Connection, actor: Actor, command: AllowedOrigins, *, settings: Settings, now: datetime
) -> AllowedOrigins:
    """
    Let pages of these origins call, and of no others; every process knows within seconds.

    Raises:
        InvalidInputError: some are no origins of web pages, each is named; or there are too many.
    """
    most = settings.organisation_origins_max
    if len(command.origins) > most:
        fault = {"path": "origins", "message": f"Expected at most {most} origins"}
        raise InvalidInputError("There are too many origins.", errors=[fault])
    wanted = _normal(command.origins)
    async with conn.transaction():
        await conn.execute(HELD["hold_organisation"], actor.organisation_id)
        before = await fetch(conn, actor)
        if before.origins != wanted:
            await conn.execute(QUERIES["set_allowed"], actor.organisation_id, wanted)
            event = ledger.by(
                actor, Kind.allowed_origins_set, actor.organisation_id, now=now, detail={"origins": wanted}
            )
            await ledger.record(conn, event)
    return AllowedOrigins(origins=wanted)


def _normal(given: list[str]) -> list[str]:
    """Return the origins in normal form, each once; raises InvalidInputError with every one that is none."""
    found, errors = set(), []
    for index, text in enumerate(given):
        try:
            found.add(normal_origin(text))
        except ValueError as error:
            errors.append({"path": f"origins[{index}]", "message": str(error)})
    if errors:
        raise InvalidInputError("Some origins are not allowed.", errors=errors)
    return sorted(found)


async def changed(app: web.Application, since: datetime) -> list[Any]:
    """Return the organisations whose origins have changed since, each with all of them, and when."""
    async with system_connection(app[POOL]) as conn:
        return await conn.fetch(QUERIES["list_changed"], since)
