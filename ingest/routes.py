"""
The routes of ingest: read, admit, append, answer.
"""

from collections.abc import Collection
from functools import partial
from typing import Annotated, Final
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from ingest import replies
from ingest.admission.batches import (
    Admitted,
    BulkIn,
    EventIn,
    HeartbeatIn,
    MonitorIn,
    SingleIn,
    admit,
    event_of,
)
from ingest.admission.forms import ALONE, MONITOR_ALONE, Fault, Form
from ingest.admission.numbering import settle
from ingest.admission.parts import Share, by_attempt, sift
from ingest.admission.reading import Posted, read_bulk, read_heartbeat, read_monitor, read_single
from ingest.appending.append import Appended, EndedError, Sender
from ingest.receiving import TIER, beacon_token, client_of, receive, receive_batch, shed
from kernel.access import Action
from kernel.commands import Command
from kernel.errors import (
    AllRefusedError,
    ClientSequenceReusedError,
    ConflictError,
    DomainError,
    IdempotencyKeyReusedError,
    NotFoundError,
    OverloadedError,
    SessionNotActiveError,
    TooManyClientsError,
    TooManyHolesError,
)
from kernel.events import LANGUAGES, EventType, event_id
from kernel.http.fields import asked_language
from kernel.http.headers import ACCEPT_LANGUAGE, IDEMPOTENCY_KEY, INGEST_LOAD
from kernel.http.web import SETTINGS, Route, decode_query, idempotency_key
from kernel.running.runtime import EVENTS_REFUSED


class BulkQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`partial=true` stores what is valid and answers for each event."""

    partial: Annotated[
        bool, Meta(description="Store the valid events of a batch that holds invalid ones.")
    ] = False


def _language(request: web.Request) -> str:
    return asked_language(request.headers.getall("Accept-Language", ()), LANGUAGES)


def _told(
    request: web.Request, sender: Sender, commands: bytes, confirmed: Collection[int] = ()
) -> list[Command] | UnsetType:
    """Return what waits for a candidate's client; a service is told nothing."""
    if not commands or not sender.user:
        return UNSET
    return replies.told(commands, _language(request), confirmed=confirmed)


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
    """
    Append what was admitted, once under the request's key, which `body` is bound to, unless the load forbids
    it. The refusal of a session that has ended brings what its client is told.
    """
    shed(request, session_id, admitted, heartbeat=heartbeat)
    appender = request.app[TIER].appender
    try:
        return await appender.append(session_id, admitted, sender, key=idempotency_key(request), body=body)
    except EndedError as ended:
        commands = _told(request, sender, ended.commands)
        if commands is not UNSET:
            ended.beside = {"commands": commands}
        raise


async def post_event(request: web.Request) -> web.Response:
    """
    Log one event. A retry with the same clientSequence or Idempotency-Key gets the first reply, as a
    duplicate; another event under either is 409. The newest 128 Idempotency-Keys of a session at least are
    remembered, for an hour. After a 503 `outcome_unknown` a retry tells what became of the event.
    """
    settings = request.app[SETTINGS]
    sender, body = await receive(request)
    event, ignored = read_single(body, settings)
    client = client_of(sender, event.client_instance)
    admitted = admit([event], client=client, settings=settings, form=ALONE)
    appended = await _append(request, event.proctor_session_id, admitted, sender, body)
    ack = replies.ignoring(appended.ack, ignored)
    told = _told(request, sender, appended.commands)
    return _reply(replies.single(event.proctor_session_id, event, admitted.batch, appended, ack, told))


