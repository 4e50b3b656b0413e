"""What candidates never see has no member in any type that they are answered with (spec.md, decision 6)."""

from pathlib import Path
from typing import Any

import kernel
from core_api.app import routes
from core_api.web.documentation import whole
from ingest.routes import ROUTES
from kernel.access import ACCESS
from kernel.events import Role
from tests.kits.secrecy import OPEN, tells
from tests.kits.story import operations_in

ALL = [*routes(), *ROUTES]
DOCUMENT = whole(ALL)
ROOT = Path(kernel.__file__).parents[1]
# What staff are answered with where a candidate gets a type of their own.
STAFFS = {"EnvelopeOfSessionDetail"}


def members_below(part: Any, components: dict[str, Any], seen: set[str]) -> set[str]:
    """Return the names of all members that a part of the document leads to."""
    found: set[str] = set()
    match part:
        case {"$ref": str(where)}:
            _, _, kind, name = where.split("/")
            if where not in seen and name not in STAFFS:
                seen.add(where)
                found |= members_below(components[kind][name], components, seen)
        case dict():
            found |= set(part.get("properties", ()))
            for name, each in part.items():
                if name != "examples":
                    found |= members_below(each, components, seen)
        case list():
            for each in part:
                found |= members_below(each, components, seen)
    return found


def told_by(name: str) -> set[str]:
    """Return every member of an operation's replies, refusals and messages, as a candidate gets them."""
    operation = operations_in(DOCUMENT)[name][2]
    content = [each.get("content", each) for each in operation["responses"].values()]
    content.append(operation.get("x-messages", {}).get("toClient"))
    return members_below(content, DOCUMENT["components"], set())


def test_no_reply_to_a_candidate_has_a_member_of_what_they_never_see_decision_6() -> None:
    """Whoever adds one says in `tests/kits/secrecy.py` why candidates may see it."""
    told = {
        route.name: told_by(route.name)
        for route in ALL
        if route.action is None or Role.student in ACCESS[route.action]
    }
    staffs = set().union(*(told_by(route.name) for route in ALL if route.name not in told))

    assert {"serverTime", "isPaused"} < told["open_session_socket"]
    assert [(name, each) for name, some in told.items() for each in sorted(some) if tells(each)] == []
    assert OPEN.keys() - set().union(*told.values()) == set(), "said to be seen, and not there"
    assert {"riskScore", "decidedBy", "ruleName", "claimedBy"} < {each for each in staffs if tells(each)}


def test_the_numbers_that_a_deployment_may_show_are_asked_for_in_two_places_decision_6() -> None:
    """Each is tried with the setting on and off: heartbeats in `ingest/test_routes`, a candidate's session in
    `proctoring/test_session_views`; whatever else candidates are told is then the same either way."""
    rooms = [ROOT / room for room in ("kernel", "ingest", "core_api", "pipeline", "warehouse", "deploy")]
    found = {
        str(path.relative_to(ROOT))
        for room in rooms
        for path in room.rglob("*.py")
        if "show_numbers_to_candidates" in path.read_text(encoding="utf-8")
    }

    assert found == {
        "kernel/settings/exams.py", "ingest/routes.py", "core_api/proctoring/session_views.py"
    }  # fmt: skip
