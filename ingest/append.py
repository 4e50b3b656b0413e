"""
The durable append: from an admitted batch to its acknowledgement.

One Redis function call does it all (append.lua). A reply means: sequence assigned and synced to disk, or
nothing was written and the reason is known. A cut connection means the outcome is unknown, and is answered
503: a client that sends its sequence numbers gets the first reply when it tries again.
"""

import hashlib
import struct
from itertools import pairwise, repeat
from time import perf_counter
from typing import Any, Final

import msgspec
import structlog
from msgspec import UNSET, UnsetType

from ingest.admission import Admitted, select, sequence_column
from ingest.epochs import Epochs
from ingest.link import RedisLink, RedisReplyError
from ingest.sessions import Sessions
from ingest.stream import (
    AppendArguments,
    append_keys,
    encode_batch,
    format_ranges,
    function,
    idempotency_key,
    library,
    parse_ranges,
    shard_of,
)
from kernel.errors import (
    ConflictError,
    DomainError,
    IdempotencyKeyReusedError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    SessionNotActiveError,
    TooManyClientsError,
    TooManyHolesError,
    UnavailableError,
)
from kernel.runtime import APPEND_SECONDS, APPENDS_INFLIGHT, EVENTS_ACCEPTED, EVENTS_DUPLICATE
from kernel.settings import Settings

log = structlog.get_logger(__name__)
# absent → restored → in part → again, each at most once or twice: more means that something is broken.
ROUNDS_MAX: Final = 6
_SEGMENT: Final = struct.Struct("<dddd")
_REFUSALS: Final[dict[bytes, tuple[type[DomainError], str]]] = {
    b"foreign": (NotFoundError, "There is no such proctor session."),
    b"ended": (SessionNotActiveError, "The proctor session has ended."),
    b"full": (ConflictError, "The proctor session holds as many events as it can."),
    b"holes": (TooManyHolesError, "Too many holes in clientSequence: fill some of them first."),
    b"crowd": (TooManyClientsError, "The proctor session has had too many client instances."),
    b"reused": (IdempotencyKeyReusedError, "The Idempotency-Key came before, with another body."),
}


class Ack(msgspec.Struct, frozen=True, rename="camel"):
    """
    What the client may rely on.

    `sequenceFrom` and `sequenceThrough` are this request's server sequences (the first ones, when
    `duplicate`); `sequences` gives them one by one where a part was received before. `late` says that some
    arrived after the session had ended, `lateSequences` which, where not all did. `ackedThrough` and
    `missing` are about this client instance's clientSequence. `storedThrough` is the server sequence that
    PostgreSQL has committed: a careful client keeps its copy until then.

    An ack that no longer covers what an earlier one did tells of a loss: those events go out again before
    `storedThrough` is looked at, for their server sequences have been given out anew.
    """

    sequence_from: int
    sequence_through: int
    stored_through: int
    duplicate: bool = False
    duplicates: int = 0
    acked_through: int | None = None
    missing: list[list[int]] = []
    late: bool = False
    late_sequences: list[int] | UnsetType = UNSET
    sequences: list[int] | UnsetType = UNSET


class Appended(msgspec.Struct, frozen=True):
    """The acknowledgement, each event's (sequence, server time us), and the session's violations so far."""

    ack: Ack
    positions: list[tuple[int, int]]
    violations: int


class Sender(msgspec.Struct, frozen=True):
    """
    Who posts: a candidate for their own session, or a service (`user` empty) for its organisation's. A
    candidate who came by launch link is bound to one `exam`; empty for everybody else.
    """

    user: str
    org: str
    exam: str = ""


