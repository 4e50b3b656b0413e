"""
No request that the public document allows or forbids ends in a fault of ours: no 5xx, no status, type or
value that the document does not have, and no traceback or token in the logs.

The short form sends the same requests every time; `make fuzz` sends others, and many.
"""

import secrets
import sys
from collections.abc import Iterator
from itertools import count
from typing import Any, Final

import pytest
import requests
import schemathesis
from rich.console import Console
from schemathesis import APIOperation
from schemathesis.core.result import Ok

from core_api.app import routes
from core_api.wire import NO_NUL
from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from ingest.routes import ROUTES as INGEST_ROUTES
from kernel.http.web import API_PREFIX, Route
from tests.conftest import emptied
from tests.fuzz.asking import MARK, ask_in_many_ways, ask_what_succeeds
from tests.fuzz.origin import Origin, running_origin
from tests.fuzz.report import Report, label
from tests.fuzz.world import open_place
from tests.kits.acts import takes_away
from tests.kits.core import PASSWORD

EXAMPLES: Final = 2  # of each operation in the short form
EXAMPLES_MANY: Final = 60  # of each operation in each round of the long form, at most
TOKENS: Final = 4  # with which an example is sent, about
ROUND: Final = 1000  # more than there are operations
# What the signature in an address opens, and nobody's token: the tests of evidence send and fetch files.
SIGNED: Final = {"PUT /proctor/evidence/{evidence_id}/upload", "GET /proctor/evidence/{evidence_id}/download"}
# What goes only with a claim that is as far, a result that is final, or a policy that releases files:
# tests/integration/core_api/claims.
OF_CLAIMS: Final = {
    "POST /student/attempts/{attempt_id}/claims", "POST /student/claims/{claim_id}/withdraw",
    "POST /student/claims/{claim_id}/dispute", "POST /teacher/claims/{claim_id}/resolve",
    "GET /student/claims/{claim_id}/evidence/{evidence_id}/download-url",
}  # fmt: skip
# What goes once a programme is completed: tests/integration/core_api/programmes.
OF_PROGRAMMES: Final = {
    "POST /student/programmes/{enrolment_id}/certificate",
    "GET /student/programmes/{enrolment_id}/certificate",
}
NUL: Final = r"\x00"
LONG: Final = 500  # characters
# Nobody claims a session once another operation has decided on it for good.
UNDECIDED: Final = "/proctor/session/{id}/claim"
Operation = APIOperation[Any, Any, Any, Any]


@pytest.fixture(scope="module")
def origin(
    postgres: Postgres,
    template: dict[str, str],
    redis_server: Redis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Origin]:
    folder = tmp_path_factory.mktemp("origin")
    with running_origin(postgres, template, emptied(redis_server), folder) as running:
        yield running


def operations(origin: Origin) -> dict[str, Operation]:
    """Return the operations of the document that is served, by method and path below /api."""
    document = requests.get(f"{origin.url}/api/openapi.json", timeout=60).json()
    for operation in (each for path in document["paths"].values() for each in path.values()):
        operation["security"] = []  # who asks is ours to say
    unfold(document)
    schema = schemathesis.openapi.from_dict(document)
    # What is far too long for its member is too large for a body, or a header, as well.
    rejection = schema.config.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413", "431"]
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return {f"{each.method.upper()} {each.path.removeprefix(API_PREFIX)}": each for each in found}


def unfold(value: Any) -> None:
    """
    Say of long texts that they have no NUL, rather than what each of their characters is: schemathesis puts
    lengths into patterns, and to compile one of 100,000 characters takes seconds, anew for every strategy.
    """
    if isinstance(value, dict):
        if value.get("pattern") == NO_NUL and value.get("maxLength", 0) > LONG:
            del value["pattern"]
            value["not"] = {"pattern": NUL}
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        unfold(each)


def in_order() -> list[Route]:
    """Return every route whose reply ends: first those that read, last those that take what others need."""
    goes_on = {"text/event-stream", "websocket"}
    served = [each for each in (*routes(), *INGEST_ROUTES) if each.media_type not in goes_on]
    return sorted(served, key=lambda route: (takes_away((route.method, route.path)), route.method != "GET"))


def ask_all(origin: Origin, report: Report, *, examples: int, seed: int, until: int) -> None:
    """
    Ask for every operation, until so many requests were sent: for each what succeeds, before anything that is
    generated can stand in its way.
    """
    shared, described = open_place(origin, whole=True), operations(origin)
    steps: list[tuple[int, Route, bool]] = [(*each, True) for each in enumerate(in_order())]
    steps += [(number, route, False) for number, route, _ in steps if not wrecks(route)]
    for number, route, is_first in steps:
        operation = described[label(route)]
        place = open_place(origin, whole=False) if wrecks(route) else shared
        if is_first:
            ask_what_succeeds(operation, route, place, report)
        if wrecks(route) or not is_first:
            ask_in_many_ways(operation, route, place, report, examples=examples, number=seed + number)
        if place is not shared:
            place.close()
        print(f"{report.requests:>9,}  {label(route)}", file=sys.stderr, flush=True)  # noqa: T201
        if until and report.requests >= until:
            break
    shared.close()


def wrecks(route: Route) -> bool:
    """Tell whether an operation needs a world of its own."""
    return takes_away((route.method, route.path)) or route.path.startswith(("/auth/", UNDECIDED))


@pytest.mark.slow("every operation, by everybody, in many ways")
def test_no_request_ends_in_a_fault_of_ours_x3(origin: Origin, request: pytest.FixtureRequest) -> None:
    wanted: int = request.config.getoption("--requests", default=0)
    given: int | None = request.config.getoption("--fuzz-seed", default=None)
    seed = (secrets.randbits(32) if wanted else 0) if given is None else given
    examples = min(wanted // (TOKENS * len(in_order())), EXAMPLES_MANY) or EXAMPLES
    report = Report()
    print(f"--fuzz-seed={seed}", file=sys.stderr)  # noqa: T201
    for number in count():
        ask_all(origin, report, examples=examples, seed=seed + number * ROUND, until=wanted)
        if report.requests >= wanted:
            break
    report.show(Console(width=140))

    assert report.faults == {}, report.told()
    assert report.never_done() - OF_CLAIMS - OF_PROGRAMMES == SIGNED
    logs = origin.logs()
    assert [line for line in logs.splitlines() if "Traceback" in line or '"level":"error"' in line] == []
    assert [each for each in (MARK, PASSWORD, "eyJ", "Bearer") if each in logs] == []
