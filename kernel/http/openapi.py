"""
The OpenAPI 3.1 document of a list of routes: the same list that the router and the access test read (spec.md
X-3).

Schemas come from the msgspec types of the routes, descriptions from the handlers' docstrings and the types'
`Meta`, who may call from the access table.
"""

import inspect
import re
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec

from kernel.access import ACCESS
from kernel.http.web import API_PREFIX, Route

Json = dict[str, Any]

SECURITY: Final = "bearerAuth"
BARE: Final = "The same without /api"
PROBLEM_TYPE: Final = "application/problem+json"
_REF: Final = "#/components/schemas/"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_MODULE: Final = re.compile(r"(?:[a-z_]+\.)+(?=[A-Z])")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One invalid value: where it stands and what is wrong with it."""

    path: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """RFC 9457 problem details; `code` is stable, `requestId` finds the request in the logs."""

    type: str
    title: str
    status: int
    detail: str
    success: bool
    code: str
    request_id: str
    errors: list[Fault] | msgspec.UnsetType = msgspec.UNSET


def document(routes: Sequence[Route], *, title: str, version: str) -> Json:
    """
    Return the OpenAPI document of the routes, as JSON values.

    Args:
        routes: every route that is mounted; those that answer without the prefix too appear under both paths.
        title: of the API.
        version: of the API.
    """
    kinds = [*dict.fromkeys(kind for route in routes for kind in _types(route)), Problem]
    variants = [*dict.fromkeys(variant for kind in kinds for variant in _variants(kind))]
    found, components = msgspec.json.schema_components(variants, ref_template=_REF + "{name}")
    by_variant = dict(zip(variants, found, strict=True))
    schemas = {kind: _any_of([by_variant[variant] for variant in _variants(kind)]) for kind in kinds}
    paths: dict[str, Json] = {}
    for route in routes:
        operation = _operation(route, schemas, components)
        name = getattr(route.handler, "__name__", route.path)
        bare = [(route.path, BARE, f"{name}_2")] if route.also_bare else []
        for path, tag, operation_id in [(API_PREFIX + route.path, route.tag, name), *bare]:
            entry = operation | {"tags": [tag], "operationId": operation_id}
            paths.setdefault(path, {})[route.method.lower()] = entry
    for name in {_name(schemas[route.query]) for route in routes if route.query is not None}:
        del components[name]  # each of its fields is a parameter
    return _tidied(
        {
            "openapi": "3.1.0",
            "info": {"title": title, "version": version},
            "servers": [{"url": "/"}],
            "tags": [{"name": tag} for tag in dict.fromkeys([*(route.tag for route in routes), BARE])],
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {SECURITY: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            },
        }
    )


def _types(route: Route) -> Iterable[Any]:
    return (kind for kind in (route.body, route.query, route.reply) if kind is not None)


def _variants(kind: object) -> tuple[Any, ...]:
    """Return the members of a union: msgspec takes structs without a tag one by one only."""
    return get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)


def _any_of(schemas: Sequence[Json]) -> Json:
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}


def _name(schema: Json) -> str:
    name: str = schema["$ref"].removeprefix(_REF)
    return name


def _operation(route: Route, schemas: dict[Any, Json], components: Json) -> Json:
    text = inspect.getdoc(route.handler) or route.path
    operation: Json = {
        "summary": re.split(r"(?<=[.:;])\s", text, maxsplit=1)[0].rstrip(".:;"),
        "description": f"{text}\n\n{_who(route)}",
        "parameters": [_path_parameter(name) for name in _PARAMETER.findall(route.path)],
        "responses": {str(status): _reply(route, schemas) for status in (route.status, *route.also_status)},
    }
    operation["responses"]["default"] = {
        "description": "Any refusal or failure.",
        "content": {PROBLEM_TYPE: {"schema": schemas[Problem]}},
    }
    if route.query is not None:
        operation["parameters"] += _query_parameters(components[_name(schemas[route.query])])
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[route.body]}},
        }
    operation["security"] = [] if route.action is None else [{SECURITY: []}]
    return operation


def _who(route: Route) -> str:
    if route.action is None:
        return "Needs no token."
    return "For " + ", ".join(f"{role} ({scope})" for role, scope in ACCESS[route.action].items()) + "."


def _reply(route: Route, schemas: dict[Any, Json]) -> Json:
    reply: Json = {"description": "Done."}
    if route.reply is not None:
        reply["content"] = {"application/json": {"schema": schemas[route.reply]}}
    return reply


def _path_parameter(name: str) -> Json:
    """
    Describe a path parameter by its name: `…_id` and `…Id` are UUIDs, `id` is a proctor session's number.
    """
    if name.endswith(("_id", "Id")):
        schema: Json = {"type": "string", "format": "uuid"}
        description = f"The {name.removesuffix('_id').removesuffix('Id')}'s UUID."
    elif name == "id":
        schema, description = {"type": "integer", "minimum": 1}, "The number that the object was given."
    else:
        schema, description = {"type": "string"}, f"The {name}."
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def _query_parameters(struct: Json) -> list[Json]:
    return [
        {
            "name": name,
            "in": "query",
            "required": name in struct.get("required", []),
            **_described(schema),
        }
        for name, schema in struct["properties"].items()
    ]


def _described(schema: Json) -> Json:
    """Return a parameter's schema and description; leaving a parameter out is how it is null."""
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    plain = dict(options[0] if len(options) == 1 else schema)
    description = plain.pop("description", None)
    return {"schema": plain} | ({} if description is None else {"description": description})


def _tidied(value: Json) -> Json:
    """
    Give the components of generic types readable names: `Envelope[list[core_api.x.Y]]` is
    `EnvelopeOfListOfY`.
    """
    schemas = value["components"]["schemas"]
    renamed = {
        name: "Of".join(
            part[:1].upper() + part[1:] for part in re.findall(r"\w+", _MODULE.sub("", schema["title"]))
        )
        for name, schema in schemas.items()
        if "[" in schema.get("title", "")
    }
    text = msgspec.json.encode(value).decode()
    for name, better in renamed.items():
        text = text.replace(f'"{_REF}{name}"', f'"{_REF}{better}"').replace(f'"{name}":', f'"{better}":')
        text = text.replace(msgspec.json.encode(schemas[name]["title"]).decode(), f'"{better}"')
    tidied: Json = msgspec.json.decode(text)
    return tidied
