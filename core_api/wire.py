"""
What the core API's handlers share: bodies in, envelopes out, identifiers in paths, bounds of lists.

Proctor routes answer `{"success": true, "data": …}` in camelCase, VERITAS routes plain snake_case (spec.md,
decision 4).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
import structlog
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from core_api.actors import weigh
from kernel.errors import InvalidInputError, MalformedError, NotFoundError, StoredSpoiltError, TooLargeError
from kernel.events import SESSION_ID_MAX
from kernel.http.bodies import read_body
from kernel.http.web import SETTINGS, decode
from kernel.values import DEPTH_MAX, holds_nul, path_of_nul, wrong_document

T = TypeVar("T")

log = structlog.get_logger(__name__)

LIMIT_MAX: Final = 200
SEQUENCE_63_MAX: Final = 2**63 - 1  # of a client's own numbers, which a bigint holds
LIMIT_DEFAULT: Final = 50
Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX, description=f"Rows at most; {LIMIT_MAX} is the most.")]
# PostgreSQL cannot store a NUL in a text.
NO_NUL: Final = "^[^\\x00]*$"
Text200 = Annotated[str, Meta(max_length=200, pattern=NO_NUL)]
Text1000 = Annotated[str, Meta(max_length=1000, pattern=NO_NUL)]
MOMENT_MIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
MOMENT_MAX: Final = datetime(9999, 1, 1, tzinfo=UTC)
Moment = Annotated[datetime, Meta(tz=True)]
# What people keep here as they like: read as text, judged as text, stored as it came (`stored_document`).
Document = Annotated[
    msgspec.Raw,
    Meta(
        description=f"A JSON object of at most {DEPTH_MAX} levels.",
        extra_json_schema={"type": "object"},
    ),
]
# The same in a reply: the stored bytes, put in as they stand (`kernel.http.web.send_json`).
ShownDocument = Annotated[
    Any, Meta(description="A JSON object, as it is stored.", extra_json_schema={"type": "object"})
]
_UUID_LENGTH: Final = 36
_BODY: Final = web.RequestKey("body", bytes)
SUBJECT: Final = web.RequestKey("view_subject", UUID)


class Paging(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    Where a list stands: `nextCursor` is null on the last page; `total` where the list is sorted, `page` where
    a numbered one was asked for.
    """

    limit: int
    next_cursor: str | None
    page: int | UnsetType = UNSET
    total: int | UnsetType = UNSET


class ListPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of a list; what follows its last row is the next one's `cursor`."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Annotated[UUID, Meta(description="`next_cursor` of the page before.")] | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list: what a subclass holds, then where the next one begins; null on the last page."""

    next_cursor: UUID | None


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


def spelled(path: str, how: Callable[[str], str], text: str, *, length_max: int) -> str:
    """
    Return a text of an account as it is stored (`kernel.spelling`).

    Raises:
        InvalidInputError: it cannot be one, or is longer than `length_max` characters so.
    """
    try:
        stored = how(text)
    except ValueError as error:
        raise invalid(path, str(error)) from error
    if len(stored) > length_max:
        raise invalid(path, f"at most {length_max} characters")
    return stored


def as_json(value: object) -> str:
    """Return a struct as the JSON text that a `::text::jsonb` parameter takes."""
    return msgspec.json.encode(value).decode()


def stored_document(document: msgspec.Raw | UnsetType, path: str, bytes_max: int) -> str | None:
    """
    Return a document as the JSON text that is stored, every number as it came; None where none was given.

    Raises:
        InvalidInputError: it is no object, or the judge of values has something against it.
    """
    if isinstance(document, UnsetType):
        return None
    text = bytes(document).decode()  # the body that it stood in was valid UTF-8
    wrong = wrong_document(text, bytes_max=bytes_max)
    if wrong is None and not text.startswith("{"):
        wrong = "Expected a JSON object"
    if wrong is not None:
        raise invalid(path, wrong)
    return text


def shown_as(stored: Any, kind: Any, *, strict: bool = True) -> Any:  # noqa: ANN401  it may be anything
    """
    Return a column of stored JSON as `kind` for a reply; as it stands, where a hand or an older release left
    another. Not `strict`: texts become the numbers that they say.

    For readers alone, and for the column, never for the row around it, which is what it says that it is: what
    is shown in another shape is better than a page that fails for everybody.
    """
    try:
        return msgspec.convert(stored, kind, strict=strict)
    except msgspec.ValidationError:
        log.warning("stored_in_another_shape", kind=getattr(kind, "__name__", str(kind)))
        return stored


def computed_as(stored: Any, kind: Any, what: str, *, strict: bool = True) -> Any:  # noqa: ANN401  it may be anything
    """
    Return a column of stored JSON as `kind` for whoever computes with it.

    Args:
        stored: the column.
        kind: what it has to be.
        what: it is, for who is told: "the key".
        strict: or texts become the numbers that they say.

    Raises:
        StoredSpoiltError: a hand or an older release has left another shape.
    """
    try:
        return msgspec.convert(stored, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise StoredSpoiltError(f"What is stored of {what} cannot be read; nothing was changed.") from error


def decode_body(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """
    Return a body as the decoder's type: nothing in it is a text that PostgreSQL cannot store.

    Raises:
        MalformedError: it is no JSON, or not UTF-8.
        InvalidInputError: a value is missing or not allowed, or a text holds a NUL; the path is named.
    """
    decoded = decode(body, decoder)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:  # where no type looked: in a document, or in what is not read
        raise MalformedError("The body is not UTF-8.") from error
    if holds_nul(text):
        raise invalid(path_of_nul(text), "Expected a text without NUL characters")
    return decoded


async def read_bytes(request: web.Request) -> bytes:
    """
    Return the body, decompressed once however often it is asked for, and counted for its sender's account: a
    few kilobytes may unpack to megabytes, which take everybody's time.

    Raises:
        DomainError: it cannot be read, as `kernel.http.bodies.read_body` says.
        RateLimitedError: the account has sent too much.
    """
    body = request.get(_BODY)
    if body is None:
        settings = request.app[SETTINGS]
        try:
            body = await read_body(request, settings)
        except (TooLargeError, MalformedError):
            weigh(request, settings.decoded_bytes_max)
            raise
        weigh(request, len(body))
        request[_BODY] = body
    return body


def body_of(request: web.Request) -> bytes:
    """Return the body that `read_bytes` has read."""
    return request[_BODY]


def uuid_in_path(request: web.Request, name: str) -> UUID:
    """Return a UUID of the path; a malformed one is as unknown as any other (404)."""
    text = request.match_info[name]
    try:
        if len(text) == _UUID_LENGTH:
            return UUID(text)
    except ValueError:
        pass
    raise NotFoundError("There is nothing under this id: expected a UUID, as replies have it.")


def number_in_path(request: web.Request, name: str, number_max: int) -> int:
    """Return a number of the path, 1 to `number_max`; a malformed one is as unknown as any other (404)."""
    text = request.match_info[name]
    if text.isascii() and text.isdigit() and len(text) <= len(str(number_max)):
        number = int(text)
        if 0 < number <= number_max:
            return number
    raise NotFoundError("There is nothing under this number: expected a whole one, as replies have it.")


def session_id_in_path(request: web.Request) -> int:
    """Return the proctor session's number of the path; a malformed one is unknown (404)."""
    return number_in_path(request, "id", SESSION_ID_MAX)


def about(request: web.Request, subject_id: UUID) -> None:
    """Say whom the reply is about, where the path does not: the view that it leaves names them."""
    request[SUBJECT] = subject_id
