"""
Whatever a client sends, the core API answers, and never with a failure of its own (spec.md, decision 4).

One server for all examples: they change nothing but what they make.
"""

import asyncio
from typing import Any
from urllib.parse import quote

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core_api.app import routes
from kernel.access import ACCESS
from kernel.http.web import API_PREFIX, Route
from tests.kits.core import Api, DatabaseAs, core_api

ANSWERS = {200, 201, 204, 400, 404, 409, 413, 415, 422}
# Nobody is known to whoever has no token: wrong password, closed registration, too many of either.
TO_STRANGERS = {401, 403, 429}

text = st.text(max_size=40)
value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(text, children, max_size=4),
    max_leaves=10,
)
whole = st.integers(-(2**70), 2**70) | st.integers()
NAMES = [
    "email", "password", "token", "title", "duration_minutes", "max_score", "passing_score", "metadata",
    "attemptId", "mode", "userAgent", "student_ids", "emails", "full_name", "username", "role", "user_id",
    "user_ids", "name", "description", "refresh_token", "enrollment_id", "cohort", "registration_open",
]  # fmt: skip
QUERIES = [
    "limit",
    "cursor",
    "page",
    "size",
    "sort",
    "status",
    "mode",
    "from",
    "to",
    "after",
    "bucket_s",
    "severity",
]
# Bodies that pass the first check, so that what lies behind it meets odd texts too.
plausible = st.one_of(
    st.fixed_dictionaries({"email": text, "password": text}),
    st.fixed_dictionaries({"refresh_token": text}),
    st.fixed_dictionaries({"name": text}, optional={"description": text}),
    st.fixed_dictionaries(
        {"email": st.just("a@b") | text, "role": st.just("student")},
        optional={
            "full_name": text,
            "username": text,
            "password": st.text(min_size=10, max_size=72),
        },
    ),
    st.fixed_dictionaries({"full_name": text}, optional={"metadata": st.dictionaries(text, value)}),
    st.fixed_dictionaries(
        {"title": text, "duration_minutes": st.integers(1, 43_200)},
        optional={
            "metadata": st.dictionaries(text, value, max_size=4),
            "max_score": st.floats(0, 1e9),
            "topic": text,
        },
    ),
    st.fixed_dictionaries(
        {"attemptId": st.uuids().map(str), "mode": st.integers(1, 2)}, optional={"userAgent": text}
    ),
    st.fixed_dictionaries({"title": text, "body": text}),
    st.fixed_dictionaries({"kind": st.sampled_from(["term", "skill"]), "name": text}),
    st.fixed_dictionaries(
        {
            "item": st.fixed_dictionaries(
                {
                    "kind": st.just("short_text"),
                    "content": st.fixed_dictionaries({"stem": text}),
                    "key": st.fixed_dictionaries({"accepted": st.lists(text, max_size=2)}),
                }
            )
        },
        optional={"points": st.floats(0, 1e5), "term_ids": st.lists(st.uuids().map(str), max_size=2)},
    ),
    st.fixed_dictionaries(
        {"title": text},
        optional={"items": st.lists(st.fixed_dictionaries({"question_id": st.uuids().map(str)}), max_size=2)},
    ),
    st.fixed_dictionaries(
        {"emails": st.lists(text, max_size=3), "student_ids": st.lists(st.uuids().map(str))}
    ),
)
body = plausible | st.dictionaries(st.sampled_from(NAMES) | text, value, max_size=6) | value
query = st.dictionaries(st.sampled_from(QUERIES) | text, text | whole.map(str), max_size=3)


def address(route: Route, segment: str) -> str:
    path = route.path
    while "{" in path:
        head, _, rest = path.partition("{")
        path = head + quote(segment or "x", safe="") + rest.partition("}")[2]
    return API_PREFIX + path


def encoded(sent: Any) -> bytes:
    try:
        return orjson.dumps(sent)
    except TypeError:  # integers beyond 64 bits: any bytes will do
        return repr(sent).encode()


async def ask(api: Api, route: Route, segment: str, asked: dict[str, str], sent: Any) -> None:
    by = None if route.action is None else next(iter(ACCESS[route.action])).value
    answer = await api.call(
        route.method,
        address(route, segment),
        by,
        params=asked,
        data=encoded(sent) if route.body is not None else None,
        headers={"Content-Type": "application/json"},
    )
    allowed = ANSWERS | (TO_STRANGERS if route.action is None else set())
    allowed |= {426} if route.media_type == "websocket" else set()
    assert answer.status in allowed, (answer.status, route.path, segment, asked, sent)
    if answer.status >= 400:
        assert answer.headers["Content-Type"].startswith("application/problem+json")


async def test_no_input_makes_the_server_fail(database: str, database_as: DatabaseAs) -> None:
    async with core_api(database, database_as) as api:
        loop = asyncio.get_running_loop()

        @settings(max_examples=300, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(routes()), st.text(max_size=12) | whole.map(str), query, body)
        def examples(route: Route, segment: str, asked: dict[str, str], sent: Any) -> None:
            asyncio.run_coroutine_threadsafe(ask(api, route, segment, asked, sent), loop).result(10)

        await asyncio.to_thread(examples)
