"""
One operation, asked by everybody with what schemathesis makes of its description and with what succeeds, in
turn and mixed.
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core import NOT_SET
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kernel.http.web import Route
from tests.fuzz.report import Report, may
from tests.fuzz.world import ROLES, WITHIN_S, Key, Place, good_request

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
MARK: Final = "fuzz-3f1c2e"  # stands in every request, and in no log
Draw = Callable[[st.SearchStrategy[Any]], Any]
# Names that parameters and members have for what the world calls otherwise.
ALIASES: Final = {"student_id": "user_id", "subject_id": "user_id"}
OTHERS: Final = {"attempt_id": ("past_attempt_id",), "user_id": ("reviewer_id",)}
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def ask_what_succeeds(
    operation: APIOperation[Any, Any, Any, Any], route: Route, place: Place, report: Report
) -> None:
    """
    Send a request that succeeds, with the token of each role and with none.

    Whatever is wrong with a reply is noted in the report, and nothing is raised: the next ones are seen, too.
    """
    good = good_request(place, (route.method, route.path))
    path = {name: good.path[name] for name in re.findall(r"\{(\w+)\}", route.path)}
    body = NOT_SET if good.body is None else good.body
    for role in ROLES:
        _ask(operation.Case(path_parameters=path, body=body), role, good.headers, route, place, report)


def ask_in_many_ways(
    operation: APIOperation[Any, Any, Any, Any],
    route: Route,
    place: Place,
    report: Report,
    *,
    examples: int,
    number: int,
) -> None:
    """Send so many other requests, each as everybody who may ask for it and as somebody who may not."""
    at = (route.method, route.path)
    entitled = [role for role in ROLES if route.action is not None and may(route, role)]
    others = [role for role in ROLES if role not in entitled]
    headers = good_request(place, at).headers

    @seed(number)
    @settings(max_examples=examples, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(_cases(operation, place, at), st.sampled_from(others))
    def ask_generated(case: Case[Any], other: str | None) -> None:
        negative = _is_negative(case, ParameterLocation.HEADER)
        for role in (*entitled, other):
            _ask(case, role, {} if negative else headers, route, place, report)

    ask_generated()


@st.composite
def _cases(draw: Draw, operation: APIOperation[Any, Any, Any, Any], place: Place, at: Key) -> Case[Any]:
    """
    Make a request: as described or not as described, and then mixed with one that succeeds, most of the time:
    ids are those of the world, and some members of the body are replaced.
    """
    modes = [GenerationMode.POSITIVE, GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    case: Case[Any] = draw(operation.as_strategy(generation_mode=draw(st.sampled_from(modes))))
    good, known = good_request(place, at), _known(place)
    if not case.headers.get("Content-Encoding", "").strip(", \t"):
        case.headers.pop("Content-Encoding", None)  # a list whose elements are all empty is what none is
    if not _is_negative(case, ParameterLocation.PATH):
        case.path_parameters = {
            name: _known_one(draw, [good.path[name], *known.get(name, ())], value)
            if name in good.path
            else value
            for name, value in case.path_parameters.items()
        }
    if not _is_negative(case, ParameterLocation.HEADER) and draw(st.integers(0, 7)):
        case.headers.pop("Content-Encoding", None)  # the body is sent as it is
    if not _is_negative(case, ParameterLocation.BODY) and isinstance(case.body, dict | list):
        case.body = _with_known_ids(draw, case.body, known)
    if isinstance(case.body, dict) and isinstance(good.body, dict) and draw(st.integers(0, 3)):
        names = draw(st.lists(st.sampled_from(sorted(case.body)), max_size=3)) if case.body else []
        case.body = good.body | {name: case.body[name] for name in names}
    if case.query and not _is_negative(case, ParameterLocation.QUERY) and draw(st.booleans()):
        names = draw(st.lists(st.sampled_from(sorted(case.query)), max_size=2))
        case.query = {name: case.query[name] for name in names}
    return case


def _is_negative(case: Case[Any], where: ParameterLocation) -> bool:
    component = None if case.meta is None else case.meta.components.get(where)
    return component is not None and component.mode is GenerationMode.NEGATIVE


def _known(place: Place) -> dict[str, list[Any]]:
    """Return the world's ids by the names that parameters and members have for them."""
    at = place.world.parameters
    known = {
        name: [value, *(at[other] for other in OTHERS.get(name, ()))]
        for name, value in at.items()
        if name.endswith("_id")
    }
    known |= {alias: known[name] for alias, name in ALIASES.items()}
    return known | {"proctor_session_id": [int(at["id"])]}


def _known_one(draw: Draw, known: list[Any], value: Any) -> Any:
    return draw(st.sampled_from(known)) if draw(st.integers(0, 7)) else value


def _with_known_ids(draw: Draw, value: Any, known: Mapping[str, list[Any]], name: str = "") -> Any:
    """Return a body with most of its ids replaced by the world's, by the names that they have."""
    if isinstance(value, dict):
        return {each: _with_known_ids(draw, inner, known, each) for each, inner in value.items()}
    if isinstance(value, list):
        return [_with_known_ids(draw, inner, known, name.removesuffix("s")) for inner in value]
    snake = _HUMP.sub("_", name).lower()
    return _known_one(draw, known[snake], value) if snake in known and value is not None else value


def _ask(
    case: Case[Any], role: str | None, headers: Mapping[str, str], route: Route, place: Place, report: Report
) -> None:
    """Send a request as somebody, and note what came back and what is wrong with it."""
    sent = {**headers, "User-Agent": MARK}
    if role is not None:
        sent["Authorization"] = f"Bearer {place.token(role)}"
    response = _answered(case, sent, place)
    report.count(route, role, response.status_code)
    try:
        case.validate_response(response, checks=CHECKS)
    except FailureGroup as group:
        for failure in group.exceptions:
            report.fault(
                route, role, response, f"{type(failure).__name__}: {failure}", case.as_curl_command()
            )
    if not may(route, role) and response.status_code < 400:
        report.fault(route, role, response, "the role has no entry for this", case.as_curl_command())
    if response.status_code == 401 and role is not None and route.action is not None:
        place.renew(role)


def _answered(case: Case[Any], headers: dict[str, str], place: Place) -> Response:
    """Return the reply, once it is not that a crowded machine asks to come again."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        response = case.call(place.url, place.session, headers, timeout=WITHIN_S)
        if response.status_code != 503 or time.monotonic() > deadline:
            return response
        time.sleep(0.1)
