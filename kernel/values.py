r"""
The judge of values: what text, and what JSON, may be stored. Pure.

Every door asks here, so that what is accepted is also what PostgreSQL stores and what every reader shows. The
parts disagree about JSON: PostgreSQL refuses `\u0000`, exponents beyond an int and more than 16,383 decimal
places; a double holds nothing beyond 1.8e308; orjson writes at most 254 levels; and `jsonb` writes numbers
out, so that `1e300` becomes 301 digits for whoever reads it. What passes here is inside all of these bounds.

A document is judged as text and stored as the text that came: no number goes through a double on its way, and
readers put the stored text into their replies as it stands (`shown`).
"""

import re
from functools import partial
from typing import Final

import msgspec

DEPTH_MAX: Final = 32  # levels of a document
NUMBER_LENGTH_MAX: Final = 400  # characters of a number: more than a double can tell apart
EXPONENT_MAX: Final = 400
_LONG: Final = 300  # a double holds every number of fewer characters that has no exponent
_NUL: Final = "\\u0000"
_parse: Final = msgspec.json.Decoder().decode
# A flat object is what clients send; decoding it so is a check of its depth as well.
_parse_flat: Final = msgspec.json.Decoder(dict[str, str | int | float | bool | None]).decode
# The forms of numbers, to be searched at the speed of memory: what numbers are made of as 0, E as e, and what
# may stand before one as a comma.
_FORMS: Final = bytes.maketrans(b"0123456789.+-E[:, \t\n\r", b"0" * 13 + b"e" + b"," * 7)
_EXPONENT: Final = re.compile(rb",0+e")
# Numbers are looked at by whole documents: a turn of a loop for each of them would cost a body seconds.
_EXPONENT_OF: Final = re.compile(rb"[0-9][eE]([-+]?[0-9]+)")
_LONG_NUMBER: Final = re.compile(rb"(?<![-+.0-9eE])[-+.0-9eE]{%d,}" % _LONG)
_DIGITS: Final = bytes(0x30 if each in b"-+.0123456789eE" else 0x20 for each in range(256))
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
NAME_TOLD_MAX: Final = 64  # characters of a name that a path tells, where it is somebody's own
_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)).difference(b"[]{}"))


