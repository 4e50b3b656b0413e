"""
The OpenAPI 3.1 document of a list of routes: the same list that the router and the access test read (spec.md
X-3).

Schemas come from the msgspec types of the routes (`schemas`), refusals from their form and from what they say
(`refusals`), descriptions from the handlers' docstrings and the types' `Meta`, who may call from the access
table, examples from files. What is the same in many operations stands once, in the components.
"""

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta

from kernel.access import ACCESS
from kernel.detections import RESULT_OF
from kernel.errors import DomainError, InvalidInputError
from kernel.events import SCHEMAS, EventType, Severity
from kernel.http.headers import (
    ACCEPT_ENCODING,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    IN_REPLIES,
    IN_REQUESTS,
    REQUEST_ID,
    RETRY_AFTER,
    VARY,
    WWW_AUTHENTICATE,
    Header,
)
from kernel.http.refusals import Refusal, refusals
from kernel.http.schemas import Json, Schemas, schemas_of
from kernel.http.web import API_PREFIX, NUMBERED, Route

SECURITY: Final = "bearerAuth"
TICKET: Final = "ticket"
BODILESS: Final = frozenset({101, 204, 304})
EVERYWHERE: Final = (REQUEST_ID, CACHE_CONTROL, CONTENT_ENCODING, VARY)  # headers of any reply with a body
OF_STATUS: Final = {401: WWW_AUTHENTICATE, 415: ACCEPT_ENCODING}
NAME_LENGTH_MAX: Final = 60  # of a response that several operations share
PROBLEM_TYPE: Final = "application/problem+json"
FILE_TYPE: Final = "application/octet-stream"
FILE: Final = {"type": "string", "format": "binary"}
_ID: Final = "01929a3e-7c4b-7d2a-9f00-5c6f0a1b2c3d"  # in examples
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_DONE: Final = {
    101: "From here on the connection speaks WebSocket.",
    200: "It is done; this is the reply.",
    201: "It was made; this is the reply.",
    202: "It was taken; this is the reply.",
    204: "It is done. There is no body.",
    304: "The client's copy is the newest. There is no body.",
}

