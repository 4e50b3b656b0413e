"""
What a remediation changes, and the key that follows: the published one with every remediation that is in
force over it, in order (spec.md M-1). Pure.

To undo one is to leave it out: the key is then what it were without it, and so are all scores.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core_api.authoring.items import (
    POINTS_MAX,
    SHORT_LENGTH_MAX,
    EffectiveItem,
    Essay,
    KeyedItem,
    Number,
    OptionId,
    Response,
    fault_of_item,
    fault_of_response,
    is_blank,
)

CHANGES_MAX: Final = 100
ALSO_MAX: Final = 50
POSITION_MAX: Final = 500
_CENT: Final = Decimal("0.01")
Position = Annotated[int, Meta(ge=1, le=POSITION_MAX, description="Of the question in its paper.")]
Accepted = Annotated[str, Meta(min_length=1, max_length=SHORT_LENGTH_MAX, pattern="^[^\\x00]*$")]


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key: the members that the question's kind has in its own, and no others."""

    choice: OptionId | UnsetType = UNSET
    choices: Annotated[list[OptionId], Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    partial: bool | UnsetType = UNSET
    number: Number | UnsetType = UNSET
    tolerance: Annotated[float, Meta(ge=0, le=1e15)] | UnsetType = UNSET
    accepted: Annotated[list[Accepted], Meta(min_length=1, max_length=50)] | UnsetType = UNSET
    case_sensitive: bool | UnsetType = UNSET
    shares: dict[OptionId, Annotated[float, Meta(ge=0, le=1)]] | UnsetType = UNSET


class ChangeKey(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="change_key", forbid_unknown_fields=True
):
    """Another key; what was accepted beside the former one, and points for everybody, end with it."""

    position: Position
    key: NewKey


class AcceptAnswer(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="accept_answer",
    forbid_unknown_fields=True,
):
    """An answer that earns all points, too."""

    position: Position
    response: Response


class DropQuestion(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="drop_question",
    forbid_unknown_fields=True,
):
    """A question that counts for nobody: neither its points nor that they could be had."""

    position: Position


class Reweight(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="reweight", forbid_unknown_fields=True
):
    """Other points for a question; points that a person gave keep their share. A dropped one counts again."""

    position: Position
    points: Annotated[float, Meta(ge=0.01, le=POINTS_MAX)]


class FullPoints(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="full_points", forbid_unknown_fields=True
):
    """A question's points for everybody, whoever answered what, or nothing."""

    position: Position


Change = ChangeKey | AcceptAnswer | DropQuestion | Reweight | FullPoints


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """A remediation that was applied: what it changes, or which one it undoes."""

    id: UUID
    changes: Sequence[Change] = ()
    undoes: UUID | None = None


def standing(acts: Sequence[Act]) -> dict[UUID, Act]:
    """Return those that hold, oldest first: that no later one undoes which holds itself."""
    undone: set[UUID | None] = set()
    found: list[Act] = []
    for act in reversed(acts):
        if act.id not in undone:
            found.append(act)
            undone.add(act.undoes)
    return {act.id: act for act in reversed(found)}


def effective(published: Sequence[KeyedItem], acts: Sequence[Act]) -> list[EffectiveItem]:
    """
    Return the key that counts.

    Args:
        published: of the evaluation's version.
        acts: every remediation of it that was applied, oldest first.
    """
    items = {each.position: EffectiveItem(**msgspec.structs.asdict(each)) for each in published}
    for act in standing(acts).values():
        for change in act.changes:
            items[change.position] = _changed(items[change.position], change)
    return list(items.values())


def moved(before: Sequence[KeyedItem], after: Sequence[KeyedItem]) -> list[int]:
    """Return the positions of what is scored otherwise by the second key."""
    return [
        now.position
        for was, now in zip(before, after, strict=True)
        if _as_effective(was) != _as_effective(now)
    ]


def faults(items: Sequence[KeyedItem], changes: Sequence[Change]) -> Iterator[tuple[str, str]]:
    """Yield (path, message) of every change that does not fit the items as they are."""
    by_position = {each.position: _as_effective(each) for each in items}
    for n, change in enumerate(changes):
        keyed = by_position.get(change.position)
        if keyed is None:
            yield f"changes[{n}].position", "no question of the paper"
            continue
        fault = _fault(keyed, change)
        if fault is not None:
            yield f"changes[{n}].{fault[0]}", fault[1]
            continue
        by_position[change.position] = _changed(keyed, change)


def _as_effective(keyed: KeyedItem) -> EffectiveItem:
    if isinstance(keyed, EffectiveItem):
        return keyed
    return EffectiveItem(**msgspec.structs.asdict(keyed))


def _fault(keyed: EffectiveItem, change: Change) -> tuple[str, str] | None:
    """Return what of a change does not fit its item, by its path in the change."""
    match change:
        case ChangeKey():
            return _fault_of_key(keyed, change)
        case AcceptAnswer(response=response):
            if isinstance(keyed.item, Essay):
                return "position", "an essay is graded by people"
            if is_blank(response):
                return "response", "an answer"
            if len(keyed.also) >= ALSO_MAX:
                return "response", f"{ALSO_MAX} are accepted already"
            fault = fault_of_response(keyed.item, response)
            return None if fault is None else ("response", fault)
        case _:
            return None


def _fault_of_key(keyed: EffectiveItem, change: ChangeKey) -> tuple[str, str] | None:
    if isinstance(keyed.item, Essay):
        return "position", "an essay is graded by people"
    try:
        changed = _changed(keyed, change)
    except msgspec.ValidationError as error:
        return "key", f"not the key of such a question: {error}"
    return fault_of_item(changed.item)


def _changed(keyed: EffectiveItem, change: Change) -> EffectiveItem:
    """Return an item with a change over it; raises ValidationError for a key of another kind."""
    match change:
        case ChangeKey(key=key):
            new = msgspec.convert(msgspec.to_builtins(key), type(keyed.item.key))
            item = msgspec.structs.replace(keyed.item, key=new)
            return msgspec.structs.replace(keyed, item=item, also=(), is_full=False)
        case AcceptAnswer(response=response):
            also = keyed.also if response in keyed.also else (*keyed.also, response)
            return msgspec.structs.replace(keyed, also=also)
        case DropQuestion():
            return msgspec.structs.replace(keyed, points=Decimal(0), is_dropped=True)
        case Reweight(points=points):
            weight = Decimal(repr(points)).quantize(_CENT)
            return msgspec.structs.replace(keyed, points=weight, is_dropped=False)
        case FullPoints():
            return msgspec.structs.replace(keyed, is_full=True)
