"""One spelling for accounts, one for answers: idempotent, and blind to what nobody sees."""

import time
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from core_api.authoring.items import (
    ESSAY_LENGTH_MAX,
    KeyedItem,
    Response,
    ShortKey,
    ShortText,
    TextContent,
    is_blank,
)
from core_api.submissions.scoring import item_points
from kernel import spelling

ANY = st.text(max_size=40)
UNSEEN = st.sampled_from("\u200b\u200c\u200d\u2060\ufeff\u00ad\u202e\u2066\u034f\u180e\ufe0f\u3164\U000e0041")
UNSEEN_LETTERS = frozenset("\u115f\u1160\u3164\uffa0")  # fillers: letters to Unicode, to nobody else
SPELLINGS: list[Callable[[str], str]] = [
    spelling.address, spelling.username, spelling.name, spelling.password,
]  # fmt: skip


def spelt(how: Callable[[str], str], text: str) -> str | None:
    try:
        return how(text)
    except ValueError:
        return None


@pytest.mark.parametrize("how", SPELLINGS, ids=lambda how: how.__name__)
@given(text=ANY | st.emails())
def test_what_an_account_is_called_is_spelt_one_way(how: Callable[[str], str], text: str) -> None:
    stored = spelt(how, text)
    if stored is None:
        return

    assert how(stored) == stored
    assert not any(unicodedata.category(each) in {"Cc", "Cs", "Co", "Cn"} for each in stored)
    assert not any("\u202a" <= each <= "\u202e" or "\u2066" <= each <= "\u2069" for each in stored)


@given(text=ANY)
@example("\uff21\uff22\uff20\uff38.example")  # full-width
def test_whoever_is_looked_up_is_spelt_as_they_were_stored(text: str) -> None:
    for how in (spelling.address, spelling.username):
        stored = spelt(how, text)
        assert stored is None or stored == spelling.looked_up(text)


@given(text=ANY | st.emails() | st.text(alphabet='ab.@-<>"[](),:;\\ é', max_size=12))
@example("a@.")
@example("a@b.")
@example(".a@b")
@example("a..b@c")
@example("<a@x.example>")
@example('"a b"@x.example')
@example("a@[127.0.0.1]")
@example("a@-b.example")
@example("a(comment)@x.example")
def test_an_address_that_is_stored_is_two_rows_of_parts_between_dots(text: str) -> None:
    stored = spelt(spelling.address, text)
    if stored is None:
        return
    local, at, domain = stored.partition("@")

    assert at
    assert all([*local.split("."), *domain.split(".")])
    assert not set(stored) & set('<>()[],:;\\"')
    assert not any(each.isspace() for each in stored)
    assert not any(label[0] == "-" or label[-1] == "-" for label in domain.split("."))
    assert "@" not in domain


@pytest.mark.parametrize(
    "text", ["o'brien+exam@x.example", "a@localhost", "νικος@παράδειγμα.δοκιμή", "x_y-z@a-b.example", "á.b@é"]
)
def test_a_usual_address_is_stored_as_it_is(text: str) -> None:
    assert spelling.address(text) == text


@pytest.mark.parametrize("how", SPELLINGS, ids=lambda how: how.__name__)
@pytest.mark.parametrize(
    "text", ["a@b.example\n", "a\n@b.example", "a@b.example\x7f", "\u202ea@b.example", "a\u200b@b.c"]
)
def test_controls_and_what_turns_the_writing_are_in_no_account(how: Callable[[str], str], text: str) -> None:
    """A newline at the end is no part of an address, username or name; a password cannot hold one."""
    stored = spelt(how, text)

    assert stored in {None, "a@b.example"}
    assert how is not spelling.password or stored is None


def test_a_joiner_stands_in_names_between_letters_only() -> None:
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"

    assert spelling.name(persian) == persian
    for wrong in ("\u200dAda", "Ada\u200d", "Ada \u200dByron", "1\u200d2"):
        assert spelt(spelling.name, wrong) is None
    assert spelt(spelling.username, persian) is None


@given(text=ANY)
def test_a_password_from_before_is_still_among_its_spellings(text: str) -> None:
    assert text in spelling.passwords(text)
    assert unicodedata.normalize("NFC", text) == spelling.passwords(text)[0]


@given(text=ANY, case_sensitive=st.booleans())
@example(text="ﬃ\u200bΣς\u0345", case_sensitive=False)
def test_folding_an_answer_twice_changes_nothing(text: str, case_sensitive: bool) -> None:  # noqa: FBT001
    once = spelling.answer(text, case_sensitive=case_sensitive)

    assert spelling.answer(once, case_sensitive=case_sensitive) == once


@given(
    text=ANY, unseen=st.lists(st.tuples(st.integers(0, 40), UNSEEN), max_size=5), case_sensitive=st.booleans()
)
def test_what_nobody_sees_makes_no_difference_in_key_or_response(
    text: str,
    unseen: list[tuple[int, str]],
    case_sensitive: bool,  # noqa: FBT001
) -> None:
    spoilt = text
    for at, each in unseen:
        spoilt = spoilt[:at] + each + spoilt[at:]
    assume(spelling.answer(spoilt) and spelling.answer(text))
    plain = "".join(each for each in text if unicodedata.category(each) != "Cf")
    assume(unicodedata.normalize("NFKC", plain) == plain)  # a mark after it is another text

    assert points(text, spoilt, case_sensitive=case_sensitive) == 1
    assert points(spoilt, text, case_sensitive=case_sensitive) == 1


@given(text=ANY)
def test_the_keys_own_text_is_right_and_only_what_cannot_be_seen_is_blank(text: str) -> None:
    """An answer is worth nothing only where nobody could see one."""
    visible = any(unicodedata.category(each)[0] in "LNPS" for each in unicodedata.normalize("NFKC", text))
    assume(not UNSEEN_LETTERS.intersection(text))

    if is_blank(Response(text=text)):
        assert not visible
    else:
        assert points(text, text, case_sensitive=False) == 1


def points(accepted: str, text: str, *, case_sensitive: bool) -> Decimal | None:
    item = ShortText(TextContent("?"), ShortKey([accepted], case_sensitive=case_sensitive))
    keyed = KeyedItem(
        position=1, question_id=UUID(int=1), question_version_id=UUID(int=2), points=Decimal(1), item=item
    )
    return item_points(keyed, Response(text=text))


@given(text=ANY | st.text(alphabet=st.sampled_from("\u200b\u034f\u3164\uffa0 \u00a0\u0301a"), max_size=20))
def test_a_text_is_unseen_where_nothing_is_left_to_compare_by(text: str) -> None:
    assert spelling.is_unseen(text) == (spelling.answer(text) == "")


@pytest.mark.parametrize("text", ["\u0301\u0316", "\ufdfa", "\u200b\u3164"], ids=ascii)
def test_the_longest_essay_costs_no_more_to_look_at_than_to_read(text: str) -> None:
    """As a whole, its marks would be sorted in the square of their number: fifteen seconds of one core."""
    essay = Response(text=text * (ESSAY_LENGTH_MAX // len(text)))
    began = time.process_time()
    is_blank(essay)

    assert time.process_time() - began < 1
