"""The bodies of every route of ingest, and where a path of a reply leads in them."""

import re
from typing import Any, Final

import msgspec

from tests.kits.ingest.world import Seat

CAMEL: Final = {"kind": "eventType", "at": "clientTimestamp", "said": "metadataJson", "n": "clientSequence"}
SNAKE: Final = {"kind": "event_type", "at": "client_timestamp", "said": "data", "n": "client_sequence"}
AT: Final = "2026-11-20T10:00:00Z"
_STEP: Final = re.compile(r'\.?([^.\[\]"]+)|\[([0-9]+)\]|\[("(?:\\.|[^"\\])*")\]')


class Shape(msgspec.Struct, frozen=True):
    """A form of request: its address, where its events stand, and what their members are called."""

    name: str
    address: str
    events: str  # path of an event, with {} for its place; empty where the body is one
    words: dict[str, str]

    @property
    def is_list(self) -> bool:
        return bool(self.events)

    def body(self, seat: Seat, count: int = 1) -> Any:
        """Return a valid body of so many events, each with every member that it may have but its number."""
        words = self.words
        event: dict[str, Any] = {words["kind"]: 102, "severity": 1, words["at"]: AT, "buffered": False}
        event[words["said"]] = {"a": 1} if words is SNAKE else '{"a": 1}'
        if words is SNAKE:
            event = {"attempt_id": str(seat.attempt_id), **event, "client_instance": "module-1"}
            return [dict(event) for _ in range(count)] if self.is_list else event
        head = {"proctorSessionId": seat.session_id, "clientInstance": "tab-1"}
        if self.is_list:
            return {**head, "events": [dict(event) for _ in range(count)]}
        if self.name == "heartbeat":
            event = {name: event[name] for name in (words["said"], words["at"], "buffered")}
        return head | event

    def events_of(self, body: Any) -> list[Any]:
        """Return the events of a body, themselves."""
        if not self.is_list:
            return [body]
        found: list[Any] = body if isinstance(body, list) else body["events"]
        return found

    def path(self, place: int, member: str = "") -> str:
        """Return where an event, or a member of it, stands."""
        return f"{self.events.format(place)}.{member}".strip(".") or "body"


SHAPES: Final = (
    Shape("event", "/api/proctor/event", "", CAMEL),
    Shape("heartbeat", "/api/proctor/heartbeat", "", CAMEL),
    Shape("batch", "/api/proctor/events/bulk", "events[{}]", CAMEL),
    Shape("partial", "/api/proctor/events/bulk?partial=true", "events[{}]", CAMEL),
    Shape("monitor", "/api/monitor/events", "", SNAKE),
    Shape("monitor list", "/api/monitor/events", "[{}]", SNAKE),
)


def at(body: Any, path: str) -> Any:
    """Return what stands at a path of a body; raises KeyError, IndexError or TypeError where nothing does."""
    if path == "body":
        return body
    assert "".join(step.group() for step in _STEP.finditer(path)) == path, f"{path} is no path"
    for step in _STEP.finditer(path):
        name, index, quoted = step.groups()
        body = body[int(index)] if index else body[name or msgspec.json.decode(quoted)]
    return body


def faults_of(body: Any) -> list[dict[str, str]]:
    """Return every fault that a reply names, of the whole and of its parts."""
    inside = [fault for result in body.get("results", []) for fault in result.get("errors", [])]
    return [*body.get("errors", []), *inside]


def acks_of(body: Any) -> list[dict[str, Any]]:
    """Return every acknowledgement of a reply."""
    return [part["ack"] for part in (body, *body.get("results", [])) if "ack" in part]
