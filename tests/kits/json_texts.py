"""
JSON texts as strangers send them: generated, and spoilt, at the edge of what the parts of the system read.
"""

import json
from typing import Any

from hypothesis import strategies as st

# Escapes, surrogates, numbers at the edge of every number type, brackets and quotes where they do not belong.
PIECES = st.sampled_from(
    [
        *("{", "}", "[", "]", ",", ":", '"', '"a"', '"b":', '"":', "\\", "\\\\", '\\"', "\\u0000", "\\ud800"),
        *(
            "\\ud83d\\ude00",
            "\\u0041",
            "\\n",
            "e-",
            "1e-9",
            "1E-20000",
            "-0",
            "0.1",
            "1e400",
            "9" * 30,
            "null",
        ),
        *(
            "e-12345",
            "é",
            "😀",
            "\x7f",
            "\x00",
            "true",
            "1e-16383",
            "0e-99999",
            "." + "1" * 30 + "e-16360",
            " ",
        ),
        *(
            "0e3000000000",
            "1E+5",
            "1e308",
            "1e-400",
            "9" * 310,
            "1" + "0" * 320,
            "0." + "0" * 380 + "1",
            "\ufeff",
        ),
        *('"a":1,"a":2', "1e0000400", "18446744073709551616", "-9223372036854775809", "\ud7ff\ue000\uffff"),
    ]
)
CHARACTERS = st.text('\\"u0nd8e-1[{}],:. \u0000é', max_size=8)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | CHARACTERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CHARACTERS, inner, max_size=3),
    max_leaves=10,
)
DOCUMENTS = st.builds(json.dumps, VALUES, ensure_ascii=st.booleans())


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Return a document in whose text a piece was put in, or taken out."""
    text = draw(DOCUMENTS)
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(PIECES) + text[at + draw(st.integers(0, 2)) :]


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """Return the text of a number, every part of it long or short, with leading zeros where they may be."""
    whole = draw(st.sampled_from(["0", "1", "9" * 18, "9" * 308, "9" * 309, "1" + "0" * 400]))
    fraction = draw(st.sampled_from(["", ".0", ".5", "." + "0" * 300 + "1", "." + "1" * 500]))
    letter, sign = draw(st.sampled_from(["e", "E"])), draw(st.sampled_from(["", "+", "-"]))
    digits = draw(
        st.sampled_from(["0", "5", "005", "299", "308", "309", "400", "401", "16383", "99999", "3000000000"])
    )
    exponent = draw(st.sampled_from(["", letter + sign + digits]))
    return draw(st.sampled_from(["", "-"])) + whole + fraction + exponent


def nested(depth: int, inside: str = "1") -> str:
    """Return arrays in objects in arrays, so many levels of them."""
    half, odd = divmod(depth, 2)
    return '{"a":[' * half + "[" * odd + inside + "]" * odd + "]}" * half


TEXTS = (
    DOCUMENTS
    | mutated()
    | numbers()
    | numbers().map(lambda number: f'{{"n":{number}}}')
    | st.lists(PIECES, max_size=8).map("".join)
    | st.lists(PIECES, max_size=4).map(lambda pieces: f"[{','.join(pieces)}]")
    | st.integers(0, 300).map(nested)
    | st.integers(1, 6000).map(lambda count: f"[{','.join(['1e300'] * count)}]")
)