Refused = tuple[tuple[Refusal, ...], tuple[str, ...]]  # errors of one status, and the headers that they have


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One invalid value: where it stands and what is wrong with it."""

    path: Annotated[
        str,
        Meta(
            description="Where it stands in the request that was sent: `severity`, `events[3].metadataJson` "
            "or `[3].data` of its body, a parameter of its query, a header; `body` for a whole body. What is "
            "missing is told at the object that lacks it."
        ),
    ]
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    RFC 9457 problem details; `code` is stable, `requestId` finds the request in the logs.

    A request of several parts that is refused because each of them is has the result of each in `results`, as
    its reply would, and `ack` where clientSequences were settled.
    """

    type: str
    title: str
    status: int
    detail: str
    success: Literal[False]
    code: Annotated[str, Meta(extra_json_schema={"$ref": SCHEMAS + "ErrorCode"})]
    request_id: str
    errors: list[Fault] | msgspec.UnsetType = msgspec.UNSET
    results: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    ack: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request and its reply: what stands in path, query and headers, the bodies, the status."""

    summary: str = "An example."
    path: dict[str, Any] = {}
    query: dict[str, Any] = {}
    headers: dict[str, str] = {}
    request: Any = msgspec.UNSET
    status: int = 200
    reply: Any = msgspec.UNSET


Examples = Mapping[str, Mapping[str, Example]]  # by the operation's name and a word that tells them apart


def document(routes: Sequence[Route], info: Json, tags: Mapping[str, str], examples: Examples) -> Json:
    """
    Return the OpenAPI document of the routes, as JSON values.

    Args:
        routes: every route that is mounted. Addresses without the prefix answer too and stand in no document.
        info: its title, version and description.
        tags: what is said of each tag, in the order in which they are shown.
        examples: of the operations.
    """
    schemas = schemas_of(
        bodies=[
            *RESULT_OF.values(),
            *(each for route in routes for each in (route.body, route.hears) if each is not None),
        ],
        queries=[route.query for route in routes if route.query is not None],
        replies=[
            *(Problem, EventType, Severity),
            *(each for route in routes for each in (route.reply, route.tells) if each is not None),
        ],
    )
    queries = {kind: schemas.fields_of(kind) for kind in {route.query for route in routes} - {None}}
    shared = _response_names(routes)
    paths: dict[str, Json] = {}
    for route in routes:
        operation = _Operation(route, schemas, queries.get(route.query), examples.get(route.name, {}), shared)
        paths.setdefault(API_PREFIX + route.path, {})[route.method.lower()] = operation.whole()
    whole = {
        "openapi": "3.1.0",
        "info": info,
        "servers": [{"url": "/", "description": "Where this document comes from."}],
        "tags": [{"name": name, "description": said} for name, said in tags.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "parameters": {name: _in_request(name, header) for name, header in IN_REQUESTS.items()},
            "headers": {name: _in_reply(header) for name, header in IN_REPLIES.items()},
            "responses": {
                name: _refused(*each, schemas) for each, name in sorted(shared.items(), key=itemgetter(1))
            },
            "securitySchemes": {
                SECURITY: {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `access_token` that signing in, or a launch link, gives.",
                },
                TICKET: {
                    "type": "apiKey",
                    "in": "query",
                    "name": "ticket",
                    "description": "A ticket for this very address, where no header can be set.",
                },
            },
        },
    }
    values: Json = msgspec.json.decode(msgspec.json.encode(whole))
    return values


class _Operation(msgspec.Struct, frozen=True):
    """One operation on its way into the document."""

    route: Route
    schemas: Schemas
    query: Json | None
    examples: Mapping[str, Example]
    shared: Mapping[Refused, str]

    def whole(self) -> Json:
        route = self.route
        text = inspect.getdoc(route.handler) or route.path
        successes = {str(status): self._reply(status) for status in (route.status, *route.also_status)}
        refused = {
            str(status): {"$ref": f"#/components/responses/{self.shared[some, route.always_sends]}"}
            for status, some in refusals(route).items()
        }
        operation: Json = {
            "operationId": route.name,
            "tags": [route.tag],
            "summary": re.split(r"(?<=[.:;])\s", text, maxsplit=1)[0].rstrip(".:;"),
            "description": "\n\n".join([text, *_messages(route), *_own_refusals(route), _who(route)]),
            "parameters": [*self._in_path(), *self._in_query(), *_in_headers(route)],
            "responses": dict(sorted((successes | refused).items())),
            "security": _security(route),
        }
        if route.body is not None:
            bodies = {name: each.request for name, each in self.examples.items()}
            content = self._content(route.body, "application/json", bodies)
            operation["requestBody"] = {"required": not route.bodiless, "content": content}
        if route.takes_file:
            # examples are base64 of the bytes
            operation["requestBody"] = {"required": True, "content": {FILE_TYPE: {"schema": FILE}}}
        if route.deprecated:
            operation["deprecated"] = True
        if route.tells is not None:
            # OpenAPI 3.1 has no field for them: programs find the schemas here, people in the description.
            ways = (("toClient", route.tells), ("fromClient", route.hears))
            operation["x-messages"] = {way: self.schemas.by_type[kind] for way, kind in ways if kind}
        return operation

    def _reply(self, status: int) -> Json:
        route = self.route
        reply: Json = {
            "description": _DONE[status],
            "headers": {
                name: _header(name)
                for name in (*EVERYWHERE, *route.sends, *route.always_sends)
                if name != CONTENT_ENCODING or status not in BODILESS
            },
        }
        if route.reply is not None and status not in BODILESS:
            told = {name: each.reply for name, each in self.examples.items() if each.status == status}
            reply["content"] = self._content(route.reply, route.media_type, told)
        return reply

    def _content(self, kind: object, media_type: str, values: Mapping[str, Any]) -> Json:
        shown = {
            name: {"summary": self.examples[name].summary, "value": value}
            for name, value in values.items()
            if value is not msgspec.UNSET
        }
        schema = FILE if media_type == FILE_TYPE else self.schemas.by_type[kind]
        return {media_type: {"schema": schema} | ({"examples": shown} if shown else {})}

    def _in_path(self) -> list[Json]:
        return [
            _path_parameter(name) | self._shown_for(name, "path")
            for name in _PARAMETER.findall(self.route.path)
        ]

    def _in_query(self) -> list[Json]:
        if self.query is None:
            return []
        required = self.query.get("required", [])
        return [
            {"name": name, "in": "query", "required": name in required}
            | _described(schema)
            | self._shown_for(name, "query")
            for name, schema in self.query["properties"].items()
        ]

    def _shown_for(self, name: str, where: Literal["path", "query"]) -> Json:
        given = [
            getattr(each, where)[name] for each in self.examples.values() if name in getattr(each, where)
        ]
        return {"example": given[0]} if given else {}


def _own_refusals(route: Route) -> Iterable[str]:
    """Say when a route refuses what its form does not tell."""
    told = [f"- {each.status} `{each.code}`: {when}" for each, when in route.refuses.items() if when]
    return ["It refuses:\n\n" + "\n".join(told)] if told else []


def _messages(route: Route) -> Iterable[str]:
    """Say what goes over a connection that stays: the name of each message, its schema, and when it comes."""
    if route.tells is not None:
        told = {f"`{each.__struct_config__.tag}` (`{each.__name__}`)": each for each in get_args(route.tells)}
        yield "Messages:\n\n" + "\n".join(f"- {name}: {inspect.getdoc(each)}" for name, each in told.items())
    if route.hears is not None:
        yield f"The client sends `{route.hears.__name__}`: {inspect.getdoc(route.hears)}"


def _security(route: Route) -> list[Json]:
    if route.action is None:
        return []
    return [{SECURITY: []}, {TICKET: []}] if route.ticketed else [{SECURITY: []}]


def _who(route: Route) -> str:
    if route.action is None:
        return "Needs no token."
    return "For " + ", ".join(f"{role} ({scope})" for role, scope in ACCESS[route.action].items()) + "."


def _path_parameter(name: str) -> Json:
    """
    Describe a path parameter by its name: `…_id` and `…Id` are UUIDs but for what is NUMBERED, `id` is a
    proctor session's number, `…_seq` a number of the client's, `type` an event type.
    """
    if name in NUMBERED:
        schema: Json = {"type": "integer", "minimum": 1}
        description = f"The {NUMBERED[name]}'s number."
    elif name.endswith(("_id", "Id")):
        schema = {"type": "string", "format": "uuid"}
        description = f"The {name.removesuffix('_id').removesuffix('Id').replace('_', ' ')}'s UUID."
    elif name == "id":
        schema, description = {"type": "integer", "minimum": 1}, "The proctor session's number."
    elif name.endswith("_seq"):
        schema, description = {"type": "integer", "minimum": 1}, "The number that the client gave it."
    elif name == "type":
        named = ("EventType", "EventTypeName", "OtherEventName")
        schema = {"anyOf": [{"$ref": SCHEMAS + each} for each in named]}
        description = "The event type, by its number or its name."
    else:
        schema, description = {"type": "string"}, f"The {name}."
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def _described(schema: Json) -> Json:
    """Return a parameter's schema and description; leaving a parameter out is how it is null."""
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    plain = dict(options[0] if len(options) == 1 else schema)
    description = plain.pop("description", None)
    if plain.get("default", ...) is None:
        del plain["default"]
    gone = {"deprecated": True} if plain.pop("deprecated", False) else {}
    return {"schema": plain, **gone} | ({} if description is None else {"description": description})


