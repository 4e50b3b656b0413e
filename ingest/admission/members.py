"""
Objects read member by member: every fault is named, and every member that is not known. Nothing here is fast.
"""

from types import UnionType
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ingest.admission.forms import Fault
from kernel.errors import InvalidInputError
from kernel.http.web import decode

T = TypeVar("T", bound=Struct)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])


class Found(Struct, Generic[T], frozen=True, gc=False):
    """
    An object as it was read: whole, unless something is wrong; the members that are right; the names of the
    others, and how many colons stand outside of those that are known: as many as the others are, or more.
    """

    whole: T | None
    right: dict[str, Any]
    faults: list[Fault]
    unknown: list[str]
    others: int


class Reader(Generic[T]):
    """Reads objects of one kind member by member."""

    def __init__(self, kind: type[T]) -> None:
        """Prepare a decoder for each member."""
        fields = msgspec.structs.fields(kind)
        self._kind = kind
        self._members = [
            (field.encode_name, field.name, msgspec.json.Decoder(_without_unset(field.type)), field.required)
            for field in fields
        ]
        self._names = frozenset(field.encode_name for field in fields)
        known = [(field.name, Raw, UNSET) for field in fields]
        spelled = {field.name: field.encode_name for field in fields}
        self._known = msgspec.json.Decoder(msgspec.defstruct("Known", known, rename=spelled))

    def read(self, raw: bytes | Raw, place: int | None, *, room: int) -> Found[T]:
        """
        Return what an object holds; `raw` is valid UTF-8.

        Members that nobody knows are looked at one by one where there can be at most `room` of them, each
        time that one stands there counted: an object of 4 MiB can have 400,000, all of one name.

        Raises:
            MalformedError: it is not JSON.
        """
        try:
            given = self._of_known(raw)
        except InvalidInputError as error:
            messages = [each["message"] for each in error.errors or []]
            return Found(None, {}, [Fault(place, "", each) for each in messages], [], 0)
        right: dict[str, Any] = {}
        faults: list[Fault] = []
        for name, member, decoder, required in self._members:
            if name in given:
                try:
                    right[member] = decoder.decode(given[name])
                except msgspec.ValidationError as error:
                    faults.append(Fault(place, member, str(error).partition(" - at `")[0]))
                except (msgspec.DecodeError, RecursionError):  # JSON, and yet: a number that no double holds
                    faults.append(Fault(place, member, "Expected a value that can be read"))
            elif required:
                faults.append(Fault(place, "", f"Object missing required field `{name}`"))
        others = _colons(raw) - sum(1 + _colons(each) for each in given.values())
        named = decode(raw, _MEMBERS) if 0 < others <= room else ()
        unknown = [name for name in named if name not in self._names]
        return Found(None if faults else self._kind(**right), right, faults, unknown, others)

    def _of_known(self, raw: bytes | Raw) -> dict[str, Raw]:
        """Return the members that the kind knows; raises as `decode` does."""
        known = decode(raw, self._known)
        found = ((name, getattr(known, member)) for name, member, *_ in self._members)
        return {name: value for name, value in found if value is not UNSET}


def _colons(raw: bytes | Raw) -> int:
    """Return how many members JSON text can hold."""
    return bytes(raw).count(b":")


def _without_unset(kind: Any) -> Any:  # noqa: ANN401  a type is anything
    """Return the type of a member that is there."""
    if get_origin(kind) not in {Union, UnionType}:
        return kind
    return Union[tuple(each for each in get_args(kind) if each is not UnsetType)]  # noqa: UP007  of a tuple
