"""The judge of values against every part that reads what it lets pass (spec.md I-3, I-4, I-8)."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import msgspec
import orjson
import polars as pl
import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.local.postgres import Postgres
from ingest.admission.contents import Content, same
from kernel.values import are_plain, holds_nul, path_of_nul, too_deep, wrong_document
from tests.kits.json_texts import TEXTS, VALUES, nested

BYTES_MAX = 4000


@pytest.fixture(scope="module")
def connection(postgres: Postgres) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        yield conn


def exactly(text: str) -> Any:
    """Return the document with every number as it is written."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


@settings(max_examples=300)
@given(TEXTS)
@example('{"n":0e3000000000}')
@example('{"a": 1e-16384}')
@example("[0." + "0" * 3900 + "1e-9999]")
@example('{"e-99999": "1e-99999"}')
@example('"\\\\\\u0000"')
@example('{"\\u0000": 1}')
@example("1" + "0" * 400)
@example(nested(32))
@example(nested(255))
@example(nested(2000))
def test_what_passes_is_stored_exactly_and_read_by_every_part(
    connection: psycopg.Connection[Any], text: str
) -> None:
    """I-8: nobody can make PostgreSQL refuse a row, or a reader fail on one."""
    if wrong_document(text, bytes_max=BYTES_MAX) is not None:
        return

    row = connection.execute(b"SELECT %s::text::jsonb::text", (text,)).fetchone()
    assert row is not None
    stored: str = row[0]

    assert exactly(stored) == exactly(text), "no number has gone through a double"
    sent, kept = (Content(102, None, 0, 0, each) for each in (text, stored))
    assert same(sent, kept), "a resent event is the one that was stored"
    assert len(stored.encode()) <= 2 * BYTES_MAX, "what is short on the wire is not long in a page"
    orjson.dumps({"data": [{"payload": orjson.loads(stored)}]})
    assert isinstance(msgspec.json.decode(stored), object)
    assert duckdb.execute("SELECT json_valid(?)", [stored]).fetchall() == [(True,)]
    assert pl.Series([f'{{"v":{stored}}}']).str.json_path_match("$.v").len() == 1


@given(TEXTS | st.text(max_size=20))
@example("{")
@example("\ud800")
@example("[" * 100_000)
def test_what_came_past_the_door_is_the_same_as_its_own_text_and_fails_no_resend(text: str) -> None:
    """A dead letter's metadata is kept as it came; whoever resends its number is answered."""
    kept, sent, none = (Content(102, None, 0, 0, each) for each in (text, '{"n": 1}', None))

    assert same(kept, kept)
    assert same(kept, Content(102, None, 0, 0, text))
    assert not same(kept, none)
    assert not same(kept, sent) or msgspec.json.decode(text) == {"n": 1}


@settings(max_examples=300)
@given(st.lists(TEXTS, min_size=1, max_size=3))
@example(['{"a":"1e5"}', '{"a":1e5}'])
@example(['{"a":1}', "[" * 33 + "]" * 33])
def test_the_quick_look_passes_nothing_that_the_judge_refuses(texts: list[str]) -> None:
    """I-3: the ordinary way takes whole lists, and admits nothing that the thorough way refuses."""
    if are_plain(texts, bytes_max=BYTES_MAX):
        assert [wrong_document(text, bytes_max=BYTES_MAX) for text in texts] == [None] * len(texts)


def test_what_clients_send_every_day_takes_the_quick_way() -> None:
    texts = [
        '{"key":"Enter","delay":12}',
        '{"x":12.5,"y":-3,"confidence":0.973,"ok":true,"was":null}',
        '{"questionId":"0e8f2a1e-9e3e-4e1e-8e2e-1e0e3e5e7e9e"}',
        '{"face":{"yaw":1.25,"box":[1,2,3,4]}}',
    ]

    assert are_plain(texts, bytes_max=16_384)


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


@settings(max_examples=400)
@given(VALUES, st.booleans(), st.integers(0, 5))
def test_depth_and_nul_are_those_of_the_decoded_document(value: object, ascii_only: bool, depth: int) -> None:  # noqa: FBT001
    """I-4, I-8: brackets in strings are no levels; a backslash before `u0000` is no NUL."""
    text = json.dumps(value, ensure_ascii=ascii_only)

    assert too_deep(text, depth) == (depth_of(value) > depth)
    assert holds_nul(text) == any("\x00" in each for each in strings_of(value))
    assert holds_nul(msgspec.json.encode(text).decode()) is False, "text in text has its backslashes doubled"


def test_the_place_of_a_nul_is_named() -> None:
    assert path_of_nul('{"items":[{"stem":"a"},{"stem":"b\\u0000"}]}') == "items[1].stem"
    assert path_of_nul('{"a":{"b\\u0000":1}}') == "a"
    assert path_of_nul('"\\u0000"') == "body"
    assert path_of_nul('{"a":{"b c":["\\u0000"]}}') == 'a["b c"][0]'
    assert path_of_nul('{"%s":"\\u0000"}' % ("n" * 100)) == f'["{"n" * 64}…"]'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"n":0e3000000000}', "exponents"),
        ('{"n":1e401}', "double"),
        ("1" + "0" * 399, "double"),
        ("0." + "0" * 400, "400 characters"),
        ("[" + ",".join(["0e-400"] * 100) + "]", "written out"),
        ('"\\u0000"', "NUL"),
        (nested(33), "32 levels"),
        (nested(100_000), "valid JSON"),
        ('"\\ud800"', "valid JSON"),
        ("\ufeff1", "valid JSON"),
        ("NaN", "valid JSON"),
    ],
)
def test_every_refusal_says_why(text: str, said: str) -> None:
    assert said in str(wrong_document(text, bytes_max=BYTES_MAX))
