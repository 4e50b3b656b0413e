"""
The checker: what the clients know against what the database holds.

A pure function over the clients' own log and the stored rows. It trusts nothing that the servers say about
themselves: an acknowledgement is a promise, and the rows either keep it or do not (spec.md, decision 7; I-2).
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from kernel.events import EventType
from loadtests.client.log import Acked, Created, Entry, Reoffered, Sent
from sql import named

# What the server itself writes into a session: the two ends of a missed-heartbeat gap (spec.md, decision 11).
SERVER_TYPES: Final = frozenset({EventType.NetworkDisconnected, EventType.NetworkReconnected})
NAMED_MAX: Final = 20


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row of `events` or, with `dead`, of `dead_letters`; `client` is the hash of the client instance."""

    session: int
    seq: int
    occurred_at: datetime
    client: int | None
    client_seq: int | None
    event_type: int | None
    marker: str | None
    dead: bool = False


class Report(msgspec.Struct, kw_only=True):
    """Counts, and under each fault one sentence per finding; no finding means that every promise held."""

    created: int = 0
    acknowledged: int = 0
    stored: int = 0
    dead: int = 0
    made_by_server: int = 0
    unacknowledged_stored: int = 0
    reoffered: int = 0
    lost: list[str] = []
    doubled: list[str] = []
    out_of_order: list[str] = []
    gaps: list[str] = []
    changed: list[str] = []
    invented: list[str] = []

    @property
    def faults(self) -> dict[str, list[str]]:
        """Return the findings by kind, kinds without any left out."""
        kinds = ("lost", "doubled", "out_of_order", "gaps", "changed", "invented")
        return {kind: found for kind in kinds if (found := getattr(self, kind))}

    @property
    def ok(self) -> bool:
        """Tell whether every promise held."""
        return not self.faults

    def text(self) -> str:
        """Return the report in a few lines, findings cut after twenty of a kind."""
        head = (
            f"created {self.created}, acknowledged {self.acknowledged}, stored {self.stored}, "
            f"dead letters {self.dead}, "
            f"stored without a seen reply {self.unacknowledged_stored}, "
            f"made by the server {self.made_by_server}, "
            f"offered again after a loss {self.reoffered}"
        )
        lines = [
            head,
            *(
                f"{kind} ({len(found)}): {'; '.join(found[:NAMED_MAX])}"
                for kind, found in self.faults.items()
            ),
        ]
        return "\n".join(
            lines
            if self.faults
            else [head, "nothing lost, doubled, out of order, missing, changed or invented"]
        )


class Known(msgspec.Struct):
    """What a client knows of one event of its own; `sent_at` and `acked_at` are places in the log."""

    marker: str
    event_type: int
    sent_at: int | None = None
    acked_at: int | None = None
    number: int | None = None
    was_lost: bool = False


Key = tuple[int, str, int]  # session, client instance, client sequence


def check(entries: Iterable[Entry], rows: Iterable[Row]) -> Report:
    """
    Decide from the clients' log and all rows of their sessions whether every promise held.

    Args:
        entries: the log, in the order in which things happened.
        rows: every row of the log's sessions, any order.

    Returns:
        what was counted and every fault found: *lost* acknowledged and nowhere; *doubled* one client event in
        two rows; *out_of_order* stored before an event that was acknowledged before it was first sent, or
        server time running backwards; *gaps* a session's sequences are not 1, 2, 3 …; *changed* another type,
        place or client than was sent and acknowledged, or an acknowledgement that contradicts an earlier one;
        *invented* a row that nobody sent.
    """
    report = Report()
    known = _known(entries, report)
    by_session: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_session[row.session].append(row)
    for session_rows in by_session.values():
        session_rows.sort(key=lambda row: (row.seq, row.dead))
        _check_sequence(session_rows, report)
    places = _match(known, by_session, report)
    _check_promises(known, places, report)
    _check_order(known, places, report)
    return report


def _known(entries: Iterable[Entry], report: Report) -> dict[Key, Known]:
    """Fold the log into what each client knows of each event at the end."""
    known: dict[Key, Known] = {}
    for at, entry in enumerate(entries):
        keys = [(entry.session, entry.instance, seq) for seq in range(entry.first, entry.last + 1)]
        match entry:
            case Created():
                known[keys[0]] = Known(entry.marker, entry.event_type)
            case Sent():
                for key in keys:
                    if known[key].sent_at is None:
                        known[key].sent_at = at
            case Acked():
                _take_acknowledgement(known, keys, entry, at, report)
            case Reoffered():  # the server has named its loss; the old number means nothing any more
                for key in keys:
                    known[key].number = known[key].acked_at = None
                    known[key].was_lost = True
                    report.reoffered += 1
    report.created = len(known)
    report.acknowledged = sum(event.number is not None for event in known.values())
    return known


def _take_acknowledgement(
    known: dict[Key, Known], keys: list[Key], entry: Acked, at: int, report: Report
) -> None:
    for key, number in zip(keys, entry.numbers, strict=True):
        event = known[key]
        if event.number is None:
            event.number, event.acked_at = number, at
        elif event.number != number:
            report.changed.append(f"{event.marker}: acknowledged as {event.number}, later as {number}")


