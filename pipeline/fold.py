"""
The fold: each proctor session's state, carried forward by what arrived since, for every feature that rides on
it.

A turn claims attempts that are due, reads of their sessions what lies beyond their positions, and stores in
one transaction the states, the positions, what the riders make of them, and that the claims are settled. A
worker that dies has done nothing; one that comes second finds the position moved. Claims are advisory locks
on attempts, which go with the transaction, and whoever does not get one takes another attempt: nobody waits
for anybody.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, groupby
from time import monotonic
from typing import Any, Final

import msgspec
import numpy as np
import structlog
from msgspec import Struct

from kernel.running.runtime import FOLDED_EVENTS, FOLDED_SESSIONS, FOLDS_FAILED
from kernel.settings import Settings
from pipeline.extract import DATABASE_AWAY
from pipeline.features.activity import EPOCH
from pipeline.features.session import NO_EVENTS, NO_TIME, Events, Session
from pipeline.retention.archived import put_in_front, read_gone
from pipeline.riders.activity import ACTIVITY
from pipeline.riders.rider import Folded, Rider
from pipeline.riders.risk import RISK
from sql import named
from sql.running import Connection, connect, one, run
from warehouse.publish import Step, no_step

log = structlog.get_logger(__name__, process="pipeline")

FOLDS: Final = named("folds")
TURNS: Final = named("turns")
RIDERS: Final[tuple[Rider, ...]] = (ACTIVITY, RISK)
KEPT: Final = {rider.name: rider.keeps for rider in RIDERS if rider.keeps is not None}
FAILED_S: Final = 60.0  # before an attempt that cannot be folded is tried again
IDLE_MAX: Final = "60s"  # of a worker in the middle of a turn, before PostgreSQL gives up on it
MICROSECOND: Final = timedelta(microseconds=1)
# As `read_slices` packs an event; PostgreSQL counts from 2000, and says -infinity where a client did not say
# its time.
PACKED: Final = np.dtype(
    [
        ("seq", ">i4"), ("occurred", ">i8"), ("effective", ">i8"), ("client", ">i8"), ("kind", ">i2"),
        ("severity", ">i2"), ("violation", "?"), ("late", "?"), ("backfilled", "?"),
    ]
)  # fmt: skip
EPOCH_2000_US: Final = 946_684_800_000_000


class Kept(Struct, frozen=True, array_like=True):
    """A rider's state as it stands in the session's row."""

    version: str
    state: msgspec.Raw


class Claimed(Struct, frozen=True):
    """
    A session of the turn as it was found.

    `stored_seq` is how far the writer is and `folded_seq` how far the fold; `since` and `until` are no later
    than the first event between them and no earlier than the last. `generation` is its claim's, None without
    one.
    """

    session: Session
    stored_seq: int
    folded_seq: int
    since: datetime | None
    until: datetime | None
    states: dict[str, Any]
    generation: int | None


class Slice(Struct, frozen=True):
    """
    What a turn takes of a session: the sequences up to `through_seq`; `is_whole` where nothing more is
    stored.
    """

    claimed: Claimed
    through_seq: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing more is stored."""
        return self.through_seq == self.claimed.stored_seq

    @property
    def sequences(self) -> int:
        """How many there are, dead letters among them."""
        return self.through_seq - self.claimed.folded_seq


class TurnError(Exception):
    """A turn cannot be stored; the attempts it had are the argument, what went wrong its cause."""

    def __init__(self, attempts: list[str]) -> None:
        """Remember whose turn it was."""
        super().__init__(attempts)
        self.attempts = attempts


def connect_to_fold(settings: Settings) -> Connection:
    """Open a worker's connection; kept, it spares every call of `fold` the planning of its statements."""
    conn = connect(settings.database_url)
    run(conn, FOLDS["limit_idleness"], IDLE_MAX)
    return conn


def fold(conn: Connection, settings: Settings, *, seconds_max: float, step: Step = no_step) -> int:
    """
    Fold what is due, turn by turn, until nothing is or the time is over.

    Args:
        conn: of `connect_to_fold`.
        settings: the bounds of a turn.
        seconds_max: after which no further turn begins.
        step: called with a name after each step that a crash could follow.

    Returns:
        How many sessions the turns had. An attempt that cannot be folded is put aside for FAILED_S, and holds
        up nobody.
    """
    until, total = monotonic() + seconds_max, 0
    while True:
        try:
            sessions = turn(conn, settings, step)
        except TurnError as error:
            sessions = _one_by_one(conn, settings, error.attempts)
        total += sessions
        if not sessions or monotonic() >= until:
            return total