class Appender:
    """The append path of one ingest process."""

    def __init__(self, link: RedisLink, epochs: Epochs, sessions: Sessions, settings: Settings) -> None:
        """Remember the parts, and the constants of the rate limit."""
        self._link = link
        self._epochs = epochs
        self._sessions = sessions
        self._settings = settings
        self._inflight = 0
        self._event_us = 1_000_000 // settings.session_events_per_s
        # A burst is what may come at once: its cost is the room that the arrival time may run ahead.
        self._burst_us = self._event_us * settings.session_burst_events

    async def append(
        self,
        session_id: int,
        admitted: Admitted,
        sender: Sender,
        *,
        key: str | None = None,
        body: bytes = b"",
    ) -> Appended:
        """
        Append a batch durably, once.

        Args:
            session_id: whose events they are.
            admitted: the checked batch.
            sender: must own the session, or be a service of its organisation.
            key: the Idempotency-Key, when one was sent; `body` is what it is bound to.
            body: the request's bytes.

        Raises:
            DomainError: refused; nothing was written. UnavailableError alone may mean "unknown".
        """
        if self._inflight >= self._settings.inflight_appends_max:
            raise OverloadedError("Too many appends are under way; nothing was stored.", retry_after_s=1)
        self._inflight += 1
        started = perf_counter()
        try:
            return await self._rounds(session_id, admitted, sender, key, body)
        finally:
            self._inflight -= 1
            APPENDS_INFLIGHT.set(self._inflight)
            APPEND_SECONDS.observe(perf_counter() - started)

    async def _rounds(
        self,
        session_id: int,
        whole: Admitted,
        sender: Sender,
        key: str | None,
        body: bytes,
    ) -> Appended:
        part, fresh = whole, 0
        if whole.ranges:
            key = None  # sequence numbers say more than a key does, and for longer
        digest = hashlib.sha256(body).hexdigest() if key else ""
        for _ in range(ROUNDS_MAX):
            reply = await self._call(session_id, part, sender, key, digest)
            match reply[0]:
                case b"ok" if part is whole:
                    EVENTS_ACCEPTED.inc(whole.events)
                    return _accepted(reply, whole)
                case b"ok":
                    EVENTS_ACCEPTED.inc(part.events)
                    part, fresh = whole, part.events  # now everything is there: ask where
                case b"dup":
                    EVENTS_DUPLICATE.inc(whole.events - fresh)
                    return await self._duplicate(session_id, reply, whole, fresh)
                case b"again":
                    EVENTS_DUPLICATE.inc(whole.events)
                    return _again(reply)
                case b"part":
                    part = select(whole, parse_ranges(reply[1]))
                case b"absent":
                    await self._sessions.restore(session_id)
                case _:
                    raise self._refusal(reply)
        raise UnavailableError("The session could not be read.", retry_after_s=1)

    def _refusal(self, reply: list[Any]) -> DomainError:
        """Return the error for a reply that says: nothing was written, and why."""
        match reply[0]:
            case b"stale":
                self._epochs.doubt()
                return UnavailableError(
                    "The stream is being reconciled; nothing was stored.", retry_after_s=1
                )
            case b"rate":
                return RateLimitedError(
                    "The session sends faster than it may; nothing was stored.",
                    retry_after_s=-(-int(reply[1]) // 1000),
                )
            case word:
                kind, sentence = _REFUSALS[word]
                return kind(sentence)

    async def _call(
        self,
        session_id: int,
        part: Admitted,
        sender: Sender,
        key: str | None,
        digest: str,
    ) -> list[Any]:
        limits = self._settings
        shard = shard_of(session_id, limits.shards)
        epoch = self._epochs.of(shard)
        arguments = AppendArguments(
            epoch=epoch.number,
            session=session_id,
            events=part.events,
            client=part.batch.client if part.ranges else None,
            ranges=format_ranges(part.ranges),
            candidate=sender.user,
            organisation=sender.org,
            violations=part.violations,
            heartbeat_us=part.heartbeat_us,
            latest_us=part.latest_us,
            event_us=self._event_us,
            burst_us=self._burst_us,
            late_window_us=limits.late_window_s * 1_000_000,
            ranges_max=limits.client_ranges_max,
            key_window_s=None if key is None else limits.idempotency_window_s,
            digest=digest,
            batch=encode_batch(part.batch),
            clients_max=limits.client_instances_max,
            exam=sender.exam,
            is_buffered=part.batch.buffered is not None,
        )
        remembered = None if key is None else idempotency_key(shard, session_id, key)
        try:
            reply: list[Any] = await self._link.call(
                epoch.incarnation,
                b"FCALL",
                function("append"),
                4,
                *append_keys(shard, session_id, remembered),
                *arguments.values(),
            )
        except UnavailableError:
            self._epochs.doubt()
            raise
        except RedisReplyError as error:
            return await self._explain(error)
        return reply

    async def _explain(self, error: RedisReplyError) -> list[Any]:
        """Turn an error of Redis into a reply word where there is one; nothing was written."""
        text = str(error)
        if "Function not found" in text:
            await load_functions(self._link)
            return [b"stale"]
        if "equal or smaller" in text:
            return [b"stale"]
        log.warning("append_refused_by_redis", error=text)
        if text.startswith("OOM"):
            raise OverloadedError(
                "The stream's memory is full; nothing was stored.", retry_after_s=10
            ) from error
        raise UnavailableError(
            "The stream does not take writes; nothing was stored.", retry_after_s=2
        ) from error

    async def _duplicate(self, session_id: int, reply: list[Any], whole: Admitted, fresh: int) -> Appended:
        """Answer a batch of which every event has been received, now or before, with its first sequences."""
        numbers = sequence_column(whole.batch, whole.events)
        found: dict[int, tuple[int, int]] = {}
        for low, high, seq, at in _SEGMENT.iter_unpack(reply[1]):
            for step in range(int(high) - int(low) + 1):
                found.setdefault(int(low) + step, (int(seq) + step, int(at)))
        if any(number not in found for number in numbers):
            assert whole.batch.client is not None, "only batches of a client are recognised this way"
            found |= await self._sessions.locate(session_id, whole.batch.client, numbers[0], numbers[-1])
        if any(number not in found for number in numbers):
            raise UnavailableError(
                "The events were received and are being stored; ask again.", retry_after_s=1
            )
        signed = [found[number] for number in numbers]
        sequences = [seq for seq, _ in signed]
        acked, missing = progress(parse_ranges(reply[4]))
        dense = sequences[-1] - sequences[0] + 1 == len(sequences)
        ack = Ack(
            sequence_from=min(sequences),
            sequence_through=max(sequences),
            stored_through=int(reply[3]),
            duplicate=fresh == 0,
            duplicates=whole.events - fresh,
            acked_through=acked,
            missing=missing,
            sequences=UNSET if dense else sequences,
        )
        return _appended(ack, signed, int(reply[2]))


def progress(ranges: list[list[int]]) -> tuple[int, list[list[int]]]:
    """Return (ackedThrough, missing): everything up to the first has arrived, the holes are named."""
    acked = ranges[0][1] if ranges and ranges[0][0] == 1 else 0
    edges = [[0, 0], *ranges]
    missing = [[before[1] + 1, after[0] - 1] for before, after in pairwise(edges) if after[0] > before[1] + 1]
    return acked, missing


def _accepted(reply: list[Any], admitted: Admitted) -> Appended:
    first, at = int(reply[1]), int(reply[2])
    acked, missing = progress(parse_ranges(reply[5])) if admitted.ranges else (None, [])
    ack = Ack(
        sequence_from=first,
        sequence_through=first + admitted.events - 1,
        stored_through=int(reply[4]),
        acked_through=acked,
        missing=missing,
    )
    signed = -at if reply[6] else at
    return _appended(ack, _positions(first, admitted.events, signed), int(reply[3]))


def _again(reply: list[Any]) -> Appended:
    first, events, at = int(reply[1]), int(reply[2]), int(reply[3])
    ack = Ack(
        sequence_from=first,
        sequence_through=first + events - 1,
        stored_through=int(reply[5]),
        duplicate=True,
        duplicates=events,
    )
    return _appended(ack, _positions(first, events, at), int(reply[4]))


def _appended(ack: Ack, signed: list[tuple[int, int]], violations: int) -> Appended:
    """Take the signs of the times into the acknowledgement: what is negative there was late."""
    late = [seq for seq, at in signed if at < 0]
    if late:
        some = UNSET if len(late) == len(signed) else late
        ack = msgspec.structs.replace(ack, late=True, late_sequences=some)
    return Appended(ack, [(seq, abs(at)) for seq, at in signed] if late else signed, violations)


def _positions(first: int, events: int, at_us: int) -> list[tuple[int, int]]:
    return list(zip(range(first, first + events), repeat(at_us), strict=False))


async def load_functions(link: RedisLink) -> None:
    """Load the function library where it is missing; a library of this name is this very text."""
    try:
        await link.call(None, b"FUNCTION", b"LOAD", library()[1])
    except RedisReplyError as error:
        if "already exists" not in str(error):
            raise
