"""
HTTP requests encoded beforehand: for each session a fixed start, then a number of fixed width, then a shared
tail.

A request costs the loader one `writelines` of three byte strings. JSON allows blanks after a number and after
the document, so that every request of a session has the same Content-Length. Pure.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
import orjson

from kernel.events import Severity
from loadtests.sample import BULK, SampleEvent, sample_bulk, wire_events

NUMBER_WIDTH: Final = 10


class Shape(StrEnum):
    """What one request carries, and to whom."""

    bulk = "bulk"  # 50 events to /api/proctor/events/bulk
    single = "single"  # one event to /api/proctor/event
    heartbeat = "heartbeat"  # one to /api/proctor/heartbeat
    seed = "seed"  # one event to the seed design's /monitor/events


class Target(msgspec.Struct, frozen=True):
    """Where one candidate's events go: the session's number (or the attempt's UUID) and a bearer token."""

    key: str
    token: str


EVENTS_PER_REQUEST: Final = {Shape.bulk: BULK, Shape.single: 1, Shape.heartbeat: 1, Shape.seed: 1}
STATUS_ACCEPTED: Final = {Shape.bulk: 202, Shape.single: 202, Shape.heartbeat: 202, Shape.seed: 200}
_PATHS: Final = {
    Shape.bulk: "/api/proctor/events/bulk",
    Shape.single: "/api/proctor/event",
    Shape.heartbeat: "/api/proctor/heartbeat",
    Shape.seed: "/monitor/events",
}
_SEED_SEVERITY: Final = {Severity.Info: "normal", Severity.Low: "normal", Severity.Medium: "warning"}


def tails(shape: Shape, at: datetime) -> list[bytes]:
    """
    Return what follows the number: one tail for bulks and heartbeats, one per sample event for single events;
    all equally long.

    Args:
        shape: what one request carries.
        at: the client's clock at the moment of sending.
    """
    if shape is Shape.bulk:
        return [b',"events":' + orjson.dumps(wire_events(at)) + b"}"]
    if shape is Shape.heartbeat:
        return [b',"clientTimestamp":' + orjson.dumps(wire_events(at)[-1]["clientTimestamp"]) + b"}"]
    if shape is Shape.single:
        found = [b"," + orjson.dumps(event)[1:] for event in wire_events(at)]
    else:
        found = [_seed_tail(event) for event in sample_bulk()]
    longest = max(map(len, found))
    return [tail.ljust(longest) for tail in found]


def _seed_tail(event: SampleEvent) -> bytes:
    # The number is the first member of `data`, which the seed design stores as it comes.
    kind = {"event_type": event.event_type.name.lower(), "severity": _SEED_SEVERITY[event.severity]}
    return b"," + event.metadata.encode()[1:] + b"," + orjson.dumps(kind)[1:]


def starts(shape: Shape, targets: Sequence[Target], *, instance: str, tail_bytes: int) -> list[bytes]:
    """
    Return each target's request up to the number: request line, headers, and the body's start.

    Args:
        shape: what one request carries.
        targets: one per session.
        instance: the client instance's name; clientSequence starts at 1 in each.
        tail_bytes: length of the tails that will follow.
    """
    return [_start(shape, target, instance, tail_bytes) for target in targets]


def _start(shape: Shape, target: Target, instance: str, tail_bytes: int) -> bytes:
    if shape is Shape.seed:
        body = f'{{"attempt_id":"{target.key}","data":{{"n":'
    else:
        body = f'{{"proctorSessionId":{target.key},"clientInstance":"{instance}","clientSequence":'
    head = (
        f"POST {_PATHS[shape]} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {target.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body) + NUMBER_WIDTH + tail_bytes}\r\n\r\n"
    )
    return (head + body).encode()
