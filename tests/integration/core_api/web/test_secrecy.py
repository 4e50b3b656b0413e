"""What candidates never see has no member in any type that they are answered with (spec.md, decision 6)."""

from typing import Any

from core_api.app import routes
from core_api.web.documentation import whole
from ingest.routes import ROUTES
from kernel.access import ACCESS
from kernel.events import Role
from tests.kits.secrecy import OPEN, tells
from tests.kits.story import operations_in

ALL = [*routes(), *ROUTES]
DOCUMENT = whole(ALL)
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
