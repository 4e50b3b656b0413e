"""
What the core API's handlers share: bodies in, envelopes out, identifiers in paths, bounds of lists.

Proctor routes answer `{"success": true, "data": …}` in camelCase, VERITAS routes plain snake_case (spec.md,
decision 4).
"""

from datetime import UTC, datetime
from typing import Annotated, Final, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from kernel.errors import InvalidInputError, NotFoundError
from kernel.events import SESSION_ID_MAX
from kernel.networks import Address, client_address
from kernel.web import SETTINGS, TRUSTED_PROXIES, decode, read_body

T = TypeVar("T")

LIMIT_MAX: Final = 200
LIMIT_DEFAULT: Final = 50
Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX, description=f"Rows at most; {LIMIT_MAX} is the most.")]
# PostgreSQL cannot store a NUL in a text.
NO_NUL: Final = "^[^\\x00]*$"
Text200 = Annotated[str, Meta(max_length=200, pattern=NO_NUL)]
Text1000 = Annotated[str, Meta(max_length=1000, pattern=NO_NUL)]
MOMENT_MIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
MOMENT_MAX: Final = datetime(9999, 1, 1, tzinfo=UTC)
Moment = Annotated[datetime, Meta(tz=True)]
_UUID_LENGTH: Final = 36


class Paging(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    Where a list stands: `nextCursor` (or `nextAfter`) is null on the last page; `total` only where pages are
    numbered.
    """

    limit: int
    next_cursor: str | UnsetType | None = UNSET
    next_after: int | UnsetType | None = UNSET
    page: int | UnsetType = UNSET
    total: int | UnsetType = UNSET


class Envelope(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What every proctor route answers with."""

    success: Literal[True] = True
    data: T
    message: str | UnsetType = UNSET
    paging: Paging | UnsetType = UNSET


def check_moments(*moments: datetime | None) -> None:
    """
    Hold a client's moments to what can be counted with in every time zone; for a struct's `__post_init__`.

    Raises:
        ValueError: one is before 1970 or in the year 9999 or later.
    """
    if any(each is not None and not MOMENT_MIN <= each < MOMENT_MAX for each in moments):
        message = "Expected a moment from 1970 to 9998"
        raise ValueError(message)


def invalid(path: str, message: str) -> InvalidInputError:
    """Return the refusal of one value of a body."""
    return InvalidInputError("A value is not allowed.", errors=[{"path": path, "message": message}])


def as_json(value: object) -> str:
    """Return a struct as the JSON text that a `::text::jsonb` parameter takes."""
    return msgspec.json.encode(value).decode()


async def read_json(request: web.Request, kind: type[T]) -> T:
    """Return the body as `kind`; raises what `kernel.web.read_body` and `decode` raise."""
    return decode(await read_body(request, request.app[SETTINGS]), msgspec.json.Decoder(kind))


def uuid_in_path(request: web.Request, name: str) -> UUID:
    """Return a UUID of the path; a malformed one is as unknown as any other (404)."""
    text = request.match_info[name]
    try:
        if len(text) == _UUID_LENGTH:
            return UUID(text)
    except ValueError:
        pass
    raise NotFoundError("There is nothing under this id.")


def session_id_in_path(request: web.Request) -> int:
    """Return the proctor session's number of the path; a malformed one is unknown (404)."""
    text = request.match_info["id"]
    if (
        text.isascii()
        and text.isdigit()
        and len(text) <= len(str(SESSION_ID_MAX))
        and 0 < int(text) <= SESSION_ID_MAX
    ):
        return int(text)
    raise NotFoundError("There is no such proctor session.")


def address_of(request: web.Request) -> Address | None:
    """Return the client's address, as far as our own proxies tell (`trusted_proxies`); None if unknown."""
    forwarded = request.headers.getall("X-Forwarded-For", ())
    return client_address(request.remote, forwarded, request.app[TRUSTED_PROXIES])