def _check_sequence(rows: list[Row], report: Report) -> None:
    """Find holes and repeats in one session's numbers, and server time that runs backwards."""
    expected, latest = 1, rows[0].occurred_at
    for row in rows:
        if row.seq < expected:
            report.doubled.append(f"session {row.session}: sequence {row.seq} stands twice")
        elif row.seq > expected:
            report.gaps.append(f"session {row.session}: {expected} to {row.seq - 1} missing")
        expected = row.seq + 1
        if row.occurred_at < latest:
            report.out_of_order.append(f"session {row.session}: time runs backwards at sequence {row.seq}")
        latest = row.occurred_at


def _match(known: dict[Key, Known], by_session: dict[int, list[Row]], report: Report) -> dict[Key, Row]:
    """Find each event's row by its marker; count the server's own, name what nobody sent or came twice."""
    key_of = {(key[0], event.marker): key for key, event in known.items()}
    places: dict[Key, Row] = {}
    for rows in by_session.values():
        for row in rows:
            key = key_of.get((row.session, row.marker)) if row.marker is not None else None
            if key is None:
                if row.client is None and row.marker is None and row.event_type in SERVER_TYPES:
                    report.made_by_server += 1
                else:
                    report.invented.append(f"session {row.session}: sequence {row.seq} ({row.marker})")
            elif key in places:
                report.doubled.append(f"{row.marker}: sequences {places[key].seq} and {row.seq}")
            else:
                places[key] = row
            report.dead += row.dead
            report.stored += not row.dead
    return places


def _check_promises(known: dict[Key, Known], places: dict[Key, Row], report: Report) -> None:
    """Hold each event's row against what was sent and acknowledged."""
    client_of: dict[tuple[int, str], int | None] = {}
    for key, event in known.items():
        row = places.get(key)
        if row is None:
            if event.number is not None or event.was_lost:  # a named loss must be mended by the end
                report.lost.append(
                    f"{event.marker}: session {key[0]}, acknowledged as {event.number or 'lost'}"
                )
            continue
        report.unacknowledged_stored += event.number is None
        if event.sent_at is None:
            report.invented.append(f"{event.marker}: stored and never sent")
        if event.number is not None and row.seq != event.number:
            report.changed.append(f"{event.marker}: acknowledged as {event.number}, stored as {row.seq}")
        if (row.event_type, row.client_seq) != (event.event_type, key[2]):
            report.changed.append(
                f"{event.marker}: type {row.event_type}, client sequence {row.client_seq} stored"
            )
        if client_of.setdefault(key[:2], row.client) != row.client:
            report.changed.append(f"{event.marker}: another client's name stands at it")


def _check_order(known: dict[Key, Known], places: dict[Key, Row], report: Report) -> None:
    """
    Find events stored before one that was acknowledged before they were first sent, or turned round in one
    request.

    The first is real-time order over a whole session: it covers the order within a client instance and
    between tabs.
    """
    steps: list[tuple[int, int, Key]] = []  # place in the log, 0 acknowledged | 1 sent, which event
    for key in places:
        event = known[key]
        steps += [
            (at, kind, key) for kind, at in enumerate((event.acked_at, event.sent_at)) if at is not None
        ]
    highest: dict[int, int] = defaultdict(int)
    latest: tuple[int, int] = (
        -1,
        0,
    )  # place in the log of the request looked at, sequence of its event before
    for at, sent, key in sorted(steps):
        seq = places[key].seq
        if not sent:
            highest[key[0]] = max(highest[key[0]], seq)
        elif seq <= highest[key[0]]:
            report.out_of_order.append(
                f"{known[key].marker}: {seq}, sent after {highest[key[0]]} was acknowledged"
            )
        elif not known[key].was_lost:
            if latest[0] == at and seq < latest[1]:
                report.out_of_order.append(f"{known[key].marker}: {seq}, behind {latest[1]} in its request")
            latest = (at, seq)


class _Metadata(msgspec.Struct):
    marker: str | None = None


class _DeadEvent(msgspec.Struct, rename="camel"):
    """A dead letter's bytes; the client's key is text there, for it does not fit JavaScript's numbers."""

    client: str | None = None
    client_sequence: int | None = None
    event_type: int | None = None
    metadata_json: str | None = None


def dead_row(session: int, seq: int, occurred_at: datetime, event: bytes) -> Row:
    """Return a dead letter as a row; what its bytes do not tell is None."""
    try:
        dead = msgspec.json.decode(event, type=_DeadEvent)
        text = dead.metadata_json
        marker = msgspec.json.decode(text, type=_Metadata).marker if text else None
    except msgspec.MsgspecError:
        return Row(session, seq, occurred_at, None, None, None, None, dead=True)
    client = None if dead.client is None else int(dead.client)
    return Row(session, seq, occurred_at, client, dead.client_sequence, dead.event_type, marker, dead=True)


async def rows_of(database_url: str, sessions: Iterable[int]) -> list[Row]:
    """Read every stored and every dead-lettered event of the sessions."""
    statements = named("checker")
    conn = await asyncpg.connect(database_url)
    try:
        stored = await conn.fetch(statements["list_stored"], sorted(set(sessions)))
        dead = await conn.fetch(statements["list_dead"], sorted(set(sessions)))
    finally:
        await conn.close()
    return [Row(*record) for record in stored] + [dead_row(*record) for record in dead]
