r"""
One spelling: what stands for an account, and what an answer is compared by. Pure.

Unicode writes the same text in several ways, and has characters that nobody sees. Two rules follow, and none
for evidence: what a candidate hands in is kept byte for byte.

* Accounts. Addresses and usernames are NFKC (a full-width @ is an @), names and passwords NFC. None holds a
  control character, one that is unassigned or private, or one that nobody sees or that turns the direction of
  writing; a joiner stands in names and passwords only, between two letters, where scripts need it. So what is
  looked up is spelt as what was stored, and no two accounts differ by form or by what is invisible. Letters
  that look alike (a Latin and a Cyrillic a) stay different: somebody may seem to be called what another is,
  and what tells them apart is the id. An address to be stored is local@domain, both of parts between dots,
  with nothing quoted, no comment and no literal; one from before this rule still signs in.
* Answers. Both the key and the response go through `answer` before they are compared: compatibility forms,
  spaces, case where it does not count, and whatever is invisible make no difference.

Source: RFC 5322, 3.4.1 and RFC 6531 (addresses), RFC 8265 (usernames, passwords), UAX 31 (joiners), UTS 46
and NFKC_Casefold (what is ignorable).
"""

import re
import unicodedata
from typing import Final

JOINERS: Final = "\u200c\u200d"
# Invisible, and not of the category Cf: the grapheme joiner, Hangul fillers, Khmer and Mongolian signs,
# selectors, and what is reserved for more of them.
_IGNORABLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
# Of ASCII what RFC 5322 has in an atom, and letters, digits and hyphens in a label; of the rest what is seen.
_ATOM: Final = r"(?:[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]|[^\x00-\x7f\s])+"
_LABEL: Final = r"(?!-)(?:[a-zA-Z0-9-]|[^\x00-\x7f\s])+(?<!-)"
_ADDRESS: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")


def address(text: str) -> str:
    """Return an e-mail address as it is stored; raises ValueError with the reason where it cannot be one."""
    plain = looked_up(text)
    if not _ADDRESS.fullmatch(plain):
        message = "Expected an e-mail address"
        raise ValueError(message)
    return _visible(plain, joiners=False)


def username(text: str) -> str:
    """Return a username as it is stored; raises ValueError with the reason where it cannot be one."""
    plain = looked_up(text)
    if not plain:
        message = "Expected a username"
        raise ValueError(message)
    return _visible(plain, joiners=False)


def looked_up(text: str) -> str:
    """Return how an address or username would be stored, without judging it: for finding an account."""
    return unicodedata.normalize("NFKC", text).strip()


def counted_as(address: str) -> str:
    """
    Return what tries at an account are counted under: the same for all addresses that a database might look
    up as one. Which letters are one another's small ones depends on its locale (a Turkish dotted I, a final
    sigma); what some would take apart counts as one here.
    """
    plain = unicodedata.normalize("NFKD", looked_up(address).casefold())
    return "".join(each for each in plain if not unicodedata.combining(each))


def name(text: str) -> str:
    """Return a person's name as it is stored; raises ValueError with the reason where it is none."""
    return _visible(unicodedata.normalize("NFC", text).strip(), joiners=True)


def password(text: str) -> str:
    """Return a password as it is hashed; raises ValueError with the reason where it cannot be typed again."""
    return _visible(unicodedata.normalize("NFC", text), joiners=True)


def passwords(text: str) -> list[str]:
    """
    Return the spellings under which a password may have been hashed: as passwords are now, and as it came.

    Hashes from before this rule are of what was typed then.
    """
    return list(dict.fromkeys((unicodedata.normalize("NFC", text), text)))


def _visible(text: str, *, joiners: bool) -> str:
    for at, each in enumerate(text):
        if each in JOINERS and joiners and _joins(text, at):
            continue
        if unicodedata.category(each) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"} or _IGNORABLE.match(each):
            message = f"Expected no invisible or control character, as U+{ord(each):04X} is"
            raise ValueError(message)
    return text


def _joins(text: str, at: int) -> bool:
    """Tell whether a joiner stands between letters (or their marks), which is what it is for."""
    around = text[at - 1 : at] + text[at + 1 : at + 2]
    return len(around) == 2 and all(unicodedata.category(each)[0] in "LM" for each in around)


def answer(text: str, *, case_sensitive: bool = False) -> str:
    """
    Return what an answer is compared by; empty where there is nothing to see in it.

    Folding once more changes nothing: each step is taken again until none does.
    """
    before = None
    while text != before:
        before = text
        text = unicodedata.normalize("NFKC", text)
        unseen = [ord(each) for each in set(text) if unicodedata.category(each) == "Cf"]
        text = " ".join(_IGNORABLE.sub("", text.translate(dict.fromkeys(unseen))).split())
        if not case_sensitive:
            text = text.casefold()
    return text


def is_unseen(text: str) -> bool:
    """
    Tell whether nothing of a text is left to compare by, character by character: the work is in proportion to
    the text, whatever it is. Normalising a long one whole takes time in the square of its marks.
    """
    return not any(answer(each) for each in set(text))