async def post_bulk(request: web.Request) -> web.Response:
    """
    Log a batch of events of one session: all of them, or none and every fault is named by its path.

    A clientSequence stands for one event: its type, severity, client time and metadata (as a JSON value).
    Sent again, in any batch, it gets its first reply; with another event, 409 `client_sequence_reused`.
    With `partial=true`, numbers of refused events are settled: they count as received and are never
    `missing`; where no event is allowed the reply is a refusal, with `results`, and with `ack` where
    numbers were settled.

    A page that is being left posts by `navigator.sendBeacon`, as text/plain and with the session's
    `beaconToken` in the body.
    """
    settings = request.app[SETTINGS]
    partial = bool(request.query_string) and decode_query(request, BulkQuery).partial
    sender, body = await receive_batch(request)
    posted = read_bulk(body, settings)
    if partial:
        return await _partial(request, body, posted, sender)
    admitted = admit(
        posted.events,
        client=client_of(sender, posted.head.client_instance),
        first_sequence=posted.head.client_sequence,
        settings=settings,
        places=posted.places,
        faults=posted.faults,
    )
    appended = await _append(request, posted.head.proctor_session_id, admitted, sender, body)
    ack = replies.ignoring(appended.ack, posted.ignored)
    return _reply(replies.bulk(admitted.events, ack, _told(request, sender, appended.commands)))


async def _partial(
    request: web.Request, body: bytes, posted: Posted[EventIn], sender: Sender
) -> web.Response:
    """
    Store the valid events of a batch and answer for each of them.

    A refused event that has a clientSequence is settled: the number counts as received, so that nothing is
    `missing` that never can come.
    """
    settings, head = request.app[SETTINGS], posted.head
    client = client_of(sender, head.client_instance)
    sifted = sift(posted, settings)
    settles = client is not None and bool(sifted.settled)
    admitted = None
    if sifted.events or not sifted.faults:
        admitted = admit(sifted.events, client=client, settings=settings, places=sifted.places)
    if client is not None and settles and (admitted is None or admitted.ranges):
        admitted = settle(admitted, client, sifted.settled)
    if admitted is None:
        raise replies.nothing_allowed(sifted.faults)
    appended = await _append(request, head.proctor_session_id, admitted, sender, body)
    ack, told = replies.ignoring(appended.ack, posted.ignored), _told(request, sender, appended.commands)
    if not sifted.events:
        raise replies.nothing_allowed(sifted.faults, ack, told)
    sequences = [seq for seq, _ in appended.positions]
    results = replies.event_results(dict(zip(sifted.places, sequences, strict=True)), sifted.faults)
    return _reply(replies.bulk(len(sifted.events), ack, told, results))


async def post_heartbeat(request: web.Request) -> web.Response:
    """
    Say that the client is there. Every 15 s; a silence of 45 s is recorded as a disconnection.

    With `confirmedCommands` it confirms commands that came with a reply, too; their ids are all it takes.
    """
    settings = request.app[SETTINGS]
    sender, body = await receive(request)
    beat, ignored = read_heartbeat(body, settings)
    event = EventIn(
        event_type=EventType.Heartbeat.value,
        metadata_json=beat.metadata_json,
        client_timestamp=beat.client_timestamp,
        client_sequence=beat.client_sequence,
        buffered=beat.buffered,
    )
    client = client_of(sender, beat.client_instance)
    admitted = admit([event], client=client, settings=settings, form=ALONE)
    appended = await _append(request, beat.proctor_session_id, admitted, sender, body, heartbeat=True)
    ack = replies.ignoring(appended.ack, ignored)
    confirmed = beat.confirmed_commands if sender.user else []
    if confirmed:
        await request.app[TIER].sessions.confirm(beat.proctor_session_id, confirmed)
    told = _told(request, sender, appended.commands, confirmed)
    beacon = beacon_token(request, beat.proctor_session_id)
    numbers = replies.NONE
    if settings.show_numbers_to_candidates and sender.user:
        score = await request.app[TIER].sessions.score(beat.proctor_session_id)
        numbers = replies.Numbers(score, appended.violations)
    return _reply(replies.heartbeat(appended, ack, _language(request), beacon, told, numbers))