def _in_headers(route: Route) -> Iterable[Json]:
    compressed = (CONTENT_ENCODING,) if route.body is not None and route.action is not None else ()
    yield from (
        {"$ref": f"#/components/parameters/{name}"} for name in (*route.reads, *compressed, REQUEST_ID)
    )
    yield from (_in_request(name, IN_REQUESTS[name]) | {"required": True} for name in route.requires)


def _in_request(name: str, header: Header) -> Json:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": header.description,
        "schema": header.schema,
    }


def _in_reply(header: Header) -> Json:
    return {"description": header.description, "required": not header.may, "schema": header.schema}


def _header(name: str) -> Json:
    return {"$ref": f"#/components/headers/{name}"}


def _response_names(routes: Iterable[Route]) -> dict[Refused, str]:
    """
    Name the responses that stand for errors of one status: after the errors, or where that gets long after
    the first operation that has them and the status; and after a header that only some routes' have.
    """
    names: dict[Refused, str] = {}
    for route in routes:
        beside = "".join(f"With{name.removeprefix('X-').replace('-', '')}" for name in route.always_sends)
        for status, some in refusals(route).items():
            name = "Or".join(_short(error) for error in some) + beside
            if len(name) > NAME_LENGTH_MAX:
                name = f"{route.name.title().replace('_', '')}{status}"
            names.setdefault((some, route.always_sends), name)
    return names


def _short(error: Refusal) -> str:
    return "Internal" if error is DomainError else error.__name__.removesuffix("Error")


def _refused(some: Sequence[Refusal], always: Iterable[str], schemas: Schemas) -> Json:
    """Return the response of some errors of one status: what each code means, and how it looks."""
    headers = [*EVERYWHERE, *always]
    if any(error.says_when for error in some):
        headers.append(RETRY_AFTER)
    if some[0].status in OF_STATUS:
        headers.append(OF_STATUS[some[0].status])
    return {
        "description": "\n\n".join(f"`{error.code}`: {inspect.getdoc(error)}" for error in some),
        "headers": {name: _header(name) for name in headers},
        "content": {
            PROBLEM_TYPE: {
                "schema": schemas.by_type[Problem],
                "examples": {error.code: _problem_of(error) for error in some},
            }
        },
    }


def _problem_of(error: Refusal) -> Json:
    errors = [{"path": "events[0].severity", "message": "Expected 0 to 5, normal, warning or critical"}]
    problem: Json = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": (inspect.getdoc(error) or "").split("\n\n", maxsplit=1)[0].replace("\n", " "),
        "success": False,
        "code": error.code,
        "requestId": _ID,
    }
    if issubclass(error, InvalidInputError):
        problem["errors"] = errors
    return {"summary": error.title, "value": problem}
