"""
The events that every benchmark sends: a fixed, realistic mix. Pure.

One list, used by the HTTP loader (as JSON) and by the COPY baseline (as rows), so that both store the same
thing.
"""

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import msgspec
import orjson

from kernel.events import EventType, Severity

BULK: Final = 50
# Events of one bulk lie this far apart on the client's clock, the last one at the moment of sending.
CLIENT_GAP: Final = timedelta(milliseconds=40)


class SampleEvent(msgspec.Struct, frozen=True):
    """One event to send; `metadata` is its payload as JSON text."""

    event_type: EventType
    severity: Severity
    metadata: str


@cache
def sample_bulk() -> tuple[SampleEvent, ...]:
    """
    Return the 50 events of one bulk, about 200 bytes each on the wire; the same ones in every process.

    Shares: 19 Keystroke, 18 MouseActivity, 8 WindowFocus, 4 TabSwitched, 1 Heartbeat.
    """
    dice = random.Random(50)
    kinds = ["keystroke"] * 19 + ["mouse"] * 18 + ["focus"] * 8 + ["tab"] * 4 + ["heartbeat"]
    dice.shuffle(kinds)
    return tuple(_sample(kind, dice) for kind in kinds)


def _sample(kind: str, dice: random.Random) -> SampleEvent:
    severity, event_type = Severity.Info, EventType.Keystroke
    question = f"q-{dice.randrange(1, 60):02d}"
    payload: dict[str, Any]
    if kind == "keystroke":
        payload = {"keys": dice.randrange(1, 30), "dwellMs": dice.randrange(40, 180), "question": question}
    elif kind == "mouse":
        event_type = EventType.MouseActivity
        payload = {
            "x": dice.randrange(1920),
            "y": dice.randrange(1080),
            "clicks": dice.randrange(4),
            "pathPx": 812,
        }
    elif kind == "focus":
        event_type, severity = EventType.WindowFocus, Severity.Low
        payload = {"focused": dice.random() < 0.5, "awayMs": dice.randrange(9000), "question": question}
    elif kind == "heartbeat":
        event_type, payload = (
            EventType.Heartbeat,
            {"online": True, "queued": dice.randrange(60), "question": question},
        )
    else:
        event_type, severity = EventType.TabSwitched, Severity.Medium
        payload = {"visible": False, "awayMs": dice.randrange(30_000), "question": question}
    payload["trace"] = f"{dice.getrandbits(96):024x}"
    return SampleEvent(event_type, severity, orjson.dumps(payload).decode())


def client_times(at: datetime) -> list[datetime]:
    """Return the client times of a bulk sent at `at`, oldest first."""
    return [at - CLIENT_GAP * (BULK - 1 - index) for index in range(BULK)]


def wire_events(at: datetime) -> list[dict[str, Any]]:
    """Return the `events` array of `POST /api/proctor/events/bulk`; its length does not depend on `at`."""
    return [
        {
            "eventType": int(event.event_type),
            "severity": int(event.severity),
            "metadataJson": event.metadata,
            "clientTimestamp": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        for event, moment in zip(sample_bulk(), client_times(at), strict=True)
    ]
