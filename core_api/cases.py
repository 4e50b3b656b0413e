"""
Routes of use cases: what comes in and goes out is read from the use case's own signature, so that an endpoint
is said once.

    case(
        "GET /teacher/exams", exams.list_visible, Action.exam_read, name="list_exams", shows=NOBODY,
        says="List the exams that the caller made or was granted.",
    )

A parameter is known by its name. `conn` is borrowed for the caller, `pool` is where to borrow; `actor` is the
caller, `command` the body and `query` the query string, as their types; `now` is the time; `settings`,
`revocations` and the like are the process's; `given` holds constants; any other one stands in the path. What
comes back is the reply: None is a 204, `(reply, created)` a 201 or a 200, `(rows, paging)` an envelope. What
its docstring says that it raises stands in the document.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial, reduce
from inspect import Parameter, get_annotations, signature
from operator import or_
from typing import Any, Final, TypedDict, Unpack, get_args, get_origin
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from core_api.actors import KEYRING, LAUNCH_KEYRING, actor_of, origin_of
from core_api.database import POOL, connection
from core_api.wire import (
    SEQUENCE_63_MAX,
    Envelope,
    Paging,
    about,
    decode_body,
    number_in_path,
    read_bytes,
    session_id_in_path,
    uuid_in_path,
)
from kernel.access import Action
from kernel.events import LANGUAGES
from kernel.http.fields import asked_language
from kernel.http.origins import CLAIMS, ingest_url
from kernel.http.refusals import raised
from kernel.http.web import (
    NUMBERED,
    SETTINGS,
    STOPS,
    Retry,
    Route,
    Shows,
    address_of,
    decode_query,
    send_json,
)
from kernel.revocation import REVOCATIONS

UseCase = Callable[..., Awaitable[Any]]
Part = Callable[[web.Request], Any]
Said = str | Callable[[Any], str]  # what stands beside the data, or what says it of them

PROVIDED: Final[Mapping[str, Part]] = {
    "actor": actor_of,
    "now": lambda _: datetime.now(UTC),
    "pool": lambda request: request.app[POOL],
    "settings": lambda request: request.app[SETTINGS],
    "revocations": lambda request: request.app[REVOCATIONS],
    "keyring": lambda request: request.app[KEYRING],
    "launch_keyring": lambda request: request.app[LAUNCH_KEYRING],
    "claims": lambda request: request[CLAIMS],
    "ingest_url": lambda request: ingest_url(request.app[SETTINGS].ingest_url, request),
    "address": address_of,
    "origin": origin_of,
    "language": lambda request: asked_language(request.headers.getall("Accept-Language", ()), LANGUAGES),
}
_ENVELOPE: Final[Any] = Envelope  # of a type that is known when it runs
# Under which the document lists a path, by whom the path is for.
_TAGS: Final[Mapping[str, str]] = {
    "admin": "Admins",
    "auth": "Authentication",
    "ledger": "Ledger",
    "me": "Authentication",
    "observer": "Observers",
    "proctor": "Proctoring",
    "student": "Candidates",
    "teacher": "Teachers",
}
_SEGMENT: Final = re.compile(r"\{(\w+)\}")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Special(TypedDict, total=False):
    """What a row of `kernel.http.web.Route` may say beside what follows from its use case: see there."""

    also_bare: bool
    shows: Shows | None
    retry: Retry
    reads: tuple[str, ...]
    requires: tuple[str, ...]
    sends: tuple[str, ...]
    deprecated: bool


def case(
    endpoint: str,
    use_case: UseCase,
    action: Action | None,
    *,
    name: str,
    says: str,
    tag: str | None = None,
    status: int = 200,
    given: Mapping[str, Any] | None = None,
    parts: Mapping[str, Part] | None = None,
    reply: Any = None,  # noqa: ANN401  a type, of any kind
    envelope: bool = False,
    message: Said | None = None,
    person: Callable[[Any], UUID | None] | None = None,
    bodiless: bool = False,
    stops: bool = False,
    **special: Unpack[Special],
) -> Route:
    """
    Return the route of a use case.

    Args:
        endpoint: method and path below /api; `{exam_id}` or `{examId}` is the parameter `exam_id`, `{id}` is
            `session_id`, `…_seq` a client's own number, what is `NUMBERED` one of ours.
        use_case: see above for its parameters and what it returns.
        action: of the access table; None where no token is needed.
        name: of the operation, which clients that are made from the document call: a verb first, for ever.
        says: what it does, for who calls it.
        tag: under which the document lists it, where the path's beginning does not say.
        status: of success, where the use case does not decide that.
        given: further parameters' values.
        parts: what reads further parameters from a request, by name.
        reply: the type of the reply, where the use case's annotation does not say it.
        envelope: whether the reply goes as `data`, as on proctor routes (spec.md, decision 4).
        message: beside the data, or what says it of them.
        person: whom the reply is about, where the path does not say; None: several, or nobody.
        bodiless: whether no body at all is taken for `{}`.
        stops: whether it is cancelled when its client leaves: it changes nothing, and may take long.
        special: what else is true of this route that does not follow from the above.
    """
    method, _, path = endpoint.partition(" ")
    hints = get_annotations(use_case)
    call = _Call.of(use_case, path, given or {}, {**PROVIDED, **(parts or {})}, bodiless=bodiless)
    answer = _Answer.of(hints["return"], reply, status=status, envelope=envelope, message=message)

    async def handle(request: web.Request) -> web.StreamResponse:
        request[STOPS] = stops
        result = await call.made(request)
        if person is not None and (whom := person(result)) is not None:
            about(request, whom)
        return answer.response(result)

    handle.__name__, handle.__doc__ = name, says
    return Route(
        method=method,
        path=path,
        name=name,
        handler=handle,
        action=action,
        tag=tag or _TAGS[path.split("/")[1]],
        reply=answer.reply,
        body=hints.get("command"),
        query=hints.get("query"),
        status=answer.status,
        also_status=(200,) if answer.creates else (),
        bodiless=bodiless,
        refuses=raised(use_case),
        **special,
    )


bare: Final = partial(case, also_bare=True)  # a route that is served without /api, too


class _Call(msgspec.Struct, frozen=True, kw_only=True):
    """
    How a request becomes a call of a use case: `read` are the parts that the address says, `had` what the
    process has; `decoder` of the body, None where the use case takes none.
    """

    use_case: UseCase
    read: Mapping[str, Part]
    had: Mapping[str, Part]
    constants: Mapping[str, Any]
    decoder: msgspec.json.Decoder[Any] | None
    bodiless: bool
    on_connection: bool

    @classmethod
    def of(
        cls,
        use_case: UseCase,
        path: str,
        constants: Mapping[str, Any],
        provided: Mapping[str, Part],
        *,
        bodiless: bool,
    ) -> "_Call":
        """Return what a use case's signature asks for; raises TypeError where it asks for anything else."""
        hints, taken = get_annotations(use_case), signature(use_case).parameters
        asked = _asked(path, hints)
        read = {each: asked[each] for each in taken if each in asked and each not in constants}
        had = {each: provided[each] for each in taken if each in provided}
        _check(use_case, {"conn", "command", *read, *had, *constants})
        return cls(
            use_case=use_case,
            read=read,
            had=had,
            constants=constants,
            decoder=msgspec.json.Decoder(hints["command"]) if "command" in taken else None,
            bodiless=bodiless,
            on_connection="conn" in taken,
        )

    async def made(self, request: web.Request) -> Any:  # noqa: ANN401  of the annotated type
        """Call the use case; whoever waited for a connection acts as of when they have it."""
        values = {each: part(request) for each, part in self.read.items()}
        if self.decoder is not None:
            body = await read_bytes(request)
            values["command"] = decode_body(body or b"{}" if self.bodiless else body, self.decoder)
        if not self.on_connection:
            return await self.use_case(**values, **self._as_of_now(request), **self.constants)
        async with connection(request.app[POOL], actor_of(request)) as conn:
            return await self.use_case(conn=conn, **values, **self._as_of_now(request), **self.constants)

    def _as_of_now(self, request: web.Request) -> dict[str, Any]:
        return {each: part(request) for each, part in self.had.items()}


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How what a use case returns becomes a reply of type `reply`, None for a reply without a body."""

    reply: Any
    status: int
    creates: bool
    pages: bool
    envelope: bool
    message: Said | UnsetType

    @classmethod
    def of(
        cls,
        returned: Any,  # noqa: ANN401  a type, as `reply` is
        reply: Any,  # noqa: ANN401
        *,
        status: int,
        envelope: bool,
        message: Said | None,
    ) -> "_Answer":
        """Return what a use case's annotation says; `reply` is the type where it does not say it."""
        second = get_args(returned)[1:] if get_origin(returned) is tuple else ()
        creates, pages = second == (bool,), second == (Paging,)
        kind = reply or (get_args(returned)[0] if second else returned)
        return cls(
            reply=_enveloped(kind) if envelope or pages else kind,
            status=201 if creates else 204 if kind is None else status,
            creates=creates,
            pages=pages,
            envelope=envelope or pages,
            message=UNSET if message is None else message,
        )

    def response(self, result: Any) -> web.Response:  # noqa: ANN401  of the annotated type
        """Return the reply."""
        if self.reply is None:
            return web.Response(status=self.status)
        status, paging = self.status, UNSET
        if self.creates:
            result, created = result
            status = self.status if created else 200
        if self.pages:
            result, paging = result
        if self.envelope:
            message = self.message(result) if callable(self.message) else self.message
            result = Envelope(data=result, message=message, paging=paging)
        return send_json(result, status=status)


