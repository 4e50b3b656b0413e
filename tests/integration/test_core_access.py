"""Every route against every role, from the route list itself (spec.md A-4, decision 3)."""

import re
from collections.abc import Callable
from uuid import uuid4

from core_api.app import routes
from kernel.access import ACCESS
from kernel.events import Role
from kernel.web import API_PREFIX, Route
from tests.integration.core_kit import core_api

DatabaseAs = Callable[[str], str]
# Whoever adds a route that asks for no token adds it here, on purpose.
PUBLIC = {
    ("POST", "/auth/register"),
    ("POST", "/auth/login"),
    ("POST", "/auth/refresh"),
    ("POST", "/auth/launch"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/docs/{file}"),
}


def addresses(route: Route) -> list[str]:
    """Return the route's paths with something well-formed in each parameter."""
    path = re.sub(r"\{(\w+)\}", lambda name: "1" if name[1] in {"id", "type"} else str(uuid4()), route.path)
    return [API_PREFIX + path, *([path] if route.also_bare else [])]


def test_only_the_listed_routes_need_no_token() -> None:
    assert {(route.method, route.path) for route in routes() if route.action is None} == PUBLIC


async def test_without_a_token_every_other_route_is_a_401(database: str, database_as: DatabaseAs) -> None:
    async with core_api(database, database_as) as api:
        for route in routes():
            for address in addresses(route) if route.action is not None else []:
                answer = await api.call(route.method, address)

                assert (answer.status, address) == (401, address)
                assert answer.body["code"] == "not_authenticated"


async def test_a_role_without_an_entry_is_refused_before_anything_is_read(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        for route in routes():
            for role in Role if route.action is not None else []:
                assert route.action is not None
                if role in ACCESS[route.action]:
                    continue
                for address in addresses(route):
                    answer = await api.call(route.method, address, role.value, data=b"{ this is not JSON")

                    assert (answer.status, address, role) == (403, address, role)


async def test_a_role_with_an_entry_is_not_told_that_it_is_forbidden_or_unknown(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        for route in routes():
            for role in ACCESS[route.action] if route.action is not None else []:
                answer = await api.call(
                    route.method, addresses(route)[0], role.value, data=b"{ this is not JSON"
                )

                # The parameters name nothing, and the body is no JSON; a list of one's own is simply there.
                assert (answer.status in {200, 400, 404}, route.path, role) == (True, route.path, role)


async def test_an_unknown_address_and_a_wrong_method_are_problems_too_decision_4(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        unknown = await api.get("/api/nowhere", "admin")
        wrong = await api.get("/api/auth/login")

        assert (unknown.status, unknown.body["code"]) == (404, "not_found")
        assert (wrong.status, wrong.body["code"]) == (405, "method_not_allowed")
