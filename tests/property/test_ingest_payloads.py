"""Metadata: the ordinary way against the thorough one, both against PostgreSQL (spec.md I-4, I-8)."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deploy.local.postgres import Postgres
from ingest.columns import Fault, check_payloads, holds_nul, too_deep
from kernel.settings import load

LIMITS = load({}, metadata_bytes_max=4000)
# Escapes, surrogates, numbers at the edge of every number type, brackets and quotes where they do not belong.
PIECES = st.sampled_from(
    [
        *("{", "}", "[", "]", ",", ":", '"', '"a"', '"b":', "\\", "\\\\", '\\"', "\\u0000", "\\ud83d\\ude00"),
        *("\\ud800", "\\u0041", "\\n", "e-", "1e-9", "1E-20000", "-0", "0.1", "1e400", "9" * 30, "null", " "),
        *("e-12345", "é", "😀", "\x7f", "\x00", "true", "1e-16383", "0e-99999", "." + "1" * 30 + "e-16360"),
    ]
)
CHARACTERS = st.text('\\"u0nd8e-1[{}],:. \u0000é', max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | CHARACTERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CHARACTERS, inner, max_size=3),
    max_leaves=10,
)
DOCUMENTS = st.builds(json.dumps, VALUES, ensure_ascii=st.booleans())
TEXTS = (
    DOCUMENTS
    | st.lists(PIECES, max_size=8).map("".join)
    | st.lists(PIECES, max_size=4).map(lambda p: f"[{','.join(p)}]")
)


@pytest.fixture(scope="module")
def connection(postgres: Postgres) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        yield conn


def is_held(conn: psycopg.Connection[Any], text: str) -> bool:
    """Ask PostgreSQL whether a column of jsonb takes the text."""
    try:
        conn.execute(b"SELECT %s::text::jsonb", (text,))
    except psycopg.DataError:
        return False
    return True


def checked(text: str) -> tuple[bool, bool]:
    """Return whether the text is admitted, and whether it is meant for the dead letters."""
    faults: list[Fault] = []
    unstorable = check_payloads([text], LIMITS, faults)
    return not faults, bool(unstorable)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
@example('{"a": 1e-16384}')
@example('{"a": 1e-9999}')
@example("[0." + "0" * 3900 + "1e-9999]")
@example('{"e-99999": "1e-99999"}')
@example('"\\\\\\u0000"')
@example('{"\\u0000": 1}')
def test_what_is_admitted_unmarked_postgresql_holds(connection: psycopg.Connection[Any], text: str) -> None:
    """I-8: no candidate can make PostgreSQL refuse a row, so a flood is never a candidate's work."""
    admitted, marked = checked(text)

    if admitted and not marked:
        assert is_held(connection, text)
    if marked and ("\\u0000" in text.replace("\\\\", "")):
        assert not is_held(connection, text)


@settings(max_examples=600, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_a_text_is_judged_the_same_alone_and_among_others(texts: list[str]) -> None:
    """I-3: the ordinary way takes whole lists, and admits nothing that the thorough way refuses."""
    faults: list[Fault] = []
    together = check_payloads([*texts, "[" * 2 + "]" * 2], LIMITS, faults)  # an array: never the ordinary way

    alone = [checked(text) for text in texts]

    assert [fault["path"] for fault in faults] == [
        f"events[{i}].metadataJson" for i, (admitted, _) in enumerate(alone) if not admitted
    ]
    if not faults:
        assert together == ([i for i, (_, marked) in enumerate(alone) if marked] or None)


def depth_of(value: object) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (1 if isinstance(value, dict | list) else 0) + max(map(depth_of, inside), default=0)


def strings_of(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from strings_of(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from strings_of(each)


@settings(max_examples=400, deadline=None)
@given(VALUES, st.booleans(), st.integers(0, 5))
def test_depth_and_nul_are_those_of_the_decoded_document(value: object, ascii_only: bool, depth: int) -> None:  # noqa: FBT001
    """I-4, I-8: brackets in strings are no levels; a backslash before `u0000` is no NUL."""
    text = json.dumps(value, ensure_ascii=ascii_only)

    assert too_deep(text, depth) == (depth_of(value) > depth)
    assert holds_nul(text) == any("\x00" in each for each in strings_of(value))
    assert holds_nul(msgspec.json.encode(text).decode()) is False, "text in text has its backslashes doubled"