def _enveloped(kind: Any) -> Any:  # noqa: ANN401  types
    """Return the type of an envelope; one for each struct where the data is one of several."""
    structs = [each for each in get_args(kind) if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    return reduce(or_, (_ENVELOPE[each] for each in structs)) if len(structs) > 1 else _ENVELOPE[kind]


def _check(use_case: UseCase, known: set[str]) -> None:
    """Raise TypeError where a use case asks for what no part of a request is called."""
    for name, parameter in signature(use_case).parameters.items():
        if name not in known and parameter.default is Parameter.empty:
            message = f"{use_case.__qualname__}: no part of a request is called {name}"
            raise TypeError(message)


def _asked(path: str, hints: Mapping[str, Any]) -> dict[str, Part]:
    """Return what reads each part of an address, by the name of its parameter."""
    asked: dict[str, Part] = {
        _HUMP.sub("_", segment).lower(): partial(number_in_path, name=segment, number_max=SEQUENCE_63_MAX)
        if segment.endswith("_seq") or segment in NUMBERED
        else partial(uuid_in_path, name=segment)
        for segment in _SEGMENT.findall(path)
    }
    if asked.pop("id", None):
        asked["session_id"] = session_id_in_path
    if "query" in hints:
        asked["query"] = partial(decode_query, query=hints["query"])
    return asked
