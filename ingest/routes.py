"""
The routes of ingest: read, admit, append, answer.
"""

from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from ingest import replies
from ingest.admission.batches import Admitted, BulkIn, EventIn, HeartbeatIn, MonitorIn, SingleIn, admit
from ingest.admission.numbering import settle
from ingest.admission.reading import read_bulk, read_each, refuse_large_events
from ingest.appending.append import Appended, Sender
from ingest.receiving import TIER, client_of, receive, shed
from kernel.access import Action
from kernel.errors import (
    ClientSequenceReusedError,
    ConflictError,
    DomainError,
    IdempotencyKeyReusedError,
    InvalidInputError,
    MalformedError,
    NotFoundError,
    OverloadedError,
    SessionNotActiveError,
    TooLargeError,
    TooManyClientsError,
    TooManyHolesError,
)
from kernel.events import LANGUAGES, EventType, event_id
from kernel.http.fields import language
from kernel.http.headers import ACCEPT_LANGUAGE, IDEMPOTENCY_KEY, INGEST_LOAD
from kernel.http.web import SETTINGS, Route, decode, decode_query, idempotency_key
from kernel.running.runtime import EVENTS_REFUSED


class BulkQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`partial=true` stores what is valid and answers for each event."""

    partial: Annotated[
        bool, Meta(description="Store the valid events of a batch that holds invalid ones.")
    ] = False


def _reply(payload: object) -> web.Response:
    return web.Response(body=replies.encode(payload), status=202, content_type="application/json")


async def _append(
    request: web.Request,
    session_id: int,
    admitted: Admitted,
    sender: Sender,
    body: bytes,
    *,
    heartbeat: bool = False,
) -> Appended:
    """Append what was admitted, once under the request's key, unless the load forbids it."""
    shed(request, session_id, admitted, heartbeat=heartbeat)
    appender = request.app[TIER].appender
    return await appender.append(session_id, admitted, sender, key=idempotency_key(request), body=body)


_SINGLE: Final = msgspec.json.Decoder(SingleIn)
_HEARTBEAT: Final = msgspec.json.Decoder(HeartbeatIn)
_MONITOR: Final = msgspec.json.Decoder(MonitorIn | list[MonitorIn])


async def post_event(request: web.Request) -> web.Response:
    """
    Log one event. A retry with the same clientSequence or Idempotency-Key gets the first reply, as a
    duplicate; another event under either is 409. The newest 128 Idempotency-Keys of a session at least are
    remembered, for an hour. After a 503 `outcome_unknown` a retry tells what became of the event.
    """
    settings = request.app[SETTINGS]
    sender, body = await receive(request)
    refuse_large_events(body, settings)
    event = decode(body, _SINGLE)
    admitted = admit([event], client=client_of(sender, event.client_instance), settings=settings)
    appended = await _append(request, event.proctor_session_id, admitted, sender, body)
    return _reply(replies.single(event.proctor_session_id, event, admitted.batch, appended))


async def post_bulk(request: web.Request) -> web.Response:
    """
    Log a batch of events of one session: all of them, or none and every fault is named with its index.

    A clientSequence stands for one event: its type, severity, client time and metadata (as a JSON value).
    Sent again, in any batch, it gets its first reply; with another event, 409 `client_sequence_reused`. With
    `partial=true`, numbers of refused events are settled: they count as received and are never `missing`.
    """
    settings = request.app[SETTINGS]
    partial = bool(request.query_string) and decode_query(request, BulkQuery).partial
    sender, body = await receive(request)
    if partial:
        return await _partial(request, body, sender)
    batch: BulkIn = read_bulk(body, settings)
    admitted = admit(
        batch.events,
        client=client_of(sender, batch.client_instance),
        first_sequence=batch.client_sequence,
        settings=settings,
    )
    appended = await _append(request, batch.proctor_session_id, admitted, sender, body)
    return _reply(replies.bulk(admitted.events, appended))


async def _partial(request: web.Request, body: bytes, sender: Sender) -> web.Response:
    """
    Store the valid events of a batch and answer for each of them.

    A refused event that has a clientSequence is settled: the number counts as received, so that nothing is
    `missing` that never can come.
    """
    settings = request.app[SETTINGS]
    header, events, faults, refused = read_each(body, settings)
    client = client_of(sender, header.client_instance)
    settles = client is not None and bool(refused)
    if not events and not settles:
        raise InvalidInputError(
            "No event of the batch is allowed; nothing was stored.",
            errors=[fault for some in faults.values() for fault in some],
        )
    admitted = None
    if events:
        places, valid = zip(*events, strict=True)
        admitted = admit(list(valid), client=client, settings=settings, places=places)
    if client is not None and refused and (admitted is None or admitted.ranges):
        admitted = settle(admitted, client, refused)
    assert admitted is not None, "an event is valid, or a number is settled"
    appended = await _append(request, header.proctor_session_id, admitted, sender, body)
    results: list[dict[str, Any]] = [
        {"index": index, "status": "accepted", "sequenceNumber": seq}
        for (index, _), (seq, _) in zip(events, appended.positions, strict=True)
    ]
    results += [{"index": index, "status": "refused", "errors": some} for index, some in faults.items()]
    results.sort(key=lambda result: int(result["index"]))
    return _reply(replies.bulk(len(events), appended, results))