def _one_by_one(conn: Connection, settings: Settings, attempts: list[str]) -> int:
    """Give each attempt a turn of its own; return how many sessions they had, failed ones among them."""
    sessions = 0
    for attempt_id in attempts:
        try:
            sessions += turn(conn, settings, no_step, [attempt_id])
        except TurnError as error:
            sessions += 1
            FOLDS_FAILED.inc()
            log.exception("attempt_not_folded", attempt_id=attempt_id, error=error.__cause__)
            run(conn, FOLDS["put_aside"], [attempt_id], FAILED_S)
    return sessions


def turn(
    conn: Connection, settings: Settings, step: Step = no_step, attempts: Sequence[str] | None = None
) -> int:
    """
    Fold one turn in a transaction; return how many sessions it had, 0 where nothing is due or others have it.

    `attempts` names whose turn it is in place of those that are due.

    Raises:
        TurnError: nothing was changed.
        psycopg.OperationalError: PostgreSQL is away, or nobody knows whether the turn was stored.
    """
    with conn.transaction():
        if not one(conn, FOLDS["try_share_folds"]):  # a rebuild
            return 0
        if attempts is None:
            found = run(conn, FOLDS["claim_attempts"], settings.fold_attempts_max)
        else:
            found = run(conn, FOLDS["claim_named"], list(attempts))
        if not (claimed := [row[0] for row in found]):
            return 0
        step("claimed")
        try:
            slices, events = _fold_attempts(conn, settings, claimed, step)
        except DATABASE_AWAY:
            raise
        except Exception as error:
            raise TurnError(claimed) from error
        step("stored")
    step("committed")
    FOLDED_SESSIONS.inc(slices)
    FOLDED_EVENTS.inc(events)
    return slices


def _fold_attempts(conn: Connection, settings: Settings, attempts: list[str], step: Step) -> tuple[int, int]:
    """Fold the claimed attempts; return how many sessions and events they had."""
    claimed = [_claimed(row) for row in run(conn, FOLDS["list_claimed"], attempts)]
    slices = cut(claimed, settings.fold_events_max)
    gone = read_gone(conn, settings, [each.claimed.session.session_id for each in slices])
    events = _read(conn, slices)
    for each in slices:
        put_in_front(events, gone, each.claimed.session.session_id, each.claimed.folded_seq, each.through_seq)
    step("read")
    advance(conn, slices, events, datetime.now(UTC), step, gone=gone)
    held = [each for each in slices if each.claimed.generation is not None]
    run(
        conn,
        FOLDS["release_claims"],
        [each.claimed.session.session_id for each in held],
        [each.claimed.generation for each in held],
        [each.is_whole for each in held],
    )
    return len(slices), sum(len(each) for each in events.values())


def cut(claimed: Sequence[Claimed], events_max: int) -> list[Slice]:
    """
    Choose what to take: no more sequences together than events fit, in the order given.

    Sessions of an attempt that would get nothing of what waits are left for another turn, together with those
    after them; the first attempt always gets something.
    """
    slices: list[Slice] = []
    left = events_max
    for _, own in groupby(claimed, key=lambda each: each.session.attempt_id):
        if left <= 0:
            break
        for each in own:
            through = min(each.stored_seq, each.folded_seq + left)
            left -= through - each.folded_seq
            slices.append(Slice(each, through))
    return slices


def advance(
    conn: Connection,
    slices: Sequence[Slice],
    events: Mapping[int, Events],
    now: datetime,
    step: Step = no_step,
    *,
    gone: Mapping[int, Events] | None = None,
    is_rebuilt: bool = False,
) -> None:
    """
    Advance every rider's states by the events, and store them with the positions; the caller's transaction
    commits.

    Args:
        conn: inside a transaction that nobody else folds these sessions in.
        slices: all sessions of each attempt.
        events: by session, of those that have any.
        now: the turn's moment.
        step: see `fold`.
        gone: by session, what only the archive has of those that have any there.
        is_rebuilt: whether the events are the whole history, folded once more.
    """
    sessions = [each.claimed.session for each in slices]
    kept: list[dict[str, Kept]] = [{} for _ in slices]
    wakes: dict[int, datetime] = {}
    folded = []
    for rider in RIDERS:
        facts = rider.read(conn, sessions)
        folded.append(
            [_fold(rider, each, events, facts, gone or {}, is_rebuilt=is_rebuilt) for each in slices]
        )
    step("computed")
    for rider, own in zip(RIDERS, folded, strict=True):
        for session_id, at in rider.store(conn, own, now).items():
            wakes[session_id] = min(at, wakes.get(session_id, at))
        if rider.keeps is not None:
            for row, each in zip(kept, own, strict=True):
                row[rider.name] = Kept(rider.keeps.version, msgspec.Raw(msgspec.msgpack.encode(each.state)))
    columns = {
        "sessions": [session.session_id for session in sessions],
        "through": [each.through_seq for each in slices],
        "at": [_reached(each, events.get(each.claimed.session.session_id, NO_EVENTS)) for each in slices],
        "states": [msgspec.msgpack.encode(row) for row in kept],
        "wake_at": [wakes.get(session.session_id) for session in sessions],
    }
    run(conn, *FOLDS.bind("put_folds", **columns))
    # What was seen of an attempt counts in its numbers from when it is over; a rebuild computes them anyway.
    if not is_rebuilt:
        attempts = sorted({session.attempt_id for session in sessions})
        run(conn, TURNS["mark_attempts"], attempts, None)


