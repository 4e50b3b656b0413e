"""
JSON schemas of our types, as the public document has them.

msgspec makes them; what it cannot say is said here: names of generic types, what the numbers of enumerations
mean, which members of a reply are always there, and the lists of names that no type holds.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, IntEnum
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec
import msgspec.inspect as mi
from msgspec import NODEFAULT

from kernel.events import OTHER_NAME_FORM, SCHEMAS, SEVERITY_BY_NAME, EventType, Severity
from kernel.http.headers import CODINGS
from kernel.http.refusals import tree

Json = dict[str, Any]

_MODULE: Final = re.compile(r"(?:[a-z_]+\.)+(?=[A-Z])")
_VARNAMES: Final = "x-enum-varnames"
_TEXT: Final = {"type": "string"}
_MEANINGS: Final = "x-enum-descriptions"


class Schemas(msgspec.Struct, frozen=True):
    """The schema of each type, most of them references into `components`."""

    by_type: dict[Any, Json]
    components: dict[str, Json]

    def fields_of(self, kind: object) -> Json:
        """Return the component of a struct, which is no component any more: its fields go on alone."""
        reference: str = self.by_type[kind]["$ref"]
        return self.components.pop(reference.removeprefix(SCHEMAS))


def schemas_of(bodies: Sequence[Any], queries: Sequence[Any], replies: Sequence[Any]) -> Schemas:
    """
    Return the schemas of types.

    Args:
        bodies: of requests. What a member is that is left out stands in its description: generators make
            clients send a `default` always, or ask for it.
        queries: of requests.
        replies: a member with a default is always there, but for what may be UNSET.
    """
    whole = [*bodies, *queries, *replies]
    sent, infos = _infos(bodies), _infos(whole)
    kinds = [*dict.fromkeys(each for kind in whole for each in _variants(kind))]
    found, components = msgspec.json.schema_components([*kinds, *infos], ref_template=SCHEMAS + "{name}")
    by_type = dict(zip([*kinds, *infos], found, strict=True))
    for kind, info in infos.items():
        schema = components[by_type[kind]["$ref"].removeprefix(SCHEMAS)]
        if isinstance(info, mi.EnumType):
            schema |= _enumeration(info.cls)
        elif isinstance(info, mi.StructType):
            for field in info.fields:
                member = _dated(schema["properties"][field.encode_name], field.type)
                if kind not in queries:
                    member = _without_default(member, told=kind in sent)
                schema["properties"][field.encode_name] = member
            if kind not in sent and kind not in queries:
                schema["required"] = _always_there(info)
    names = {name: _readable(schema.get("title", name)) for name, schema in components.items()}
    tidied = {
        names[name]: _tidied(schema, names) | {"title": names[name]} for name, schema in components.items()
    }
    by_type |= {kind: _any_of([by_type[each] for each in _variants(kind)]) for kind in whole}
    return Schemas(
        by_type={kind: _tidied(schema, names) for kind, schema in by_type.items()},
        components=tidied | _listed(),
    )


def _infos(kinds: Iterable[Any]) -> dict[Any, mi.Type]:
    """Return every struct and enumeration that types are made of."""
    found: dict[Any, mi.Type] = {}

    def look(info: mi.Type) -> None:
        if isinstance(info, mi.StructType | mi.EnumType):
            if info.cls in found:
                return
            found[info.cls] = info
        for part in _parts(info):
            look(part)

    for info in mi.multi_type_info([each for kind in kinds for each in _variants(kind)]):
        look(info)
    return found


def _parts(info: mi.Type) -> Sequence[mi.Type]:
    """Return the types that a type is made of."""
    match info:
        case mi.StructType(fields=fields):
            return [field.type for field in fields]
        case mi.Metadata(type=part) | mi.CollectionType(item_type=part):
            return [part]
        case mi.UnionType(types=parts) | mi.TupleType(item_types=parts):
            return parts
        case mi.DictType(key_type=key, value_type=value):
            return [key, value]
        case _:
            return ()


def _dated(schema: Json, info: mi.Type) -> Json:
    """Return the schema of a type where every moment is one: msgspec says so only of some."""
    match info:
        case mi.DateTimeType():
            return schema | {"format": "date-time"}
        case mi.Metadata(type=part):
            return _dated(schema, part)
        case mi.CollectionType(item_type=part) if "items" in schema:
            return schema | {"items": _dated(schema["items"], part)}
        case mi.UnionType(types=parts) if any(isinstance(part, mi.DateTimeType) for part in parts):
            options = [_dated(each, mi.DateTimeType()) if each == _TEXT else each for each in schema["anyOf"]]
            return schema | {"anyOf": options}
        case _:
            return schema


def _without_default(member: Json, *, told: bool) -> Json:
    """Return a member's schema without its default; its description tells it where it matters."""
    if "default" not in member:
        return member
    schema = {name: each for name, each in member.items() if name != "default"}
    if told and member["default"] not in (None, [], ()):
        left_out = f"`{msgspec.json.encode(member['default']).decode()}` where it is left out."
        schema["description"] = f"{member.get('description', '')} {left_out}".strip()
    return schema