def wrong_document(text: str, *, bytes_max: int, depth_max: int = DEPTH_MAX) -> str | None:
    """
    Judge one JSON document.

    Args:
        text: as it came.
        bytes_max: of the document as PostgreSQL writes it: UTF-8, its exponents written out as digits.
        depth_max: levels of arrays and objects.

    Returns:
        What is wrong, as a sentence for whoever sent it; None when it can be stored and shown.
    """
    try:
        _parse(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # Also a number that no double holds: msgspec refuses 1e400, and integers of many thousand digits.
        return "Expected valid JSON text with numbers that a double holds"
    if too_deep(text, depth_max):
        return f"Expected at most {depth_max} levels"
    if holds_nul(text):
        return "Expected strings without NUL characters"
    written = len(text) if text.isascii() else len(text.encode())
    if len(text) >= _LONG or has_exponents(text):
        sentence, exponents = _judge_numbers(_outside_strings(text).encode())
        if sentence is not None:
            return sentence
        written += exponents
    if written > bytes_max:
        return f"Expected at most {bytes_max} bytes, with the exponents of numbers written out"
    return None


def are_plain(texts: list[str], *, bytes_max: int, depth_max: int = DEPTH_MAX) -> bool:
    """
    Tell, quickly and for all at once, that these are small documents with nothing odd in them.

    True says that `wrong_document` has nothing against any of them; False says nothing.
    """
    longest = max(map(len, texts), default=0)
    if longest >= _LONG or longest > bytes_max // 4:  # a character is at most four bytes
        return False
    try:
        for text in texts:
            _parse_flat(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        if not all(map(partial(_is_shallow, depth_max=depth_max), texts)):
            return False
    together = ",".join(texts)  # strings end where their text ends: what is outside them stays outside
    return not holds_nul(together) and not has_exponents(together)


def _is_shallow(text: str, depth_max: int) -> bool:
    """Tell whether a text is valid JSON of so few brackets that it cannot be too deep."""
    try:
        _parse(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return text.count("[") + text.count("{") <= depth_max


def wrong_text(text: str) -> str | None:
    """Judge a plain text (a name, a title, a key): return what is wrong with it, or None."""
    if "\x00" in text:
        return "Expected a text without NUL characters"
    if not text.isascii() and any("\ud800" <= each <= "\udfff" for each in text):
        return "Expected valid Unicode"
    return None


def too_deep(text: str, depth_max: int) -> bool:
    """Tell whether valid JSON text nests deeper than `depth_max`; brackets inside strings do not count."""
    if text.count("[") + text.count("{") <= depth_max:
        return False
    left = _outside_strings(text).encode().translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(depth_max):
        if not left:
            break
        left = left.replace(b"[]", b"")  # the innermost of every branch
    return bool(left)


def holds_nul(text: str) -> bool:
    r"""Tell whether valid JSON text escapes a NUL: `\u0000` behind no backslash of its own."""
    return "\\" in text and _NUL in text and _NUL in text.replace("\\\\", "")


def below(path: str, name: str, *, length_max: int = NAME_TOLD_MAX) -> str:
    """
    Return the path of an object's member, as `items[3].stem`. A name that is no plain word is quoted, as in
    `items[3]["my stem"]`, and a long one is cut, with `…` at its end.
    """
    short = name if len(name) <= length_max else f"{name[:length_max]}…"
    if _PLAIN_NAME.fullmatch(short):
        return f"{path}.{short}".lstrip(".")
    return f"{path}[{msgspec.json.encode(short).decode()}]"


def path_of_nul(text: str) -> str:
    """Return where the first NUL of a JSON document stands, as `below` has it; `body` for the whole."""

    def find(value: object, path: str) -> str | None:
        match value:
            case str():
                return (path or "body") if "\x00" in value else None
            case list():
                inside = ((each, f"{path}[{index}]") for index, each in enumerate(value))
            case dict():
                if any("\x00" in name for name in value):
                    return path or "body"
                inside = ((each, below(path, name)) for name, each in value.items())
            case _:
                return None
        return next((found for each in inside if (found := find(*each)) is not None), None)

    try:
        return find(_parse(text), "") or "body"
    except (msgspec.DecodeError, RecursionError):
        return "body"


def has_exponents(text: str) -> bool:
    """Tell whether valid JSON text holds a number with an exponent."""
    return _looks_exponential(text) and _looks_exponential(_outside_strings(text))


def _looks_exponential(text: str) -> bool:
    """Tell whether something of a number's form stands where a number may, be it in a string."""
    forms = text.encode().translate(_FORMS)
    return b"0e" in forms and _EXPONENT.search(b"," + forms) is not None


def _judge_numbers(outside: bytes) -> tuple[str | None, int]:
    """Return what is wrong with the numbers of valid JSON text, or None, and the sum of their exponents."""
    is_long = b"0" * _LONG in outside.translate(_DIGITS)
    for number in _LONG_NUMBER.findall(outside) if is_long else ():
        if len(number) > NUMBER_LENGTH_MAX:
            return f"Expected numbers of at most {NUMBER_LENGTH_MAX} characters", 0
        if abs(float(number)) == float("inf"):
            return "Expected numbers that a double holds", 0
    exponents = [abs(each) for each in map(int, _EXPONENT_OF.findall(outside))]
    if max(exponents, default=0) > EXPONENT_MAX:
        return f"Expected exponents from -{EXPONENT_MAX} to {EXPONENT_MAX}", 0
    return None, sum(exponents)


def _outside_strings(text: str) -> str:
    """Return valid JSON text without what its strings hold; a backslash stands in strings only."""
    plain = text.replace("\\\\", "").replace('\\"', "")
    return '"'.join(plain.split('"')[::2])
