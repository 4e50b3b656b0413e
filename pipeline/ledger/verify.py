"""
`veritas ledger verify`: the whole log against its heads and its witnesses (spec.md L-2).

What is checked, in one read-only snapshot: positions are dense; every event's bytes hash to its leaf, and
its columns say what the bytes say; every tile is made of the leaves; every head is signed and has the root of
the stored leaves; the stored log extends every head of the witness and every trusted one; nothing is left out
of the queue; personal values that are still there fit their commitments; every record's rows are those that
its newest event recorded; the triggers, functions and privileges that protect all this are the migrations'.

Proof is what a signed head covers and somebody outside the database has seen. Events that no head covers,
and a witness that is named and is not there or does not reach the newest head, are told apart from what is
wrong.
"""

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg

from kernel.ledger.checkpoints import CheckpointError, Head, Keys, open_head
from kernel.ledger.event import RECORD, LedgerEvent, commitment, read_body
from kernel.ledger.merkle import HASH_BYTES, TILE_HASHES, Frontier, extend, leaf_hash, root_of
from kernel.ledger.witness import read_notes
from pipeline.ledger.records import NUMBER_DIGITS, check_records
from pipeline.ledger.report import Report, TooManyFindingsError, open_snapshot, read_size
from pipeline.ledger.schema import check_schema
from sql import named
from sql.running import STREAMED_ROWS, Connection, run, stream

QUERIES: Final = named("ledger_audit")
COLUMNS: Final = (
    "organisation_id", "occurred_at", "kind", "aggregate_type", "aggregate_id", "actor_id", "actor_role",
    "subject_id",
)  # fmt: skip

Progress = Callable[[int, int], None]
Known = tuple[int, str, bytes, bool]  # size, who knows it, root, whether they stand outside the database
WAITING_S: Final = 60  # an event that waits longer for its position is told


