"""
The kinds of items: what candidates see of each (content), what tells right from wrong (key), and what an
answer to it looks like. Pure.

Content and key are two structs, so that a paper cannot carry a key by oversight (spec.md E-1).
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from kernel import spelling

ESSAY_LENGTH_MAX: Final = 60_000
SHORT_LENGTH_MAX: Final = 1000
POINTS_MAX: Final = 10_000
NUMBER_MAX: Final = 1e15

NO_NUL: Final = "^[^\\x00]*$"  # as core_api.wire has it, which is no pure module
Stem = Annotated[str, Meta(min_length=1, max_length=20_000, pattern=NO_NUL)]
OptionId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,40}$(?!\n)")]
Number = Annotated[float, Meta(ge=-NUMBER_MAX, le=NUMBER_MAX)]


class ItemKind(StrEnum):
    """How an item is answered."""

    single_choice = "single_choice"
    multiple_choice = "multiple_choice"
    numeric = "numeric"
    short_text = "short_text"
    essay = "essay"
    finding = "finding"  # what an observer finds, on a scale


class Option(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One choice, or one level of a finding's scale."""

    id: OptionId
    text: Annotated[str, Meta(max_length=1000, pattern=NO_NUL)]


class TextContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item that is answered with a number or a text."""

    stem: Stem


class ChoiceContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item that is answered with options."""

    stem: Stem
    options: Annotated[list[Option], Meta(min_length=2, max_length=100)]


class SingleKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one right option."""

    choice: OptionId


class MultipleKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The right options. With `partial`, (right ones chosen - wrong ones chosen) / right ones, never below 0.
    """

    choices: Annotated[list[OptionId], Meta(min_length=1, max_length=100)]
    partial: bool = False


class NumericKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The right number; an answer at most `tolerance` away, in decimals as written, is right."""

    number: Number
    tolerance: Annotated[float, Meta(ge=0, le=NUMBER_MAX)] = 0.0


class ShortKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The accepted texts, compared after folding of spaces and, unless it matters, of case."""

    accepted: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=SHORT_LENGTH_MAX, pattern=NO_NUL)]],
        Meta(min_length=1, max_length=50),
    ]
    case_sensitive: bool = False


class EssayKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What graders go by; nothing is scored by machine."""

    rubric: Annotated[str, Meta(max_length=20_000, pattern=NO_NUL)] = ""


class FindingKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The share of the points, 0 to 1, of each level by its id."""

    shares: Annotated[dict[OptionId, Annotated[float, Meta(ge=0, le=1)]], Meta(max_length=100)]


class SingleChoice(
    msgspec.Struct, frozen=True, tag_field="kind", tag="single_choice", forbid_unknown_fields=True
):
    """One of several options."""

    content: ChoiceContent
    key: SingleKey


class MultipleChoice(
    msgspec.Struct, frozen=True, tag_field="kind", tag="multiple_choice", forbid_unknown_fields=True
):
    """Some of several options."""

    content: ChoiceContent
    key: MultipleKey


class Numeric(msgspec.Struct, frozen=True, tag_field="kind", tag="numeric", forbid_unknown_fields=True):
    """A number."""

    content: TextContent
    key: NumericKey


class ShortText(msgspec.Struct, frozen=True, tag_field="kind", tag="short_text", forbid_unknown_fields=True):
    """A word or a line."""

    content: TextContent
    key: ShortKey


class Essay(msgspec.Struct, frozen=True, tag_field="kind", tag="essay", forbid_unknown_fields=True):
    """A long text, graded by people."""

    content: TextContent
    key: EssayKey


class Finding(msgspec.Struct, frozen=True, tag_field="kind", tag="finding", forbid_unknown_fields=True):
    """What an observer finds: one level of a scale."""

    content: ChoiceContent
    key: FindingKey


Item = SingleChoice | MultipleChoice | Numeric | ShortText | Essay | Finding


