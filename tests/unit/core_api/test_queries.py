"""Queries of every route that has one, from the route list itself."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from msgspec.structs import fields

from core_api.app import routes
from ingest.routes import ROUTES
from kernel.errors import InvalidInputError
from kernel.http.web import decode_query

QUERIES = {route.query for route in (*routes(), *ROUTES) if route.query is not None}
PARAMETERS = [(query, field.encode_name, field.name) for query in QUERIES for field in fields(query)]


def read(query: Any, name: str, field: str) -> object:
    """Return what `null` is read as, or where the fault of it is."""
    try:
        return getattr(decode_query(make_mocked_request("GET", f"/?{name}=null"), query), field)
    except InvalidInputError as error:
        return [each["path"] for each in error.errors or []]


@pytest.mark.parametrize(
    ("query", "name", "field"), sorted(PARAMETERS, key=repr), ids=lambda each: getattr(each, "__name__", each)
)
def test_null_is_a_text_or_refused_and_never_no_value(query: Any, name: str, field: str) -> None:
    assert read(query, name, field) in ("null", [name])
