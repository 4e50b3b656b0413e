"""
What whoever watches an exam is told, message by message: the same on a stream and on a socket (spec.md U-1).

A message is made once for all watchers, as bytes (`live_feed`); these types are what the public document says
of it, and a test reads every message by them.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api.proctoring.live import Level, LiveSession
from core_api.proctoring.sockets import EndMessage
from kernel.events import EventOut

MessageId = Annotated[str, Meta(description="Where to go on from, as `Last-Event-ID` or `lastEventId`.")]


class LiveAlert(EventOut, frozen=True, kw_only=True, rename="camel"):
    """
    An event that somebody should look at now: of severity 4 or 5, or the latest one when the session's peak
    score rose into a higher band.
    """

    cause: Literal["severity", "band"]
    attempt_id: UUID
    candidate_name: str
    risk_level: Level | None


class LiveSnapshot(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All sessions that run, as they are; what follows has the next numbers."""

    number: int
    server_time: datetime
    sessions: list[LiveSession]


class LiveDelta(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    The sessions that have changed, as they are now: one whose `status` is no longer 1 has left the wall, and
    while two review it blind it comes without its numbers, to everybody. In the numbers of a connection there
    is no hole.
    """

    number: int
    server_time: datetime
    sessions: list[LiveSession]
    alerts: list[LiveAlert]
    alerts_left_off: Annotated[int, Meta(description="Alerts beyond the most that one message holds.")]


class LivePing(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Nothing has changed; the connection is alive."""

    server_time: datetime


class SnapshotMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="snapshot"):
    """First, unless what was missed can be told as one `delta`."""

    id: MessageId
    data: LiveSnapshot


class DeltaMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="delta"):
    """What has changed since the message before."""

    id: MessageId
    data: LiveDelta


class PingMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="ping"):
    """When nothing has happened for a while."""

    data: LivePing


LiveMessage = SnapshotMessage | DeltaMessage | PingMessage | EndMessage