def _fold(
    rider: Rider,
    taken: Slice,
    events: Mapping[int, Events],
    facts: Mapping[int, Any],
    gone: Mapping[int, Events],
    *,
    is_rebuilt: bool,
) -> Folded:
    session, keeps = taken.claimed.session, rider.keeps
    own, before, state = events.get(session.session_id, NO_EVENTS), None, None
    if keeps is not None:
        before = taken.claimed.states.get(rider.name)
        state = keeps.advance(keeps.start(session) if before is None else before, own, session)
    return Folded(
        session=session,
        before=before,
        state=state,
        events=own,
        facts=facts.get(session.session_id),
        is_whole=taken.is_whole,
        is_rebuilt=is_rebuilt,
        gone=gone.get(session.session_id, NO_EVENTS),
    )


def _reached(taken: Slice, events: Events) -> datetime | None:
    """Return the moment that no event beyond the slice is older than."""
    if not len(events):
        return taken.claimed.since
    return EPOCH + int(events.occurred_us[-1]) * MICROSECOND


def session_of(row: tuple[Any, ...]) -> Session:
    """Return the session that a row begins with."""
    session_id, attempt_id, exam_id, student_id, organisation_id, mode, started_at, ended_at = row[:8]
    return Session(
        session_id=session_id,
        attempt_id=attempt_id,
        exam_id=exam_id,
        student_id=student_id,
        organisation_id=organisation_id,
        mode=mode,
        started_us=_us(started_at),
        ended_us=None if ended_at is None else _us(ended_at),
    )


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def _claimed(row: tuple[Any, ...]) -> Claimed:
    """
    Return a row of `list_claimed`. A state of another version than its rider's has all of them start anew:
    the position is theirs together.
    """
    stored_seq, first_at, last_at, folded_seq, folded_at, packed, generation = row[8:]
    kept = {} if packed is None else msgspec.msgpack.decode(packed, type=dict[str, Kept])
    is_ours = all(name in kept and kept[name].version == keeps.version for name, keeps in KEPT.items())
    return Claimed(
        session=session_of(row),
        stored_seq=stored_seq,
        folded_seq=folded_seq if is_ours else 0,
        since=folded_at if is_ours and folded_at is not None else first_at,
        until=last_at,
        states={
            name: msgspec.msgpack.decode(kept[name].state, type=keeps.state) for name, keeps in KEPT.items()
        }
        if is_ours
        else {},
        generation=generation,
    )


def _read(conn: Connection, slices: Sequence[Slice]) -> dict[int, Events]:
    """Return the events of the slices, by session; what cannot change any more needs no snapshot."""
    wanted = [each for each in slices if each.sequences]
    if not wanted:
        return {}
    columns: dict[str, list[Any]] = {
        "sessions": [each.claimed.session.session_id for each in wanted],
        "after": [each.claimed.folded_seq for each in wanted],
        "through": [each.through_seq for each in wanted],
        "since": [each.claimed.since for each in wanted],
        "until": [each.claimed.until for each in wanted],
    }
    bounds = {"first": min(columns["since"]), "last": max(columns["until"])}
    return unpacked(run(conn, *FOLDS.bind("read_slices", **columns, **bounds)).fetchall())


def unpacked(found: Sequence[tuple[int, bytes]]) -> dict[int, Events]:
    """
    Return the events that `read_slices` has packed, by session, each in the order of its sequence.

    Columns are made once for all: a session gets its part of them.
    """
    counts = [len(packed) // PACKED.itemsize for _, packed in found]
    rows = np.frombuffer(b"".join(packed for _, packed in found), dtype=PACKED)
    rows = rows[np.lexsort((rows["seq"], np.repeat(np.arange(len(counts)), counts)))]
    client = rows["client"].astype(np.int64)
    whole = Events(
        seq=rows["seq"].astype(np.int64),
        occurred_us=rows["occurred"].astype(np.int64) + EPOCH_2000_US,
        effective_us=rows["effective"].astype(np.int64) + EPOCH_2000_US,
        client_us=np.where(client == NO_TIME, NO_TIME, client + EPOCH_2000_US),
        event_type=rows["kind"].astype(np.int64),
        severity=rows["severity"].astype(np.int64),
        is_violation=rows["violation"],
        is_late=rows["late"],
        is_backfilled=rows["backfilled"],
    )
    parts = zip(found, counts, accumulate(counts), strict=True)
    return {session_id: whole[end - count : end] for (session_id, _), count, end in parts}