def verify(
    url: str,
    keys: Keys,
    *,
    witness: Path | None = None,
    trusted: list[str] | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Report:
    """
    Check the whole log.

    Args:
        url: of a role that may read the ledger.
        keys: public keys of the log.
        witness: a witness's file.
        trusted: notes that the caller has kept.
        progress: called with (leaves done, leaves in all).

    Raises:
        psycopg.OperationalError: the database cannot be reached, or went away.
    """
    report = Report()
    try:
        with open_snapshot(url) as conn:
            report.size = read_size(conn)
            sources = [
                _stored_heads(conn, keys, report),
                _witnessed_heads(witness, keys, report),
                _trusted_heads(trusted or [], keys, report),
            ]
            covered, seen = _check_tree(conn, report, heapq.merge(*sources), progress)
            _check_proof(conn, report, covered, seen, witness)
            _check_queue(conn, report)
            _check_salts(conn, report)
            check_schema(conn, report)
            check_records(conn, report)
    except TooManyFindingsError:
        pass
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:  # a table or function that is another than the migrations'
        report.find(f"the check cannot go on: {type(error).__name__} ({error.sqlstate})")
    return report


def _check_proof(conn: Connection, report: Report, covered: int, seen: int, witness: Path | None) -> None:
    """
    Say what of the log no head covers, and how far somebody outside has seen it.

    Args:
        conn: the snapshot.
        report: gets the sentences.
        covered: size of the largest signed head that the stored leaves have the root of.
        seen: the same, of the heads that the witness or the caller keeps.
        witness: the witness's file, where one was named.
    """
    if report.size == 0:
        report.unproven.append("nothing is sealed yet: there is nothing to prove")
    elif covered < report.size:
        first, last = covered, report.size - 1
        report.unproven.append(f"positions {first} to {last}: no signed head covers them")
    for waiting, oldest in stream(conn, QUERIES["count_waiting"], WAITING_S):
        if waiting:
            report.unproven.append(f"{waiting} events wait for a position, the oldest since {oldest}")
    if witness is not None and seen < covered:
        report.unproven.append(f"the witness {witness} reaches {seen} of the {covered} events under a head")
    report.is_witnessed = 0 < covered <= seen


def _open(note: str, keys: Keys, who: str, report: Report) -> Head | None:
    try:
        return open_head(note, keys)
    except CheckpointError as error:
        report.find(f"{who}: {error}")
        return None


def _stored_heads(conn: Connection, keys: Keys, report: Report) -> Iterator[Known]:
    for size, note in stream(conn, QUERIES["stream_heads"]):
        who = f"the stored head of {size} events"
        head = _open(note, keys, who, report)
        if head is not None and head.size != size:
            report.find(f"{who}: its note says {head.size}")
        elif head is not None:
            yield size, who, head.root, False


def _witnessed_heads(path: Path | None, keys: Keys, report: Report) -> Iterator[Known]:
    last = 0
    for number, note in _lines(path, report):
        if note is None:
            report.remarks.append(f"the witness's line {number}: torn, it holds no head")
        head = _open(note, keys, f"the witness's line {number}", report) if note is not None else None
        if head is None:
            continue
        who = f"the witness's head of {head.size} events (line {number})"
        if head.size < last:
            report.find(f"{who}: an earlier line has {last}")
        else:
            last = head.size
            yield last, who, head.root, True


def _lines(path: Path | None, report: Report) -> Iterator[tuple[int, str | None]]:
    """Yield the lines of a witness's file; one that is named and not there, or unreadable, is told."""
    try:
        if path is not None and not path.exists():
            report.unproven.append(f"the witness {path} is not there")
        elif path is not None:
            yield from read_notes(path)
    except OSError as error:
        report.unproven.append(f"the witness {path} cannot be read: {type(error).__name__}")


def _trusted_heads(notes: list[str], keys: Keys, report: Report) -> Iterator[Known]:
    heads = [_open(note, keys, "a trusted head", report) for note in notes]
    yield from sorted(
        (head.size, f"the trusted head of {head.size} events", head.root, True)
        for head in heads
        if head is not None
    )


class _Walk:
    """The tree as it grows leaf by leaf, the heads it passes, and the tiles it should have left."""

    def __init__(self, conn: Connection, report: Report, heads: Iterator[Known]) -> None:
        self.report = report
        self._heads = heads
        self._head = next(heads, None)
        self._frontier = Frontier()
        self._row: list[bytes] = []
        self._upper: list[bytes] = []
        self._tiles = stream(conn, QUERIES["stream_leaf_tiles"])
        self._tile = next(self._tiles, None)
        self.whole = True
        self.covered = 0  # size of the largest head that held
        self.seen = 0  # and of the largest that somebody outside keeps

    @property
    def size(self) -> int:
        return self._frontier.size

    def append(self, leaf: bytes) -> None:
        """Go on by one leaf, and hold the tree against the heads of this size."""
        self._frontier.append(leaf)
        self._row.append(leaf)
        if len(self._row) == TILE_HASHES:
            self._close_tile()
        while self._head is not None and self._head[0] <= self.size:
            size, who, root, is_outside = self._head
            if self.whole and size == self.size:
                if self._frontier.root() != root:
                    self.report.find(f"{who}: the stored leaves have another root")
                else:
                    self.covered = size
                    self.seen = size if is_outside else self.seen
            self.report.heads += 1
            self._head = next(self._heads, None)

    def _close_tile(self) -> None:
        index = (self.size - 1) // TILE_HASHES
        while self._tile is not None and self._tile[0] < index:
            self._tile = next(self._tiles, None)
        stored = self._tile[1] if self._tile is not None and self._tile[0] == index else None
        self._compare(index, stored)
        if stored is not None:
            self._tile = next(self._tiles, None)
        if len(self._row) == TILE_HASHES:
            self._upper.append(root_of(self._row))
        self._row = []

    def _compare(self, index: int, stored: bytes | None) -> None:
        if stored is None:
            self.report.find(f"tile 0/{index} is not there")
            return
        for n, leaf in enumerate(self._row):
            if stored[n * HASH_BYTES : (n + 1) * HASH_BYTES] != leaf:
                position = index * TILE_HASHES + n
                self.report.find(f"position {position}: tile 0/{index} has another leaf there")
        if len(stored) > len(self._row) * HASH_BYTES:
            self.report.find(
                f"tile 0/{index} holds {len(stored) // HASH_BYTES} hashes, there are {len(self._row)} leaves"
            )

    def heads_left(self) -> Iterator[Known]:
        """Yield the heads not passed yet; what is wrong with their signatures is found on the way."""
        while self._head is not None:
            yield self._head
            self._head = next(self._heads, None)

    def finish(self, conn: Connection) -> None:
        """Check what stands beyond the last leaf, and the tiles above the leaves'."""
        if self._row:
            self._close_tile()
        while self._tile is not None:
            self.report.find(f"tile 0/{self._tile[0]} stands beyond the last leaf")
            self._tile = next(self._tiles, None)
        for _, who, _, _ in self.heads_left():
            self.report.find(f"{who}: the database holds {self.size}; it was restored or cut (a fork)")
        expected = {(level + 1, index): row for (level, index), row in extend({}, 0, self._upper).items()}
        for level, index, hashes in run(conn, QUERIES["list_upper_tiles"]):
            if expected.pop((level, index), None) != hashes and self.whole:
                self.report.find(f"tile {level}/{index} is not made of the leaves below it")
        for level, index in expected:
            self.report.find(f"tile {level}/{index} is not there")


def _check_tree(
    conn: Connection, report: Report, heads: Iterator[Known], progress: Progress
) -> tuple[int, int]:
    """Check all leaves in order; return the sizes of the largest head that held, and that is kept outside."""
    walk = _Walk(conn, report, heads)
    for position, event_id, leaf, *event in stream(conn, QUERIES["stream_leaves"]):
        if position != walk.size and walk.whole:
            report.find(f"position {walk.size} is missing; the next one there is {position}")
            walk.whole = False
        _check_event(report, f"position {position}, event {event_id}", event_id, leaf, event)
        if walk.whole:
            walk.append(leaf)
        if position % STREAMED_ROWS == 0:
            progress(position, report.size)
    if walk.whole:
        walk.finish(conn)
    for _ in walk.heads_left():
        report.heads += 1
    progress(report.size, report.size)
    return walk.covered, walk.seen


def _check_event(report: Report, where: str, event_id: UUID, leaf: bytes, event: list[Any]) -> None:
    body, *columns = event
    if body is None:
        report.find(f"{where}: the event is not there")
        return
    if leaf_hash(body) != leaf:
        report.find(f"{where}: its bytes do not hash to its leaf")
        return
    try:
        said = read_body(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        report.find(f"{where}: its bytes are no event")
        return
    for name, said_value, value in zip(
        ("event_id", *COLUMNS), _said(said), (event_id, *columns), strict=True
    ):
        if said_value != value:
            report.find(f"{where}: the column {name} says {value}, the sealed bytes say {said_value}")


def _said(event: LedgerEvent) -> tuple[Any, ...]:
    return (event.event_id, *(getattr(event, name) for name in COLUMNS))


def _check_queue(conn: Connection, report: Report) -> None:
    for (event_id,) in run(conn, QUERIES["list_unqueued"]):
        report.find(f"event {event_id}: it has no position and waits for none")
    for (event_id,) in run(conn, QUERIES["list_misqueued"]):
        report.find(f"event {event_id}: it waits for a position, and is not there or has one")


def _check_salts(conn: Connection, report: Report) -> None:
    for event_id, name, salt, value, body in stream(conn, QUERIES["stream_salts"]):
        try:
            committed = None if body is None else read_body(body).commitments.get(name)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # named above
        if name.startswith(RECORD):
            if body is None:
                continue  # an event that is not there was named above
            fits = committed is not None and committed[NUMBER_DIGITS:] == commitment(salt, value)
            what = f"what is kept of its {name.removeprefix(RECORD)}"
        else:
            fits, what = committed == commitment(salt, value), f"its personal value {name}"
        if not fits:
            report.find(f"event {event_id}: {what} does not fit its commitment")