async def post_monitor_events(request: web.Request) -> web.Response:
    """
    Log events by attempt: one, or a list.

    A list may span many attempts: each attempt's events are stored whole or not at all, with a result for
    each. An event of which nobody can tell whose it is refuses the whole list. Where nothing is stored the
    reply is a refusal with `results`: with the status and code that all attempts' refusals have; 429 or 503
    where one of them may be sent again; else 422 `all_refused`. A candidate's client is told its commands
    with each result.
    """
    settings = request.app[SETTINGS]
    sender, body = await receive(request)
    posted = read_monitor(body, settings)
    shares = by_attempt(posted)
    if posted.form is MONITOR_ALONE:
        ((attempt, share),) = shares.items()
        appended, session_id = await _monitor(request, attempt, share, posted.form, sender, body=body)
        ack = replies.ignoring(appended.ack, posted.ignored)
        told = _told(request, sender, appended.commands)
        ident = str(event_id(session_id, appended.positions[0][0]))
        return _reply(
            replies.MonitorOut(
                attempt_id=share.attempt_id, status="recorded", id=ident, ack=ack, commands=told
            )
        )
    found = await request.app[TIER].sessions.of_attempts(
        list(shares), sender.org, sender.user, account=sender.account, may_open=not sender.exam
    )
    results: list[replies.MonitorOut] = []
    refusals: list[DomainError] = []
    for attempt, share in shares.items():
        try:
            appended, session_id = await _monitor(request, attempt, share, posted.form, sender, found=found)
        except DomainError as error:
            EVENTS_REFUSED.labels(error.code).inc()
            refusals.append(error)
            told = _told(request, sender, error.commands) if isinstance(error, EndedError) else UNSET
            results.append(replies.refused(share.attempt_id, error, told))
        else:
            ack = replies.ignoring(appended.ack, posted.ignored, share.places)
            told = _told(request, sender, appended.commands)
            ids = [str(event_id(session_id, seq)) for seq, _ in appended.positions]
            results.append(
                replies.MonitorOut(
                    attempt_id=share.attempt_id, status="recorded", ids=ids, ack=ack, commands=told
                )
            )
    if len(refusals) == len(results):
        raise replies.all_refused(refusals, results)
    recorded = sum(len(result.ids) for result in results)
    return _reply(replies.MonitorReply(results=results, recorded=recorded))


async def _monitor(
    request: web.Request,
    attempt: UUID,
    share: Share,
    form: Form,
    sender: Sender,
    *,
    body: bytes = b"",
    found: dict[UUID, int] | None = None,
) -> tuple[Appended, int]:
    """Append one attempt's events; its session is among those `found`, or is looked up or opened."""
    settings, tier = request.app[SETTINGS], request.app[TIER]
    instance = share.events[0].client_instance if share.events else None
    others = [
        Fault(place, "client_instance" if event.client_instance else "", "Differs within the attempt")
        for place, event in zip(share.places, share.events, strict=True)
        if event.client_instance != instance
    ]
    admitted = admit(
        [event_of(event) for event in share.events],
        client=client_of(sender, instance),
        settings=settings,
        form=form,
        places=share.places,
        faults=[*share.faults, *others],
    )
    bound = body or _canonical(share.events)
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
    try:
        return await _append(request, session_id, admitted, sender, bound), session_id
    except SessionNotActiveError:
        latest = await asking(anew=True)
        if latest == session_id:
            raise
        return await _append(request, latest, admitted, sender, bound), latest


def _canonical(events: list[MonitorIn]) -> bytes:
    return msgspec.json.encode(events, order="deterministic")


_REFUSES: Final[dict[type[DomainError], str]] = {
    NotFoundError: "unknown, or not the caller's",
    ConflictError: "the session holds as many events as it can",
    SessionNotActiveError: "the session has ended or was cancelled",
    IdempotencyKeyReusedError: "the key came with another body",
    ClientSequenceReusedError: "the clientSequence came with another event",
    TooManyHolesError: "too many numbers of the client instance are missing",
    TooManyClientsError: "the session has had as many client instances as it may",
    OverloadedError: "too much waits to be written; heartbeats and severities from 3 on are refused last",
}
_posted = partial(
    Route,
    method="POST",
    action=Action.event_post,
    tag="Events",
    status=202,
    reads=(IDEMPOTENCY_KEY, ACCEPT_LANGUAGE),
    always_sends=(INGEST_LOAD,),
    refuses=_REFUSES,
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
    ),
    _posted(
        path="/monitor/events",
        name="log_monitor_events",
        handler=post_monitor_events,
        body=MonitorIn | list[MonitorIn],
        reply=replies.MonitorOut | replies.MonitorReply,
        also_bare=True,
        refuses=_REFUSES | {AllRefusedError: "every attempt was refused, each for another reason"},
    ),
]
