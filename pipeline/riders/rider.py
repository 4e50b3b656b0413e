"""
What the fold asks of a feature that rides on it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from pipeline.features.session import NO_EVENTS, Events, Session
from sql.running import Connection

# A rider's own: what it keeps of a session, and what it needs to know beside the events.
State = Any
Facts = Any


class Folded(Struct, frozen=True):
    """
    One session of a turn, as its rider gets it. All sessions of an attempt come together.

    Attributes:
        session: as of the turn.
        before: the state that was stored; None where it was started from nothing, or the fold keeps none.
        state: the state with `events`; None where the fold keeps none.
        events: what was taken in, maybe nothing: time, an end or a cause may be why the turn has it.
        facts: what the rider has read.
        is_whole: whether nothing more is stored; else another turn follows.
        is_rebuilt: whether the whole history was folded once more: what is appended for good was appended
            before.
        gone: those of the session's events that only the archive has, whether they were folded or not.
    """

    session: Session
    before: State | None
    state: State
    events: Events
    facts: Facts
    is_whole: bool = True
    is_rebuilt: bool = False
    gone: Events = NO_EVENTS


class Keeps(Struct, frozen=True, kw_only=True):
    """
    What the fold carries forward for a rider, in the session's row, which every turn writes anew.

    Attributes:
        version: of the state's form; a row with another one is folded from nothing.
        state: its type, a struct of bounded size.
        start: pure; the state of a session of which nothing has arrived.
        advance: pure; the state with events that follow by sequence. In one go or cut anywhere, it is the
            same.
    """

    version: str
    state: type[Struct]
    start: Callable[[Session], State]
    advance: Callable[[State, Events, Session], State]


class Rider(Struct, frozen=True, kw_only=True):
    """
    A feature that is carried forward with its session.

    Attributes:
        name: of its state in the session's row.
        keeps: that state; None for a rider whose rows are its own, with a version and a position of theirs.
        read: what else it needs of the turn's sessions, by session, with one statement. Inside the
            transaction, after the attempts are claimed.
        store: its numbers, in the transaction that moves the positions, as of the moment given. Returns when
            a session is to be looked at again by time alone; sessions that are left out are not.
        forget: delete what `store` of every session writes anew, for a rebuild.
    """

    name: str
    keeps: Keeps | None = None
    read: Callable[[Connection, Sequence[Session]], Mapping[int, Facts]]
    store: Callable[[Connection, Sequence[Folded], datetime], Mapping[int, datetime]]
    forget: Callable[[Connection], None]