def _always_there(info: mi.StructType) -> list[str]:
    """Return the members that a reply of the type always has."""
    tag = [] if info.tag_field is None else [info.tag_field]
    if (get_origin(info.cls) or info.cls).__struct_config__.omit_defaults:
        return [*tag, *(field.encode_name for field in info.fields if field.required)]
    return [*tag, *(field.encode_name for field in info.fields if field.required or _has_default(field))]


def _has_default(field: mi.Field) -> bool:
    """Tell whether a field has another default than UNSET."""
    return field.default is not NODEFAULT or field.default_factory is not NODEFAULT


def _variants(kind: object) -> tuple[Any, ...]:
    """Return the members of a union: msgspec takes structs without a tag one by one only."""
    return get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)


def _any_of(schemas: Sequence[Json]) -> Json:
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}


def _enumeration(kind: type[Enum]) -> Json:
    """Return what the schema of an enumeration says beside its doc: what its members are called."""
    numbers = issubclass(kind, IntEnum)
    members = sorted(kind, key=lambda member: member.value)
    schema: Json = {
        "type": "integer" if numbers else "string",
        "enum": [member.value for member in members],
        _VARNAMES: [member.name for member in members],
    }
    if numbers:
        meant = ", ".join(f"{member.value} {member.name}" for member in members)
        schema["description"] = f"{(kind.__doc__ or '').strip()}\n\n{meant}."
    return schema


def _listed() -> dict[str, Json]:
    """Return lists of names that no type holds: of event types, of severities, of errors."""
    errors = {error.code: (error.__doc__ or "").strip().split("\n", maxsplit=1)[0] for error in tree()}
    return {
        "EventTypeName": {
            "description": "The names of the event types.",
            "type": "string",
            "enum": [member.name for member in EventType],
        },
        "OtherEventName": {
            "description": "An event type in snake_case (`tab_switched`), or a name for an event of type 0.",
            "type": "string",
            "pattern": f"^{OTHER_NAME_FORM}$",
        },
        "BodyEncoding": {
            "description": "How a body may be compressed.",
            "type": "string",
            "enum": list(CODINGS),
        },
        "SeverityLabel": {
            "description": "The labels of the severities 0 to 5.",
            "type": "string",
            "enum": [member.name for member in Severity],
        },
        "SeverityName": {
            "description": "A severity's label, or `normal` (0), `warning` (2) or `critical` (4).",
            "type": "string",
            "enum": [*(member.name for member in Severity), *SEVERITY_BY_NAME],
            _VARNAMES: [*(member.name for member in Severity), *(name + "_" for name in SEVERITY_BY_NAME)],
        },
        "ErrorCode": {
            "description": "What went wrong, for programs; more may come.\n\n"
            + "\n".join(f"- `{code}`: {meaning}" for code, meaning in errors.items()),
            "type": "string",
            "enum": list(errors),
            _MEANINGS: list(errors.values()),
        },
    }


def _readable(title: str) -> str:
    """Return the name of a generic type in words: `Envelope[list[core_api.x.Y]]` is `EnvelopeOfListOfY`."""
    if "[" not in title:
        return title
    return "Of".join(part[:1].upper() + part[1:] for part in re.findall(r"\w+", _MODULE.sub("", title)))


def _tidied(value: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401  JSON is anything
    """
    Return a schema with the readable names in its references. A list of one value is a constant, and what
    stands beside a reference repeats it: neither is understood by every generator of clients.
    """
    match value:
        case {"$ref": str(reference)}:
            kept = {name: each for name, each in value.items() if name in {"description", "default"}}
            return {"$ref": _renamed(reference, names), **kept}
        case dict():
            tidied = {name: _tidied(each, names) for name, each in value.items()}
            if "anyOf" in tidied:
                tidied.pop("type", None)
            match tidied:
                case {"enum": [one], **others}:
                    return others | {"const": one}
            return tidied
        case list():
            return [_tidied(each, names) for each in value]
        case str() if value.startswith(SCHEMAS):
            return _renamed(value, names)
        case _:
            return value


def _renamed(reference: str, names: Mapping[str, str]) -> str:
    name = reference.removeprefix(SCHEMAS)
    return SCHEMAS + names.get(name, name)