class Response(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An answer: the one member that the item's kind asks for; none of them is a cleared answer."""

    choice: OptionId | None = None  # single choice, finding
    choices: Annotated[list[OptionId], Meta(max_length=100)] | None = None  # multiple choice
    number: Number | None = None
    text: Annotated[str, Meta(max_length=ESSAY_LENGTH_MAX, pattern=NO_NUL)] | None = None


_MEMBER: Final[dict[ItemKind, str]] = {
    ItemKind.single_choice: "choice",
    ItemKind.multiple_choice: "choices",
    ItemKind.numeric: "number",
    ItemKind.short_text: "text",
    ItemKind.essay: "text",
    ItemKind.finding: "choice",
}


class AskedContent(msgspec.Struct, frozen=True):
    """What an item asks; options are None where it is answered with a number or a text."""

    stem: str
    options: list[Option] | None = None


class AskedItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item as its paper has it: without its key."""

    question_id: UUID
    kind: ItemKind
    content: AskedContent


def kind_of(item: Item | AskedItem) -> ItemKind:
    """Return an item's kind."""
    return item.kind if isinstance(item, AskedItem) else ItemKind(str(item.__struct_config__.tag))


def fault_of_response(item: Item | AskedItem, response: Response) -> str | None:
    """Return why an answer does not fit its item, or None when it does: its kind, and what it can choose."""
    given = [name for name in response.__struct_fields__ if getattr(response, name) is not None]
    kind = kind_of(item)
    member = _MEMBER[kind]
    if given not in ([], [member]):
        return f"an item of kind {kind} is answered with `{member}` alone"
    if kind is ItemKind.short_text and len(response.text or "") > SHORT_LENGTH_MAX:
        return f"at most {SHORT_LENGTH_MAX} characters"
    options = None if isinstance(item.content, TextContent) else item.content.options
    return None if options is None else _fault_of_choices(options, response)


def _fault_of_choices(options: Sequence[Option], response: Response) -> str | None:
    chosen = response.choices if response.choice is None else [response.choice]
    if not set(chosen or ()) <= {option.id for option in options}:
        return "no such option"
    if len(set(chosen or ())) != len(chosen or ()):
        return "an option stands twice"
    return None


def is_blank(response: Response | None) -> bool:
    """Tell whether nothing was answered: no answer, a cleared one, or one in which nothing can be seen."""
    if response is None:
        return True
    return (
        response.choice is None
        and not response.choices
        and response.number is None
        and spelling.is_unseen(response.text or "")
    )


def fault_of_item(item: Item) -> tuple[str, str] | None:
    """Return (path, message) of what is wrong within a key, or between it and its content, or None."""
    if isinstance(item, ShortText):
        unseen = [n for n, each in enumerate(item.key.accepted) if spelling.is_unseen(each)]
        return (f"key.accepted[{unseen[0]}]", "nothing can be seen in it") if unseen else None
    if not isinstance(item, SingleChoice | MultipleChoice | Finding):
        return None
    ids = [option.id for option in item.content.options]
    if len(set(ids)) != len(ids):
        return "content.options", "an option id stands twice"
    match item.key:
        case SingleKey(choice=choice):
            return None if choice in ids else ("key.choice", "no such option")
        case MultipleKey(choices=choices):
            is_sound = set(choices) <= set(ids) and len(set(choices)) == len(choices)
            return None if is_sound else ("key.choices", "options of this item, each once")
        case FindingKey(shares=shares):
            return None if set(shares) == set(ids) else ("key.shares", "one share for each level")


class KeyedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a published evaluation, with its key: a row of `evaluation_versions.key`."""

    position: int
    question_id: UUID
    question_version_id: UUID
    points: Decimal
    item: Item
    term_ids: tuple[UUID, ...] = ()  # of the question, as they were at publication


class EffectiveItem(KeyedItem, frozen=True, kw_only=True, omit_defaults=True):
    """
    An item with what remediations have made of it: `points` as they count now, `also` answers that earn all
    of them beside what the key says. A full one gives its points to everybody, a dropped one counts nothing.
    """

    also: tuple[Response, ...] = ()
    is_full: bool = False
    is_dropped: bool = False
