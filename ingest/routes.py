"""
The routes of ingest: read, admit, append, answer.
"""

from datetime import UTC, datetime
from time import monotonic
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from ingest import replies
from ingest.admission import Admitted, BulkIn, EventIn, HeartbeatIn, MonitorIn, SingleIn, admit
from ingest.append import Appended, Appender, Sender
from ingest.numbering import settle
from ingest.pressure import Pressure
from ingest.reading import read_bulk, read_each, refuse_large_events
from ingest.sessions import Sessions
from ingest.stream import client_key, shard_of
from kernel.access import Action, scope_of
from kernel.bodies import read_body
from kernel.errors import (
    DomainError,
    InvalidInputError,
    MalformedError,
    NotAuthenticatedError,
    SessionNotActiveError,
    TooLargeError,
)
from kernel.events import EventType, Role, event_id
from kernel.meter import Meter
from kernel.revocation import Revocations
from kernel.runtime import EVENTS_REFUSED
from kernel.tokens import Audience, Claims, Keyring
from kernel.web import SETTINGS, Route, decode, decode_query

TOKENS_REMEMBERED_MAX: Final = 100_000
KEY_LENGTH_MAX: Final = 200


class Tier(Struct, frozen=True):
    """The parts of a running ingest process."""

    appender: Appender
    sessions: Sessions
    pressure: Pressure
    keyring: Keyring
    meter: Meter
    verified: dict[str, Claims]
    revocations: Revocations


TIER: Final = web.AppKey("tier", Tier)
LOAD: Final = web.RequestKey("load", int)  # of the shards that the request's sessions belong to


class BulkQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`partial=true` stores what is valid and answers for each event."""

    partial: Annotated[
        bool, Meta(description="Store the valid events of a batch that holds invalid ones.")
    ] = False


def sender_of(request: web.Request) -> Sender:
    """
    Return who posts, from the bearer token and this process's own revocations: no round trip to anywhere.

    Raises:
        NotAuthenticatedError: no genuine, unexpired token that still holds.
        ForbiddenError: the role does not post events.
    """
    tier = request.app[TIER]
    header = request.headers.get("Authorization", "")
    claims = tier.verified.get(header)
    now = datetime.now(UTC)
    if claims is None:
        if not header.startswith("Bearer "):
            raise NotAuthenticatedError("Send a bearer token.")
        claims = tier.keyring.verify(header[7:], audience=Audience.access, now=now)
        if len(tier.verified) >= TOKENS_REMEMBERED_MAX:
            tier.verified.clear()
        tier.verified[header] = claims
    elif claims.exp <= now.timestamp():
        del tier.verified[header]
        raise NotAuthenticatedError("The token has expired.")
    tier.revocations.check(claims)
    scope_of(claims.role, Action.event_post, bound=claims.exam_id is not None)
    user = "" if claims.role is Role.service else claims.user_id
    return Sender(user=user, org=claims.org, exam=claims.exam_id or "")


async def _receive(request: web.Request) -> tuple[Sender, bytes]:
    """
    Return who posts, and what: the decoded bytes, within the sender's allowance.

    Raises:
        DomainError: what `sender_of`, `Meter` and `read_body` raise.
    """
    settings, meter, sender = request.app[SETTINGS], request.app[TIER].meter, sender_of(request)
    if not sender.user:
        return sender, await read_body(request, settings)
    meter.check(sender.user, monotonic())
    try:
        body = await read_body(request, settings)
    except (TooLargeError, MalformedError):
        meter.charge(sender.user, settings.decoded_bytes_max, monotonic())
        raise
    meter.charge(sender.user, len(body), monotonic())
    return sender, body


def _key_of(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= KEY_LENGTH_MAX and key.isascii() and key.isprintable()):
        message = f"Expected 1 to {KEY_LENGTH_MAX} printable ASCII characters"
        raise InvalidInputError(
            "The Idempotency-Key is not allowed.", errors=[{"path": "Idempotency-Key", "message": message}]
        )
    return key


def _shed(request: web.Request, session_id: int, admitted: Admitted, *, heartbeat: bool = False) -> None:
    """Note the load of the session's shard, for the reply; raises OverloadedError where it sheds this."""
    pressure = request.app[TIER].pressure
    shard = shard_of(session_id, request.app[SETTINGS].shards)
    request[LOAD] = max(request.get(LOAD, 0), pressure.loads[shard])
    pressure.shed(shard, admitted.severity_max, heartbeat=heartbeat)


def _client(instance: str | None) -> int | None:
    return None if instance is None else client_key(instance)


def _reply(payload: object) -> web.Response:
    return web.Response(body=replies.encode(payload), status=202, content_type="application/json")


