"""
The durable append: from an admitted batch to its acknowledgement.

One Redis function call does it all (append.lua). A reply means: sequence assigned and synced to disk, or
nothing was written and the reason is known. A cut connection means the outcome is unknown, and is answered
503: a client that sends its sequence numbers gets the first reply when it tries again.
"""

from itertools import repeat
from time import perf_counter
from typing import Any, Final

import msgspec
import structlog
from msgspec import UNSET, UnsetType

from ingest.admission.batches import Admitted
from ingest.admission.numbering import progress, sequence_column, split
from ingest.appending.epochs import Epochs
from ingest.appending.first_replies import FirstReplies, Positions
from ingest.appending.sessions import Sessions
from ingest.stream.calls import Append
from ingest.stream.link import RedisLink, RedisReplyError
from ingest.stream.protocol import (
    client_names,
    digest,
    encode_batch,
    format_ranges,
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
from kernel.running.runtime import APPEND_SECONDS, APPENDS_INFLIGHT, EVENTS_ACCEPTED, EVENTS_DUPLICATE
from kernel.settings import Settings

log = structlog.get_logger(__name__)
# absent → restored → in part → again, each at most once or twice: more means that something is broken.
ROUNDS_MAX: Final = 6
_REFUSALS: Final[dict[bytes, tuple[type[DomainError], str]]] = {
    b"foreign": (NotFoundError, "There is no such proctor session."),
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

    `ignored` names members of the request that nobody knows, such as `events[0].severty`: what they say is
    not stored. It is there only where there are such, and names the first ones; `ignoredMore` is how many
    there are beside them.
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
    ignored: list[str] | UnsetType = UNSET
    ignored_more: int | UnsetType = UNSET


class EndedError(SessionNotActiveError):
    """A session that has ended, and what waits for its client: that its attempt was terminated, say."""

    commands = b""  # as JSON, empty for none


class Appended(msgspec.Struct, frozen=True):
    """
    The acknowledgement, each event's (sequence, server time us), and the session's violations so far; and
    which commands wait for its client, as JSON, empty for none.
    """

    ack: Ack
    positions: list[tuple[int, int]]
    violations: int
    commands: bytes


class Sender(msgspec.Struct, frozen=True):
    """
    Who posts: a candidate for their own session, or a service (`user` empty) for its organisation's. A
    candidate who came by launch link is bound to one `exam`; empty for everybody else.
    """

    user: str
    org: str
    exam: str = ""

    @property
    def account(self) -> str:
        """
        Return whose share of everything they use up. A sign-in by link has one of its own: whoever made the
        link takes nothing from the candidate.
        """
        return f"{self.user} {self.exam}" if self.exam else self.user or self.org


class Appender:
    """The append path of one ingest process."""

    def __init__(self, link: RedisLink, epochs: Epochs, sessions: Sessions, settings: Settings) -> None:
        """Remember the parts, and the constants of the rate limit."""
        self._link = link
        self._epochs = epochs
        self._sessions = sessions
        self._settings = settings
        self._inflight = 0
        self._first = FirstReplies(link, epochs, sessions, settings.shards)
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
            DomainError: refused; nothing was written. OutcomeUnknownError: the reply was lost.
        """
        if self._inflight >= self._settings.inflight_appends_max:
            raise OverloadedError("Too many events arrive at once; nothing was stored.", retry_after_s=1)
        if admitted.ranges:
            key = None  # sequence numbers say more than a key does, and for longer
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
        """Call the function until all of the batch is received; what was before is held to what came then."""
        part, known, account = whole, Positions(), sender.account
        for _ in range(ROUNDS_MAX):
            reply = await self._call(session_id, part, sender, key, body)
            match reply[0]:
                case b"ok":
                    EVENTS_ACCEPTED.inc(part.events)
                    EVENTS_DUPLICATE.inc(whole.events - part.events)
                    return _accepted(reply, whole, part, known)
                case b"dup":
                    known |= await self._first.positions(session_id, part, part, reply[1])
                    EVENTS_DUPLICATE.inc(whole.events)
                    return _duplicate(reply, whole, known)
                case b"again":
                    EVENTS_DUPLICATE.inc(whole.events)
                    return _again(reply)
                case b"part":
                    lacking, rest = split(part, parse_ranges(reply[1]))
                    known |= await self._first.positions(session_id, part, rest, reply[2])
                    part = lacking
                case b"absent":
                    await self._sessions.restore(session_id, account)
                case b"foreign":
                    self._sessions.miss(account)
                    raise self._refusal(reply)
                case _:
                    raise self._refusal(reply)
        raise UnavailableError("The session could not be read; nothing was stored.", retry_after_s=1)

    def _refusal(self, reply: list[Any]) -> DomainError:
        """Return the error for a reply that says: nothing was written, and why."""
        match reply[0]:
            case b"stale":
                self._epochs.doubt()
                return UnavailableError("Events are not taken yet; nothing was stored.", retry_after_s=1)
            case b"rate":
                return RateLimitedError(
                    "The session sends faster than it may; nothing was stored.",
                    retry_after_s=-(-int(reply[1]) // 1000),
                )
            case b"ended":
                ended = EndedError("The proctor session has ended.")
                ended.commands = reply[1]
                return ended
            case word:
                kind, sentence = _REFUSALS[word]
                return kind(sentence)

    async def _call(
        self,
        session_id: int,
        part: Admitted,
        sender: Sender,
        key: str | None,
        body: bytes,
    ) -> list[Any]:
        shard = shard_of(session_id, self._settings.shards)
        epoch = self._epochs.of(shard)
        limits, batch = self._settings, encode_batch(part.batch)
        append = Append(
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
            body=b"" if key is None else digest(body, 16),
            batch=batch,
            # As many again for services: a candidate's cannot take all.
            clients_max=limits.client_instances_max * (1 if sender.user else 2),
            exam=sender.exam,
            is_buffered=int(part.batch.buffered is not None),
            settled=format_ranges(part.batch.settled or []),
            batch_digest=digest(batch, 8) if part.ranges else b"",
            name=b"" if key is None else digest(key.encode(), 16),
            names_max=limits.idempotency_keys_max,
        )
        names = None if key is None else client_names(shard, session_id, of_service=not sender.user)
        try:
            reply: list[Any] = await self._link.call(
                epoch.incarnation,
                b"FCALL",
                *append.call(shard, names),
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
        log.warning("append_refused_by_redis", error=text.partition(" ")[0])
        if text.startswith("OOM"):
            raise OverloadedError(
                "Too many events wait to be stored; nothing was stored.", retry_after_s=10
            ) from error
        raise UnavailableError("Events cannot be kept now; nothing was stored.", retry_after_s=2) from error


def _accepted(reply: list[Any], whole: Admitted, part: Admitted, known: Positions) -> Appended:
    """Answer a batch of which `part` was appended now, and the rest was received before."""
    first, at = int(reply[1]), int(reply[2])
    signed = _positions(first, part.events, -at if reply[6] else at)
    if part is not whole:
        known |= dict(zip(sequence_column(part.batch, part.events), signed, strict=True))
        signed = [known[number] for number in sequence_column(whole.batch, whole.events)]
    acked, missing = progress(parse_ranges(reply[5])) if whole.ranges else (None, [])
    ack = Ack(
        **_span(signed, first),
        stored_through=int(reply[4]),
        duplicates=whole.events - part.events,
        acked_through=acked,
        missing=missing,
    )
    return _appended(ack, signed, int(reply[3]), reply[7])


def _duplicate(reply: list[Any], whole: Admitted, known: Positions) -> Appended:
    """Answer a batch of which every event was received before."""
    signed = [known[number] for number in sequence_column(whole.batch, whole.events)]
    acked, missing = progress(parse_ranges(reply[4]))
    ack = Ack(
        **_span(signed, 1),
        stored_through=int(reply[3]),
        duplicate=True,
        duplicates=whole.events,
        acked_through=acked,
        missing=missing,
    )
    return _appended(ack, signed, int(reply[2]), reply[5])


def _span(positions: list[tuple[int, int]], first: int) -> dict[str, Any]:
    """Return what an ack says of the sequences; of no event, an empty span that would begin at `first`."""
    sequences = [seq for seq, _ in positions]
    if not sequences:
        return {"sequence_from": first, "sequence_through": first - 1}
    dense = sequences[-1] - sequences[0] + 1 == len(sequences) and sequences == sorted(sequences)
    return {
        "sequence_from": min(sequences),
        "sequence_through": max(sequences),
        "sequences": UNSET if dense else sequences,
    }


def _again(reply: list[Any]) -> Appended:
    first, events, at = int(reply[1]), int(reply[2]), int(reply[3])
    ack = Ack(
        sequence_from=first,
        sequence_through=first + events - 1,
        stored_through=int(reply[5]),
        duplicate=True,
        duplicates=events,
    )
    return _appended(ack, _positions(first, events, at), int(reply[4]), reply[6])


def _appended(ack: Ack, signed: list[tuple[int, int]], violations: int, commands: bytes) -> Appended:
    """Take the signs of the times into the acknowledgement: what is negative there was late."""
    late = [seq for seq, at in signed if at < 0]
    if late:
        some = UNSET if len(late) == len(signed) else late
        ack = msgspec.structs.replace(ack, late=True, late_sequences=some)
    positions = [(seq, abs(at)) for seq, at in signed] if late else signed
    return Appended(ack, positions, violations, commands)


def _positions(first: int, events: int, at_us: int) -> list[tuple[int, int]]:
    return list(zip(range(first, first + events), repeat(at_us), strict=False))


async def load_functions(link: RedisLink) -> None:
    """Load the function library where it is missing; a library of this name is this very text."""
    try:
        await link.call(None, b"FUNCTION", b"LOAD", library()[1])
    except RedisReplyError as error:
        if "already exists" not in str(error):
            raise