async def post_heartbeat(request: web.Request) -> web.Response:
    """Say that the client is there. Every 15 s; a silence of 45 s is recorded as a disconnection."""
    settings = request.app[SETTINGS]
    sender, body = await receive(request)
    refuse_large_events(body, settings)
    beat = decode(body, _HEARTBEAT)
    event = EventIn(
        event_type=EventType.Heartbeat.value,
        metadata_json=beat.metadata_json,
        client_timestamp=beat.client_timestamp,
        client_sequence=beat.client_sequence,
        buffered=beat.buffered,
    )
    admitted = admit([event], client=client_of(sender, beat.client_instance), settings=settings)
    appended = await _append(request, beat.proctor_session_id, admitted, sender, body, heartbeat=True)
    spoken = language(",".join(request.headers.getall("Accept-Language", ())), LANGUAGES)
    return _reply(replies.heartbeat(appended, spoken, show_numbers=settings.show_numbers_to_candidates))


async def post_monitor_events(request: web.Request) -> web.Response:
    """
    Log events by attempt: one, or a list.

    A list may span many attempts: each attempt's events are stored whole or not at all, with a result for
    each.
    """
    settings = request.app[SETTINGS]
    sender, body = await receive(request)
    refuse_large_events(body, settings)
    posted = decode(body, _MONITOR)
    if isinstance(posted, MonitorIn):
        appended, session_id = await _monitor(
            request, [posted], sender, key=idempotency_key(request), body=body
        )
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
    attempts = [attempt for each in by_attempt if (attempt := _uuid(each)) is not None]
    found = await request.app[TIER].sessions.of_attempts(
        attempts, sender.org, sender.user, account=sender.account, may_open=not sender.exam
    )
    results = [
        await _monitor_result(request, attempt, some, sender, found) for attempt, some in by_attempt.items()
    ]
    recorded = sum(len(result.ids) for result in results)
    return _reply(replies.MonitorReply(results=results, recorded=recorded))


async def _monitor_result(
    request: web.Request,
    attempt: str,
    events: list[MonitorIn],
    sender: Sender,
    found: dict[UUID, int],
) -> replies.MonitorOut:
    try:
        appended, session_id = await _monitor(
            request, events, sender, key=idempotency_key(request), found=found
        )
    except DomainError as error:
        EVENTS_REFUSED.labels(error.code).inc()
        return replies.MonitorOut(
            attempt_id=attempt, status="refused", code=error.code, detail=error.detail, errors=error.errors
        )
    ids = [str(event_id(session_id, seq)) for seq, _ in appended.positions]
    return replies.MonitorOut(attempt_id=attempt, status="recorded", ids=ids, ack=appended.ack)


async def _monitor(
    request: web.Request,
    events: list[MonitorIn],
    sender: Sender,
    *,
    key: str | None,
    body: bytes = b"",
    found: dict[UUID, int] | None = None,
) -> tuple[Appended, int]:
    """Append one attempt's events; its session is among those `found`, or is looked up or opened."""
    settings, tier = request.app[SETTINGS], request.app[TIER]
    instances = {event.client_instance for event in events}
    if len(instances) > 1:
        raise InvalidInputError(
            "In one request, an attempt's events come from one client instance.",
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
        client=client_of(sender, instances.pop()),
        settings=settings,
    )
    attempt = _uuid(events[0].attempt_id)
    if attempt is None:
        raise InvalidInputError(
            "The attempt id is not a UUID.", errors=[{"path": "attempt_id", "message": "Expected a UUID"}]
        )
    bound = body or _canonical(events)
    asking = partial(
        tier.sessions.of_attempt,
        attempt,
        sender.org,
        sender.user,
        account=sender.account,
        may_open=not sender.exam,
    )
    if found is None:
        session_id = await asking()
    elif attempt in found:
        session_id = found[attempt]
    else:
        raise NotFoundError("There is no such attempt.")
    shed(request, session_id, admitted)
    try:
        return await tier.appender.append(session_id, admitted, sender, key=key, body=bound), session_id
    except SessionNotActiveError:
        latest = await asking(anew=True)
        if latest == session_id:
            raise
        return await tier.appender.append(latest, admitted, sender, key=key, body=bound), latest


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _text(data: msgspec.Raw | UnsetType) -> str | None:
    try:
        return None if data is UNSET or data is None else bytes(data).decode()
    except UnicodeDecodeError as error:
        raise MalformedError("An event's data is not UTF-8.") from error


def _canonical(events: list[MonitorIn]) -> bytes:
    return msgspec.json.encode(events, order="deterministic")


_posted = partial(
    Route,
    method="POST",
    action=Action.event_post,
    tag="Events",
    status=202,
    reads=(IDEMPOTENCY_KEY,),
    sends=(INGEST_LOAD,),
    refuses={
        NotFoundError: "unknown, or not the caller's",
        ConflictError: "the session holds as many events as it can",
        SessionNotActiveError: "the session has ended or was cancelled",
        IdempotencyKeyReusedError: "the key came with another body",
        ClientSequenceReusedError: "the clientSequence came with another event",
        TooManyHolesError: "too many numbers of the client instance are missing",
        TooManyClientsError: "the session has had as many client instances as it may",
        OverloadedError: "too much waits to be written; heartbeats and severities from 3 on are refused last",
    },
)

ROUTES: Final = [
    _posted(
        path="/proctor/event", name="log_event", handler=post_event, body=SingleIn, reply=replies.SingleReply
    ),
    _posted(
        path="/proctor/events/bulk",
        name="log_events",
        handler=post_bulk,
        body=BulkIn,
        query=BulkQuery,
        reply=replies.BulkReply,
    ),
    _posted(
        path="/proctor/heartbeat",
        name="send_heartbeat",
        handler=post_heartbeat,
        body=HeartbeatIn,
        reply=replies.HeartbeatReply,
        reads=(IDEMPOTENCY_KEY, ACCEPT_LANGUAGE),
    ),
    _posted(
        path="/monitor/events",
        name="log_monitor_events",
        handler=post_monitor_events,
        body=MonitorIn | list[MonitorIn],
        reply=replies.MonitorOut | replies.MonitorReply,
        also_bare=True,
    ),
]