_SINGLE: Final = msgspec.json.Decoder(SingleIn)
_HEARTBEAT: Final = msgspec.json.Decoder(HeartbeatIn)
_MONITOR: Final = msgspec.json.Decoder(MonitorIn | list[MonitorIn])


async def post_event(request: web.Request) -> web.Response:
    """
    Log one event. A retry with the same clientSequence or Idempotency-Key gets the first reply, as a
    duplicate.
    """
    settings, tier = request.app[SETTINGS], request.app[TIER]
    sender, body = await _receive(request)
    refuse_large_events(body, settings)
    event = decode(body, _SINGLE)
    admitted = admit([event], client=_client(event.client_instance), first_sequence=None, settings=settings)
    _shed(request, event.proctor_session_id, admitted)
    appended = await tier.appender.append(
        event.proctor_session_id, admitted, sender, key=_key_of(request), body=body
    )
    return _reply(replies.single(event.proctor_session_id, event, admitted.batch, appended))


async def post_bulk(request: web.Request) -> web.Response:
    """Log a batch of events of one session: all of them, or none and every fault is named with its index."""
    settings, tier = request.app[SETTINGS], request.app[TIER]
    partial = bool(request.query_string) and decode_query(request, BulkQuery).partial
    sender, body = await _receive(request)
    if partial:
        return await _partial(request, body, sender)
    batch: BulkIn = read_bulk(body, settings)
    admitted = admit(
        batch.events,
        client=_client(batch.client_instance),
        first_sequence=batch.client_sequence,
        settings=settings,
    )
    _shed(request, batch.proctor_session_id, admitted)
    appended = await tier.appender.append(
        batch.proctor_session_id, admitted, sender, key=_key_of(request), body=body
    )
    return _reply(replies.bulk(admitted.events, appended))


async def _partial(request: web.Request, body: bytes, sender: Sender) -> web.Response:
    """
    Store the valid events of a batch and answer for each of them.

    A refused event that has a clientSequence is settled: the number counts as received, so that nothing is
    `missing` that never can come.
    """
    settings, tier = request.app[SETTINGS], request.app[TIER]
    header, events, faults, refused = read_each(body, settings)
    client = _client(header.client_instance)
    settles = client is not None and bool(refused)
    if not events and not settles:
        raise InvalidInputError(
            "No event of the batch is allowed; nothing was stored.",
            errors=[fault for some in faults.values() for fault in some],
        )
    valid = [event for _, event in events]
    admitted = admit(valid, client=client, first_sequence=None, settings=settings) if valid else None
    if client is not None and refused and (admitted is None or admitted.ranges):
        admitted = settle(admitted, client, refused)
    assert admitted is not None, "an event is valid, or a number is settled"
    _shed(request, header.proctor_session_id, admitted)
    appended = await tier.appender.append(
        header.proctor_session_id, admitted, sender, key=_key_of(request), body=body
    )
    results: list[dict[str, Any]] = [
        {"index": index, "status": "accepted", "sequenceNumber": seq}
        for (index, _), (seq, _) in zip(events, appended.positions, strict=True)
    ]
    results += [{"index": index, "status": "refused", "errors": some} for index, some in faults.items()]
    results.sort(key=lambda result: int(result["index"]))
    return _reply(replies.bulk(len(events), appended, results))


async def post_heartbeat(request: web.Request) -> web.Response:
    """Say that the client is there. Every 15 s; a silence of 45 s is recorded as a disconnection."""
    settings, tier = request.app[SETTINGS], request.app[TIER]
    sender, body = await _receive(request)
    refuse_large_events(body, settings)
    beat = decode(body, _HEARTBEAT)
    event = EventIn(
        event_type=EventType.Heartbeat.value,
        metadata_json=beat.metadata_json,
        client_timestamp=beat.client_timestamp,
        client_sequence=beat.client_sequence,
        buffered=beat.buffered,
    )
    admitted = admit([event], client=_client(beat.client_instance), first_sequence=None, settings=settings)
    _shed(request, beat.proctor_session_id, admitted, heartbeat=True)
    appended = await tier.appender.append(
        beat.proctor_session_id,
        admitted,
        sender,
        key=_key_of(request),
        body=body,
    )
    language = replies.language_of(request.headers.get("Accept-Language", "en"))
    return _reply(replies.heartbeat(appended, language, show_numbers=settings.show_numbers_to_candidates))


async def post_monitor_events(request: web.Request) -> web.Response:
    """
    Log events by attempt: one, or a list.

    A list may span many attempts: each attempt's events are stored whole or not at all, with a result for
    each.
    """
    settings = request.app[SETTINGS]
    sender, body = await _receive(request)
    refuse_large_events(body, settings)
    posted = decode(body, _MONITOR)
    if isinstance(posted, MonitorIn):
        appended, session_id = await _monitor(request, [posted], sender, key=_key_of(request), body=body)
        ident = str(event_id(session_id, appended.positions[0][0]))
        return _reply(
            replies.MonitorOut(attempt_id=posted.attempt_id, status="recorded", id=ident, ack=appended.ack)
        )
    if len(posted) > settings.batch_events_max:
        message = f"A request holds at most {settings.batch_events_max} events, this one {len(posted)}."
        raise TooLargeError(message)
    if not posted:
        raise InvalidInputError(
            "The list is empty.", errors=[{"path": "body", "message": "Expected at least one event"}]
        )
    by_attempt: dict[str, list[MonitorIn]] = {}
    for event in posted:
        by_attempt.setdefault(event.attempt_id, []).append(event)
    results = [await _monitor_result(request, attempt, some, sender) for attempt, some in by_attempt.items()]
    recorded = sum(len(result.ids) for result in results)
    return _reply(replies.MonitorReply(results=results, recorded=recorded))


async def _monitor_result(
    request: web.Request, attempt: str, events: list[MonitorIn], sender: Sender
) -> replies.MonitorOut:
    try:
        appended, session_id = await _monitor(request, events, sender, key=_key_of(request), body=b"")
    except DomainError as error:
        EVENTS_REFUSED.labels(error.code).inc()
        return replies.MonitorOut(
            attempt_id=attempt, status="refused", code=error.code, detail=error.detail, errors=error.errors
        )
    ids = [str(event_id(session_id, seq)) for seq, _ in appended.positions]
    return replies.MonitorOut(attempt_id=attempt, status="recorded", ids=ids, ack=appended.ack)


async def _monitor(
    request: web.Request, events: list[MonitorIn], sender: Sender, *, key: str | None, body: bytes
) -> tuple[Appended, int]:
    """Append one attempt's events; its session is found, or one opened."""
    settings, tier = request.app[SETTINGS], request.app[TIER]
    instances = {event.client_instance for event in events}
    if len(instances) > 1:
        raise InvalidInputError(
            "One client instance per attempt and request.",
            errors=[{"path": "client_instance", "message": "Differs within the attempt"}],
        )
    admitted = admit(
        [
            EventIn(
                event_type=event.event_type,
                severity=event.severity,
                metadata_json=_text(event.data),
                client_timestamp=event.client_timestamp,
                client_sequence=event.client_sequence,
                buffered=event.buffered,
            )
            for event in events
        ],
        client=_client(instances.pop()),
        first_sequence=None,
        settings=settings,
    )
    try:
        attempt = UUID(events[0].attempt_id)
    except ValueError as error:
        raise InvalidInputError(
            "The attempt id is not a UUID.", errors=[{"path": "attempt_id", "message": "Expected a UUID"}]
        ) from error
    bound = body or _canonical(events)
    may_open = not sender.exam
    session_id = await tier.sessions.of_attempt(attempt, sender.org, sender.user, may_open=may_open)
    _shed(request, session_id, admitted)
    try:
        return await tier.appender.append(session_id, admitted, sender, key=key, body=bound), session_id
    except SessionNotActiveError:
        latest = await tier.sessions.of_attempt(
            attempt, sender.org, sender.user, may_open=may_open, anew=True
        )
        if latest == session_id:
            raise
        return await tier.appender.append(latest, admitted, sender, key=key, body=bound), latest


def _text(data: msgspec.Raw | UnsetType) -> str | None:
    try:
        return None if data is UNSET or data is None else bytes(data).decode()
    except UnicodeDecodeError as error:
        raise MalformedError("An event's data is not UTF-8.") from error


def _canonical(events: list[MonitorIn]) -> bytes:
    return msgspec.json.encode(events, order="deterministic")


ROUTES: Final = [
    Route(
        method="POST",
        path="/proctor/event",
        handler=post_event,
        action=Action.event_post,
        tag="ingest",
        body=SingleIn,
        reply=replies.SingleReply,
        status=202,
    ),
    Route(
        method="POST",
        path="/proctor/events/bulk",
        handler=post_bulk,
        action=Action.event_post,
        tag="ingest",
        body=BulkIn,
        query=BulkQuery,
        reply=replies.BulkReply,
        status=202,
    ),
    Route(
        method="POST",
        path="/proctor/heartbeat",
        handler=post_heartbeat,
        action=Action.event_post,
        tag="ingest",
        body=HeartbeatIn,
        reply=replies.HeartbeatReply,
        status=202,
    ),
    Route(
        method="POST",
        path="/monitor/events",
        handler=post_monitor_events,
        action=Action.event_post,
        tag="ingest",
        body=MonitorIn | list[MonitorIn],
        reply=replies.MonitorOut | replies.MonitorReply,
        status=202,
        also_bare=True,
    ),
]
